//! `mkimg pull`: an image of a registry into the cache; prints the reference by digest, and the image's path.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::args::Reach;
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::values;
use crate::arch::Arch;
use crate::session::{self, PinFile, named};
use crate::share::{Found, Reference, go_name, import, list};
use crate::ui::bytes;

/// `mkimg pull`
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// What: REGISTRY/REPOSITORY, with :TAG or @sha256:HEX
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The architecture, x86_64 or aarch64 [default: the host's where the image has it]
    #[arg(long, value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
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
    // Before anything is asked: a file that cannot be used stays what it is.
    let pins = args.pin.as_deref().map(PinFile::open).transpose()?;
    let registry = context
        .session
        .repository(reference, &args.reach.connection())?;
    let found = named(&registry, reference);
    context.terminal.clear();
    let found = found?;
    if let (Some(pins), false) = (&pins, args.update_pin) {
        pins.check(reference, found.digest)?;
    }
    let store = context.session.store(session::base())?;
    let images = list(&registry, found.clone())?;
    session::check_arch(&images, args.arch, &reference.to_string())?;
    let arch = chosen(&images, args.arch);
    let imported = import(&registry, &images, &context.session.selection(arch), &store);
    context.terminal.clear();
    let mut imported = imported?;
    let Some(taken) = imported.images.pop() else {
        return Err(Failure::usage(
            format!("`{reference}` has no image"),
            "name another one",
        ));
    };
    if let Some(pins) = pins {
        pins.write(reference, found.digest)?;
    }
    let image = &taken.image;
    context.terminal.line(&format!(
        "{} {}: {} kernel + {} initramfs, every byte verified",
        image.name,
        image.arch,
        bytes(image.kernel.size),
        bytes(image.initramfs.size)
    ));
    context.terminal.line(&format!(
        "its recipe, to run, test or look into: `{}`",
        imported.recipe.display()
    ));
    let by_digest = format!("{}@sha256:{}", reference.name(), found.digest);
    let path = taken.path.display().to_string();
    if args.json {
        let mut value = image.json();
        value["digest"] = json!(format!("sha256:{}", found.digest));
        value["path"] = json!(path);
        value["recipe"] = json!(imported.recipe.display().to_string());
        value["reference"] = json!(by_digest);
        return output::print_json(&value);
    }
    output::print(&format!("{by_digest}\n{path}\n"))
}

/// Returns the architecture to take: the one that was asked for, else the host's where it is there, else the first.
fn chosen(found: &Found, asked: Option<Arch>) -> Option<Arch> {
    let has = |arch: Arch| {
        let listed = found.images.iter();
        let mut named = listed.filter_map(|image| image.architecture.as_deref());
        named.any(|name| name == go_name(arch))
    };
    let first = || Arch::ALL.into_iter().find(|arch| has(*arch));
    asked
        .or_else(|| Arch::host().filter(|host| has(*host)))
        .or_else(first)
}
