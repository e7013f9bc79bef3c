//! `mkimg pull`: an image of a registry into the cache; prints the reference by digest, and the image's path.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::{Code, Failure};
use super::output;
use super::registry::{PinFile, Reach, repository};
use crate::arch::Arch;
use crate::share::artifact::{go_name, take};
use crate::share::oci::{Descriptor, INDEX, Index};
use crate::share::{Origin, Reference, ShareError};
use crate::ui::bytes;

/// `mkimg pull`
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// What: REGISTRY/REPOSITORY, with :TAG or @sha256:HEX
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The architecture, x86_64 or aarch64 [default: the host's where the image has it]
    #[arg(long, value_name = "ARCH")]
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
    let registry = repository(context, reference, &args.reach)?;
    let found = named(&registry, reference);
    context.terminal.clear();
    let found = found?;
    if let (Some(pins), false) = (&pins, args.update_pin) {
        pins.check(reference, found.digest)?;
    }
    let entry = entry(&registry, &found, args.arch)?;
    let store = context.store(project())?;
    let taken = take(&registry, &entry, &store);
    context.terminal.clear();
    let taken = taken?;
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
    let by_digest = format!("{}@sha256:{}", reference.name(), found.digest);
    let path = taken.path.display().to_string();
    if args.json {
        let mut value = image.json();
        value["digest"] = json!(format!("sha256:{}", found.digest));
        value["path"] = json!(path);
        value["reference"] = json!(by_digest);
        return output::print_json(&value);
    }
    output::print(&format!("{by_digest}\n{path}\n"))
}

/// Returns the directory whose cache takes the image: the project's, where there is one here.
fn project() -> &'static Path {
    let images = Path::new("images");
    if images.is_dir() {
        images
    } else {
        Path::new(".")
    }
}

/// Returns what the digest or the tag of a reference names.
fn named(registry: &dyn Origin, reference: &Reference) -> Result<Descriptor, Failure> {
    let (wanted, object) = match reference.digest {
        Some(digest) => (
            format!("sha256:{digest}"),
            format!("an image with the digest sha256:{digest}"),
        ),
        None => {
            let tag = reference.tag_or_default();
            (tag.to_owned(), format!("the tag `{tag}`"))
        }
    };
    let missing = || Failure::Plain {
        error: Box::new(ShareError::Missing {
            object,
            place: format!("`{}`", registry.name()),
        }),
        help: Some(
            "check the repository and the tag; a registry may also say so to whom it does not know"
                .to_owned(),
        ),
        code: Code::Failed,
    };
    registry.resolve(&wanted)?.ok_or_else(missing)
}

/// Returns the manifest to take of what a reference names.
fn entry(
    registry: &dyn Origin,
    found: &Descriptor,
    arch: Option<Arch>,
) -> Result<Descriptor, Failure> {
    if found.media_type != INDEX {
        return Ok(found.clone());
    }
    let object = format!(
        "the index `sha256:{}` of `{}`",
        found.digest,
        registry.name()
    );
    let index = Index::parse(&registry.manifest(found)?, &object)?;
    let of = |arch: Arch| {
        let is_it = |entry: &&Descriptor| entry.architecture.as_deref() == Some(go_name(arch));
        index.manifests.iter().find(is_it)
    };
    let known: Vec<&str> = Arch::ALL
        .into_iter()
        .filter(|arch| of(*arch).is_some())
        .map(Arch::name)
        .collect();
    let chosen = match (arch, Arch::host().and_then(of)) {
        (Some(arch), _) => of(arch),
        (None, Some(entry)) => Some(entry),
        (None, None) => match known.as_slice() {
            [_] => Arch::ALL.into_iter().find_map(of),
            _ => None,
        },
    };
    chosen.cloned().ok_or_else(|| {
        let wanted = arch.map_or("this machine".to_owned(), |arch| arch.to_string());
        match known.is_empty() {
            true => Failure::from(ShareError::invalid(object, "it lists no image of mkimg")),
            false => Failure::usage(
                format!("{object} has no image for {wanted}"),
                format!(
                    "it has one for {}: name it with `--arch`",
                    known.join(" and ")
                ),
            ),
        }
    })
}
