//! The program of libFuzzer. `FUZZ_TARGET` names the target; `list` prints the names of all.
#![no_main]

use std::process;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mkimg::fuzzing::TARGETS;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    if let Some((_, run)) = TARGETS.iter().find(|(known, _)| *known == name) {
        TARGET.get_or_init(|| *run);
        return;
    }
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    println!("{}", names.join("\n"));
    process::exit(if name == "list" { 0 } else { 2 });
}

fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(run) = TARGET.get() {
        run(data);
    }
});
