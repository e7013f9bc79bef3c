//! `mkimg show`: what an image is, its identities, and what its size is made of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde_json::json;

use super::args::Look;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::realize::Realized;
use crate::session::{Listed, list};
use crate::ui::{bar, bytes};

/// How many entries and directories are shown.
const SHOWN: usize = 8;
/// Characters of the longest bar.
const BAR: usize = 24;

pub(super) fn run(context: &Context<'_>, args: &Look) -> Result<(), Failure> {
    let made = context.realized(&args.target)?;
    let listed = list(&made.initramfs())?;
    let files = listed.iter().filter(|entry| entry.record.is_file());
    let entries = largest(
        files
            .map(|entry| (entry.path(), u64::from(entry.record.size)))
            .collect(),
    );
    let directories = largest(directory_sizes(&listed));
    if args.json {
        let sizes = |sizes: &[(String, u64)]| -> serde_json::Value {
            sizes
                .iter()
                .map(|(path, size)| json!({ "path": path, "size": size }))
                .collect()
        };
        let mut value = made.image.json();
        value["path"] = json!(made.path.display().to_string());
        value["entries"] = json!(listed.len());
        value["largest_entries"] = sizes(&entries);
        value["largest_directories"] = sizes(&directories);
        return output::print_json(&value);
    }
    let mut text = head(&made, listed.len());
    let bars = std::io::stdout().is_terminal();
    section(
        &mut text,
        "largest entries",
        &entries,
        made.image.archive_size,
        bars,
    );
    section(
        &mut text,
        "largest directories",
        &directories,
        made.image.archive_size,
        bars,
    );
    output::print(&text)
}

fn head(made: &Realized, entries: usize) -> String {
    let image = &made.image;
    let mut text = format!("{} {}\n", image.name, image.arch);
    let mut line = |name: &str, value: String| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    line("path", made.path.display().to_string());
    line("plan", image.plan.to_string());
    line("sources", image.sources.to_string());
    for (name, digest) in image.inputs() {
        line("", format!("{digest}  {name}"));
    }
    line("tree", image.tree.to_string());
    line(
        "image",
        format!("{}  {}", image.initramfs.digest, image.initramfs.name),
    );
    line(
        "",
        format!("{}  {}", image.kernel.digest, image.kernel.name),
    );
    line("kernel", bytes(image.kernel.size));
    let (packed, whole) = (bytes(image.initramfs.size), bytes(image.archive_size));
    line(
        "initramfs",
        format!("{packed}, unpacked {whole} in {entries} entries"),
    );
    let cpus = if image.cpus == 1 {
        "1 CPU".to_owned()
    } else {
        format!("{} CPUs", image.cpus)
    };
    let cmdline = if image.cmdline.is_empty() {
        String::new()
    } else {
        format!(", cmdline `{}`", image.cmdline)
    };
    line(
        "boot",
        format!("{} MiB, {cpus}{cmdline}", image.memory >> 20),
    );
    text
}

/// Returns the bytes of files in each directory, those in its subdirectories included.
fn directory_sizes(listed: &[Listed]) -> Vec<(String, u64)> {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    for entry in listed {
        let path = entry.path();
        let size = u64::from(entry.record.size);
        for (end, _) in path.match_indices('/').skip(1) {
            *sizes.entry(path[..end].to_owned()).or_default() += size;
        }
    }
    sizes.into_iter().collect()
}

/// Returns the largest ones, largest first, equal ones by name; those without bytes are left out.
fn largest(mut sizes: Vec<(String, u64)>) -> Vec<(String, u64)> {
    sizes.retain(|(_, size)| *size > 0);
    sizes.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    sizes.truncate(SHOWN);
    sizes
}

fn section(text: &mut String, title: &str, sizes: &[(String, u64)], whole: u64, bars: bool) {
    if sizes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n  {title}");
    for (path, size) in sizes {
        let drawn = if bars {
            format!("{:<BAR$} ", bar(*size, whole, BAR, true))
        } else {
            String::new()
        };
        let percent = *size as f64 * 100.0 / whole.max(1) as f64;
        let _ = writeln!(text, "  {:>9} {percent:>5.1}% {drawn}{path}", bytes(*size));
    }
}
