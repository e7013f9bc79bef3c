//! `mkimg ls`: the entries of an image, as the kernel has them once it has unpacked the archive.

use serde_json::Value;

use super::args::{List, ListFormat};
use super::context::Context;
use super::failure::Failure;
use super::gnu_cpio::Script;
use super::output;
use crate::progress::{Event, Progress as _};
use crate::session;

pub(super) fn run(context: &Context<'_>, args: &List) -> Result<(), Failure> {
    let made = context.realized(&args.target)?;
    let contents = session::read_archive(&made.initramfs())?;
    if args.format == ListFormat::GnuCpio {
        if args.path.is_some() {
            return Err(Failure::usage(
                "`--format gnu-cpio` is for the whole archive",
                "leave the path out",
            ));
        }
        let script = Script::new(&made, &contents.entries)?;
        return output::write(|out| script.write(out));
    }
    for lost in contents.lost() {
        context.terminal.event(Event::Warning(lost));
    }
    let mut listed = contents.files();
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
        return output::print_json(&listed.iter().map(session::Listed::json).collect::<Value>());
    }
    output::write(|out| {
        for entry in &listed {
            writeln!(out, "{}", entry.line())?;
        }
        Ok(())
    })
}
