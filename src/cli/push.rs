//! `mkimg push`: an image of all its architectures to a repository of a registry; prints the reference by digest.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::{Context, Opened};
use super::failure::Failure;
use super::output;
use super::realize;
use super::registry::{Reach, repository};
use crate::arch::Arch;
use crate::recipe::{Mode, Source};
use crate::share::artifact::{Artifact, Written};
use crate::share::{Reference, copy};
use crate::store::Store;
use crate::ui::bytes;

/// `mkimg push`
#[derive(Debug, Args)]
pub(super) struct Push {
    /// The recipe: a file, or the NAME of `images/NAME.kdl`
    #[arg(value_name = "RECIPE")]
    what: PathBuf,
    /// Where to: REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "REF")]
    reference: Reference,
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
    let registry = repository(context, reference, &args.reach)?;
    let opened = context.open(Some(&args.what), Mode::Strict)?;
    let (store, artifact) = artifact(context, &opened)?;
    let tag = reference.tag_or_default();
    let copied = copy(&artifact, &registry, &store, &artifact.index, tag);
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
    if args.json {
        return output::print_json(&json!({
            "digest": format!("sha256:{digest}"),
            "kept": { "blobs": copied.kept, "bytes": copied.kept_bytes },
            "reference": by_digest,
            "sent": { "blobs": copied.sent, "bytes": copied.sent_bytes },
            "tag": tag,
        }));
    }
    output::print(&format!("{by_digest}\n"))
}

/// Realizes a recipe for each of its architectures, and returns what is shared of it.
fn artifact(context: &Context<'_>, opened: &Opened) -> Result<(Store, Artifact), Failure> {
    let recipe = &opened.parsed.recipe;
    // Where no source says what it is for, the image is for what `realize` takes it to be for.
    let says = |source: &Source| {
        source
            .locations
            .iter()
            .any(|location| location.arch.is_some())
    };
    let archs = match recipe.used_sources().any(says) {
        true => recipe.archs(),
        false => Arch::host().into_iter().collect(),
    };
    let mut images = Vec::new();
    for arch in archs {
        images.push(realize::made(context, opened, Some(arch))?.1);
    }
    let store = context.store(&opened.base)?;
    let written = Written {
        name: &recipe.name.value,
        description: recipe.description.as_deref(),
        text: &opened.parsed.source.text,
    };
    let artifact = Artifact::new(&store, written, &images)?;
    Ok((store, artifact))
}

fn blobs(count: usize) -> String {
    match count {
        1 => "1 blob".to_owned(),
        count => format!("{count} blobs"),
    }
}
