//! The program `mkimg`: everything is in the library, see `mkimg::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mkimg::cli::main()
}
