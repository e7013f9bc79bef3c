//! `mkimg man`: the manual pages.

use std::fs;
use std::path::Path;

use super::args::Man;
use super::command;
use super::failure::Failure;
use super::help::RECIPE;
use super::output;

pub(super) fn run(args: &Man) -> Result<(), Failure> {
    let command = command::documented();
    if let Some(directory) = &args.pages {
        let io = |error| Failure::io("write the manual pages into", directory, error);
        fs::create_dir_all(directory).map_err(io)?;
        clap_mangen::generate_to(command, directory).map_err(io)?;
        return write_recipe(&directory.join("mkimg-recipe.5"));
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .map_err(output::failure)?;
    output::write(|out| out.write_all(&text))
}

/// Writes the reference of the recipe language as a page of section 5: its text as it stands, in a constant-width font.
fn write_recipe(path: &Path) -> Result<(), Failure> {
    let mut page = ".TH MKIMG-RECIPE 5 \"\" mkimg\n.SH NAME\nmkimg-recipe \\- the recipe language of mkimg\n.SH DESCRIPTION\n.nf\n".to_owned();
    for line in RECIPE.lines() {
        // A line that begins with a dot or a quote would be a request of roff.
        if line.starts_with(['.', '\'']) {
            page.push_str("\\&");
        }
        page.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
        page.push('\n');
    }
    page.push_str(".fi\n");
    fs::write(path, page).map_err(|error| Failure::io("write", path, error))
}
