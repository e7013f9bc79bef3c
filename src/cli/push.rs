//! `mkimg push`: an image of all its architectures to a repository of a registry; prints the reference by digest.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::shared::Reach;
use crate::session::{PushOptions, local_file_lines};
use crate::share::Reference;
use crate::units::bytes;

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
    let options = PushOptions {
        with_sources: args.with_sources,
        sign: args.sign.clone(),
        connection: args.reach.connection(),
    };
    let pushed = context.session.push(&args.what, reference, &options)?;
    let (copied, digest) = (&pushed.copied, pushed.digest);
    let (tag, name) = (reference.tag_or_default(), reference.name());
    context.terminal.line(&format!(
        "{name}:{tag}: sent {} ({}), {} ({}) were there",
        blobs(copied.sent),
        bytes(copied.sent_bytes),
        copied.kept,
        bytes(copied.kept_bytes),
    ));
    let by_digest = format!("{name}@sha256:{digest}");
    local_file_lines(&pushed.files).for_each(|line| context.terminal.line(&line));
    if args.json {
        return output::print_json(&json!({
            "digest": format!("sha256:{digest}"),
            "kept": { "blobs": copied.kept, "bytes": copied.kept_bytes },
            "local_files": output::local_files(&pushed.files),
            "reference": by_digest,
            "sent": { "blobs": copied.sent, "bytes": copied.sent_bytes },
            "tag": tag,
        }));
    }
    output::print(&format!("{by_digest}\n"))
}

fn blobs(count: usize) -> String {
    match count {
        1 => "1 blob".to_owned(),
        count => format!("{count} blobs"),
    }
}
