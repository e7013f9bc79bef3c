//! `mkimg pull`: an image of a registry into the cache; prints the reference by digest, and the image's path.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::shared::Reach;
use super::values;
use crate::arch::Arch;
use crate::session::PullOptions;
use crate::share::Reference;
use crate::units::bytes;

/// `mkimg pull`
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// What: REGISTRY/REPOSITORY, with :TAG or @sha256:HEX
    #[arg(value_name = "REF")]
    reference: Reference,
    #[arg(long, help = values::arch_help("the host's where the image has it"), value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    arch: Option<Arch>,
    /// Note in FILE which image it was; where FILE names another one already, fail
    #[arg(long, value_name = "FILE")]
    pin: Option<PathBuf>,
    /// Let FILE name what the tag names now
    #[arg(long, requires = "pin")]
    update_pin: bool,
    /// How to reach the registry.
    #[command(flatten)]
    reach: Reach,
    /// Print JSON: what image.json says, the digest and the path
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context<'_>, args: &Pull) -> Result<(), Failure> {
    let reference = &args.reference;
    let options = PullOptions {
        arch: args.arch,
        pin: args.pin.clone(),
        update_pin: args.update_pin,
        connection: args.reach.connection(),
    };
    let pulled = context.session.pull(reference, &options)?;
    let image = &pulled.image.image;
    context.terminal.line(&format!(
        "{} {}: {} kernel + {} initramfs, every byte verified",
        image.name,
        image.arch,
        bytes(image.kernel.size),
        bytes(image.initramfs.size)
    ));
    context.terminal.line(&format!(
        "its recipe, to run, test or look into: `{}`",
        pulled.recipe.display()
    ));
    let by_digest = format!("{}@sha256:{}", reference.name(), pulled.digest);
    let path = pulled.image.path.display().to_string();
    if args.json {
        let mut value = image.json();
        value["digest"] = json!(format!("sha256:{}", pulled.digest));
        value["path"] = json!(path);
        value["recipe"] = json!(pulled.recipe.display().to_string());
        value["reference"] = json!(by_digest);
        return output::print_json(&value);
    }
    output::print(&format!("{by_digest}\n{path}\n"))
}
