//! `mkimg export`: a recipe and its images in one file; prints the file.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::export_container::{self, Format};
use super::failure::Failure;
use super::output;
use super::values;
use crate::arch::Arch;
use crate::session::{Key, Loaded, Shared, check_file, local_file_lines};
use crate::share::bundle::{write, write_to};
use crate::share::{ShareError, plan_tag};
use crate::ui::bytes;

/// `mkimg export`
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The recipe: a file, the NAME of `images/NAME.kdl`, or a bundle [default: the only one in `images/`]
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// The file to write, `-` for standard output [default: NAME.mkimg]; into a directory also one file for each plan, for
    /// those who substitute
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    /// Only this architecture; may be given several times [default: all that the recipe has]
    #[arg(long = "arch", value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    archs: Vec<Arch>,
    /// Put the sources in too, so that whoever has the file can rebuild the image without a network
    #[arg(long)]
    with_sources: bool,
    /// Sign it with this SSH key: a private key, or the public key of one that an agent has
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context<'_>, args: &Export) -> Result<(), Failure> {
    let output = args.output.as_deref();
    let stream = output.is_some_and(|path| ["-", "/dev/stdout"].map(Path::new).contains(&path));
    if stream {
        check_stream(args.json)?;
    }
    if let Some(form) = args.format.container() {
        let odd = [
            (stream, "`--output -`"),
            (args.with_sources, "`--with-sources`"),
            (args.sign.is_some(), "`--sign`"),
        ];
        if let Some((_, option)) = odd.into_iter().find(|(given, _)| *given) {
            let help =
                "leave it out: a container image has the root tree alone, and goes to a file";
            return Err(Failure::usage(format!("{option} is for a bundle"), help));
        }
        let opened = context.open(args.recipe.as_deref())?;
        return export_container::run(context, &opened, form, &args.archs, output, args.json);
    }
    let key = args.sign.as_deref().map(Key::open).transpose()?;
    let opened = context.open(args.recipe.as_deref())?;
    let name = format!("{}.mkimg", opened.parsed.recipe.name.value);
    let target = args.output.clone().unwrap_or_else(|| PathBuf::from(&name));
    let directory = target.is_dir();
    let file = match directory {
        true => target.join(&name),
        false => target.clone(),
    };
    if !stream {
        check_file("write", &file)?;
    }
    let mut archs = args.archs.clone();
    archs.sort_unstable();
    archs.dedup();
    let shared = opened.share(&archs, args.with_sources)?;
    if let Some(key) = &key {
        shared.sign(key)?;
    }
    let size = match stream {
        true => write_out(&shared)?,
        false => write(&shared.artifact.layout, &file)?,
    };
    if directory {
        each_plan(&opened, &shared, &target, args, key.as_ref())?;
    }
    let digest = format!("sha256:{}", shared.artifact.index.digest);
    let archs: Vec<&str> = shared
        .artifact
        .manifests
        .keys()
        .map(|arch| arch.name())
        .collect();
    let shown = match stream {
        true => "standard output".to_owned(),
        false => file.display().to_string(),
    };
    context.terminal.line(&format!(
        "{shown} for {}: {}, {digest}",
        archs.join(" and "),
        bytes(size)
    ));
    local_file_lines(&shared.files).for_each(|line| context.terminal.line(&line));
    if args.json {
        return output::print_json(&json!({
            "archs": archs,
            "digest": digest,
            "local_files": output::local_files(&shared.files),
            "path": file.display().to_string(),
            "size": size,
        }));
    }
    if stream {
        return Ok(());
    }
    output::print(&format!("{}\n", file.display()))
}

/// Refuses a standard output that a bundle cannot go to.
fn check_stream(json: bool) -> Result<(), Failure> {
    let (problem, help) = match (json, std::io::stdout().is_terminal()) {
        (true, _) => (
            "`--output -` and `--json` both write to standard output",
            "name a file with `--output`, or leave `--json` out",
        ),
        (_, true) => (
            "standard output is a terminal: a bundle is not for reading",
            "name a file with `--output`, or a pipe",
        ),
        _ => return Ok(()),
    };
    Err(Failure::usage(problem, help))
}

/// Writes the bundle to standard output; returns its size.
fn write_out(shared: &Shared) -> Result<u64, Failure> {
    let mut out = std::io::stdout().lock();
    let written = write_to(
        &shared.artifact.layout,
        &mut out,
        Path::new("standard output"),
    );
    written.map_err(|error| match error {
        ShareError::Io {
            what: "write",
            source,
            ..
        } => output::failure(source),
        error => error.into(),
    })
}

/// Writes a bundle of one architecture for each plan, by the plan's name.
fn each_plan(
    opened: &Loaded<'_>,
    shared: &Shared,
    directory: &Path,
    args: &Export,
    key: Option<&Key>,
) -> Result<(), Failure> {
    for made in &shared.images {
        let one = opened.share(&[made.image.arch], args.with_sources)?;
        if let Some(key) = key {
            one.sign(key)?;
        }
        let name = format!("{}.mkimg", plan_tag(&made.image.plan));
        write(&one.artifact.layout, &directory.join(name))?;
    }
    Ok(())
}
