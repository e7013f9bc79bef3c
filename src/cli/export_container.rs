//! `mkimg export --format`: the root of an image as a container image.

use std::path::Path;

use clap::ValueEnum;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::arch::Arch;
use crate::session::{Loaded, check_file};
use crate::share::ShareError;
use crate::share::container::{Container, Form};
use crate::store::{There, replace};

/// What `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// A bundle: the recipe and its images, for mkimg
    #[default]
    Bundle,
    /// The root tree as a container image: a tar in the OCI layout, one layer, without the kernel
    OciImage,
    /// The same as `docker save` writes it, for `docker load` and `podman load`
    DockerArchive,
}

impl Format {
    /// Returns the container image that is meant; nothing for a bundle.
    pub(super) fn container(self) -> Option<Form> {
        match self {
            Format::Bundle => None,
            Format::OciImage => Some(Form::OciImage),
            Format::DockerArchive => Some(Form::DockerArchive),
        }
    }

    /// Returns what stands behind the image's name where no file is named.
    fn suffix(form: Form) -> &'static str {
        match form {
            Form::OciImage => "oci.tar",
            Form::DockerArchive => "docker.tar",
        }
    }
}

/// Writes the container image of one architecture.
pub(super) fn run(
    context: &Context<'_>,
    opened: &Loaded<'_>,
    form: Form,
    archs: &[Arch],
    file: Option<&Path>,
    as_json: bool,
) -> Result<(), Failure> {
    if archs.len() > 1 {
        let help = "name one with `--arch`, and write a file for each";
        return Err(Failure::usage(
            "a container image is for one architecture",
            help,
        ));
    }
    let plan = opened.plan(archs.first().copied())?;
    let name = format!("{}.{}", plan.name, Format::suffix(form));
    let file = file.map_or_else(|| Path::new(&name).to_path_buf(), Path::to_path_buf);
    let file = if file.is_dir() {
        file.join(&name)
    } else {
        file
    };
    check_file("write", &file)?;
    let store = context.session.store(&opened.base)?;
    let fetch = context.session.fetch_options()?;
    let workshop = context.session.workshop(&store, &fetch);
    let assembled = workshop.tree(&plan, &opened.base);
    context.terminal.clear();
    let assembled = assembled.map_err(|error| opened.wrong(error, plan.arch))?;
    let container = Container::new(&plan.name, plan.arch, &assembled.tree, &store)?;
    let io = |error| ShareError::io("write", &file, error);
    replace(&file, There::Follow, io, |out| {
        container.write(form, out, &file)
    })?;
    let digest = format!("sha256:{}", container.digest);
    context.terminal.line(&format!(
        "{} for {}: the root of `{}` in one layer, {digest}",
        file.display(),
        plan.arch,
        plan.name
    ));
    if as_json {
        return output::print_json(&json!({
            "archs": [plan.arch.name()],
            "digest": digest,
            "path": file.display().to_string(),
        }));
    }
    output::write(|out| writeln!(out, "{}", file.display()))
}
