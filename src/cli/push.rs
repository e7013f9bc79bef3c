//! `mkimg push`: an image of all its architectures to a repository of a registry; prints the reference by digest.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::args::Variants;
use super::context::Context;
use super::failure::{Code, Failure};
use super::opened::Opened;
use super::output;
use super::reach::local_files;
use super::registry::{Reach, repository};
use super::sbom;
use super::sharing::{self, Shared};
use super::signing::Key;
use crate::digest::Digest;
use crate::progress::{Event, Progress as _};
use crate::realize::Realized;
use crate::recipe::Mode;
use crate::share::registry::Registry;
use crate::share::{Document, IN_TOTO, Reference, SPDX, attach, copy};
use crate::ui::bytes;

/// `mkimg push`
#[derive(Debug, Args)]
pub(super) struct Push {
    /// The recipe: a file, the NAME of `images/NAME.kdl`, or a bundle
    #[arg(value_name = "RECIPE")]
    what: PathBuf,
    /// Where to: REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Which variants: each gets the tag with its name behind it.
    #[command(flatten)]
    variants: Variants,
    /// Send the sources too, so that whoever has the image can rebuild it from the registry alone
    #[arg(long)]
    with_sources: bool,
    /// Sign it with this SSH key: a private key, or the public key of one that an agent has
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// How to reach the registry.
    #[command(flatten)]
    reach: Reach,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context<'_>, args: &Push) -> Result<(), Failure> {
    let reference = &args.reference;
    if reference.digest.is_some() {
        return Err(Failure::usage(
            format!("`{reference}` names an image by its digest: what is pushed gets a tag"),
            "write REGISTRY/REPOSITORY:TAG; the digest follows from the image, and is printed",
        ));
    }
    if is_reserved(reference.tag_or_default()) {
        return Err(Failure::usage(
            format!("`{reference}` is a tag that mkimg itself writes: it has a meaning of its own"),
            "name another tag: those of plans and of referrers follow from what is pushed",
        ));
    }
    let key = args.sign.as_deref().map(Key::open).transpose()?;
    let registry = repository(context, reference, &args.reach)?;
    let opened = context.open(Some(&args.what), Mode::Strict)?;
    let each = context.variants(opened, &args.variants)?;
    let mut values = Vec::new();
    for opened in &each {
        let tag = match (args.variants.all_variants, &opened.parsed.variant) {
            (true, Some(variant)) => format!("{}-{variant}", reference.tag_or_default()),
            _ => reference.tag_or_default().to_owned(),
        };
        let value = one(context, args, opened, &registry, key.as_ref(), &tag)?;
        if !args.json {
            let by_digest = value["reference"].as_str().unwrap_or_default();
            output::print(&format!("{by_digest}\n"))?;
        }
        values.push(value);
    }
    match (args.json, args.variants.all_variants) {
        (false, _) => Ok(()),
        (true, true) => output::print_json(&Value::Array(values)),
        (true, false) => output::print_json(&values.remove(0)),
    }
}

/// Pushes one variant of a recipe; returns what is printed of it.
fn one(
    context: &Context<'_>,
    args: &Push,
    opened: &Opened,
    registry: &Registry<'_>,
    key: Option<&Key>,
    tag: &str,
) -> Result<Value, Failure> {
    let reference = &args.reference;
    let shared = sharing::share(context, opened, &[], args.with_sources)?;
    for made in &shared.images {
        attach_documents(context, opened, &shared, made)?;
    }
    if let Some(key) = key {
        key.attach_all(&shared)?;
    }
    let (store, artifact) = (&shared.store, &shared.artifact);
    let copied = copy(&artifact.layout, registry, store, &artifact.index, tag);
    context.terminal.clear();
    let copied = copied?;
    let digest = artifact.index.digest;
    context.terminal.line(&format!(
        "{}:{tag}: sent {} ({}), {} ({}) were there",
        reference.name(),
        blobs(copied.sent),
        bytes(copied.sent_bytes),
        copied.kept,
        bytes(copied.kept_bytes),
    ));
    let by_digest = format!("{}@sha256:{digest}", reference.name());
    context.tell_local_files(&shared.files);
    Ok(json!({
            "digest": format!("sha256:{digest}"),
            "kept": { "blobs": copied.kept, "bytes": copied.kept_bytes },
            "local_files": local_files(&shared.files),
            "reference": by_digest,
            "sent": { "blobs": copied.sent, "bytes": copied.sent_bytes },
            "tag": tag,
    }))
}

/// Attaches what is in an image, and how it came about. Where the sources cannot be had, as for a bundle without them, the image
/// goes without.
fn attach_documents(
    context: &Context<'_>,
    opened: &Opened,
    shared: &Shared,
    made: &Realized,
) -> Result<(), Failure> {
    let Some(subject) = shared.artifact.manifests.get(&made.image.arch) else {
        return Ok(());
    };
    let (contents, provenance) = match sbom::documents(context, opened, &shared.store, made) {
        Ok(documents) => documents,
        Err(failure) if matches!(failure.code(), Some(Code::Failed | Code::Wrong)) => {
            context.terminal.event(Event::Warning(format!(
                "the {} image goes without an SBOM and provenance, which its sources are needed for: {}",
                made.image.arch,
                failure.first_line()
            )));
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let name = format!("{}-{}", made.image.name, made.image.arch);
    for (media_type, kind, document) in [(SPDX, "spdx", contents), (IN_TOTO, "slsa", provenance)] {
        let text = format!("{document:#}\n");
        let document = Document {
            media_type,
            title: &format!("{name}.{kind}.json"),
            bytes: text.as_bytes(),
        };
        attach(&shared.artifact.layout, subject, document, &shared.store)?;
    }
    Ok(())
}

/// Says whether a tag is that of a plan, or of what is said about a manifest.
fn is_reserved(tag: &str) -> bool {
    let digests = ["plan-", "sha256-"].map(|prefix| tag.strip_prefix(prefix));
    let mut digests = digests.into_iter().flatten();
    digests.any(|hex| hex.parse::<Digest>().is_ok())
}

fn blobs(count: usize) -> String {
    match count {
        1 => "1 blob".to_owned(),
        count => format!("{count} blobs"),
    }
}
