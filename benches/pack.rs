//! Packs a directory several times and prints the median wall time, the size and the peak memory. `benches/pack.sh` runs it.
//!
//! `cargo bench --bench pack -- DIRECTORY LEVEL JOBS TURNS OUTPUT`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

#[path = "../tests/support/tree.rs"]
mod tree;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use mkimg::pack::{Compression, Packed, pack};

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let [directory, level, jobs, turns, output] = &args[..] else {
        eprintln!("skipped: give DIRECTORY LEVEL JOBS TURNS OUTPUT, or run benches/pack.sh");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let tree = tree::from_directory(Path::new(directory), &scratch.path().join("data"));
    let level = level.parse().unwrap();
    let jobs = jobs.parse().unwrap();
    let turn = |_| -> (Duration, Packed) {
        let mut out = File::create(output).unwrap();
        let start = Instant::now();
        let packed = pack(
            &tree,
            Compression::Gzip { level },
            jobs,
            &mut out,
            &mut |_| {},
        );
        (start.elapsed(), packed.unwrap())
    };
    let mut turns: Vec<_> = (0..turns.parse().unwrap()).map(turn).collect();
    turns.sort_by_key(|(time, _)| *time);
    let (time, packed) = turns[turns.len() / 2];
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB");
    // Seconds, KiB, bytes; then the identities.
    println!(
        "{:.3} {peak} {} {} {}",
        time.as_secs_f64(),
        packed.output_size,
        packed.tree,
        packed.output
    );
}
