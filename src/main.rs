//! The program `mkimg`: everything is in the library, in its private module `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mkimg::main()
}
