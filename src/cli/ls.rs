//! `mkimg ls`: the entries of an image.

use serde_json::Value;

use super::archive;
use super::args::{List, ListFormat};
use super::context::Context;
use super::failure::Failure;
use super::gnu_cpio::Script;
use super::output;

pub(super) fn run(context: &Context<'_>, args: &List) -> Result<(), Failure> {
    let made = context.realized(&args.target)?;
    let mut listed = archive::list(&made.initramfs())?;
    if args.format == ListFormat::GnuCpio {
        if args.path.is_some() {
            return Err(Failure::usage(
                "`--format gnu-cpio` is for the whole archive",
                "leave the path out",
            ));
        }
        let script = Script::new(&made, &listed)?;
        return output::write(|out| script.write(out));
    }
    if let Some(path) = &args.path {
        listed.retain(|entry| entry.is_below(path));
        if listed.is_empty() {
            return Err(Failure::usage(
                format!("the image has no `{path}`"),
                "`mkimg ls` without a path lists all it has",
            ));
        }
    }
    if args.json {
        return output::print_json(&listed.iter().map(archive::Listed::json).collect::<Value>());
    }
    output::write(|out| {
        for entry in &listed {
            writeln!(out, "{}", entry.line())?;
        }
        Ok(())
    })
}
