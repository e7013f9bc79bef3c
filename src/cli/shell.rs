//! `mkimg completions` and `mkimg man`: for the shell.

use std::fs;

use clap::CommandFactory as _;

use super::args::{Arguments, Completions, Man};
use super::failure::Failure;
use super::output;

pub(super) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "mkimg", &mut text);
    output::write(|out| out.write_all(&text))
}

pub(super) fn man(args: &Man) -> Result<(), Failure> {
    let command = Arguments::command();
    if let Some(directory) = &args.directory {
        let io = |error| Failure::io("write the manual pages into", directory, error);
        fs::create_dir_all(directory).map_err(io)?;
        return clap_mangen::generate_to(command, directory).map_err(io);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .map_err(output::failure)?;
    output::write(|out| out.write_all(&text))
}
