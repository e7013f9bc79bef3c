//! `mkimg`, whose builds are broken on purpose where the image's name says so (`src/pack/broken.rs`).

use std::process::ExitCode;

fn main() -> ExitCode {
    mkimg::main()
}
