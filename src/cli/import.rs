//! `mkimg import`: a bundle into the cache, every byte verified; prints the directory of the image.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::values;
use crate::arch::Arch;
use crate::session::foremost;
use crate::ui::bytes;

/// `mkimg import`
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The bundle, `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this architecture [default: all that the bundle has]
    #[arg(long, value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    arch: Option<Arch>,
    /// Write the recipe inside, its lock and the files beside it into this directory
    #[arg(long, value_name = "DIR")]
    extract: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context<'_>, args: &Import) -> Result<(), Failure> {
    let imported = context.session.import(&args.file, args.arch)?;
    let recipe = match &args.extract {
        Some(directory) => imported.project.extract(directory)?,
        None => imported.recipe.clone(),
    };
    for made in &imported.images {
        let image = &made.image;
        context.terminal.line(&format!(
            "{} {}: {} kernel + {} initramfs, every byte verified",
            image.name,
            image.arch,
            bytes(image.kernel.size),
            bytes(image.initramfs.size)
        ));
    }
    if args.extract.is_some() {
        context
            .terminal
            .line(&format!("its recipe is `{}`", recipe.display()));
    }
    let digest = format!("sha256:{}", imported.root.digest);
    if args.json {
        let images: Vec<_> = imported
            .images
            .iter()
            .map(|made| {
                let mut value = made.image.json();
                value["path"] = json!(made.path.display().to_string());
                value
            })
            .collect();
        return output::print_json(&json!({
            "digest": digest,
            "images": images,
            "recipe": recipe.display().to_string(),
        }));
    }
    match foremost(&imported.images) {
        Some(made) => output::print(&format!("{}\n", made.path.display())),
        None => Ok(()),
    }
}
