//! `mkimg push`: an image of all its architectures to a repository of a registry; prints the reference by digest.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::args::Reach;
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::sbom;
use crate::digest::Digest;
use crate::fault::Outcome;
use crate::realize::Realized;
use crate::session::{Key, Loaded, Shared, local_file_lines};
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
    let registry = context
        .session
        .repository(reference, &args.reach.connection())?;
    let opened = context.open(Some(&args.what))?;
    let shared = opened.share(&[], args.with_sources)?;
    for made in &shared.images {
        attach_documents(&opened, &shared, made)?;
    }
    if let Some(key) = &key {
        key.attach_all(&shared)?;
    }
    let (store, artifact) = (&shared.store, &shared.artifact);
    let tag = reference.tag_or_default();
    let copied = copy(&artifact.layout, &registry, store, &artifact.index, tag);
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
    local_file_lines(&shared.files).for_each(|line| context.terminal.line(&line));
    if args.json {
        return output::print_json(&json!({
            "digest": format!("sha256:{digest}"),
            "kept": { "blobs": copied.kept, "bytes": copied.kept_bytes },
            "local_files": output::local_files(&shared.files),
            "reference": by_digest,
            "sent": { "blobs": copied.sent, "bytes": copied.sent_bytes },
            "tag": tag,
        }));
    }
    output::print(&format!("{by_digest}\n"))
}

/// Attaches what is in an image, and how it came about. Where the sources cannot be had, as for a bundle without them, the image
/// goes without.
fn attach_documents(opened: &Loaded<'_>, shared: &Shared, made: &Realized) -> Result<(), Failure> {
    let Some(subject) = shared.artifact.manifests.get(&made.image.arch) else {
        return Ok(());
    };
    let (contents, provenance) = match sbom::documents(opened, &shared.store, made) {
        Ok(documents) => documents,
        Err(failure) if matches!(failure.outcome(), Outcome::Failed | Outcome::Wrong) => {
            opened.session.warn(format!(
                "the {} image goes without an SBOM and provenance, which its sources are needed for: {}",
                made.image.arch,
                failure.first_line()
            ));
            return Ok(());
        }
        Err(failure) => return Err(failure.into()),
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
