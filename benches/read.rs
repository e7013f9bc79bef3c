//! Reading members out of a kernel package, beside `dpkg-deb -x` of the same package: `cargo bench --bench read -- DEB [TURNS]`.
//! `benches/read.sh` gets the package and calls this.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use mkimg::progress::Silent;
use mkimg::source::{Limits, Member, Want, members};
use mkimg::store::{Blob, Store};

const LIMITS: Limits = Limits {
    max_unpacked: 4 << 30,
    jobs: 2,
};

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let Some(deb) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: cargo bench --bench read -- DEB [TURNS]");
        return ExitCode::from(2);
    };
    let turns = arguments.next().map_or(7, |turns| turns.parse().unwrap());
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(&directory.path().join("cache")).unwrap();
    let blob = store
        .blob_from(&mut fs::File::open(&deb).unwrap(), &deb)
        .unwrap();
    let one = Want::One {
        path: "boot/vmlinuz-*".to_owned(),
    };
    let tree = Want::Tree {
        include: vec!["lib/modules".to_owned()],
        exclude: Vec::new(),
    };
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..turns {
        for (want, times) in [&one, &tree].into_iter().zip(&mut times) {
            times.push(read(&store, &blob, want));
        }
        times[2].push(dpkg_deb(&deb, &directory.path().join("x")));
    }
    let [one, tree, dpkg] = times.map(median);
    println!("dpkg-deb -x, the whole package      {dpkg:.4} s");
    println!(
        "mkimg, the kernel image             {one:.4} s   {:.1} times faster",
        dpkg / one
    );
    println!(
        "mkimg, the module tree, synced      {tree:.4} s   {:.2} times faster",
        dpkg / tree
    );
    ExitCode::SUCCESS
}

fn read(store: &Store, blob: &Blob, want: &Want) -> Duration {
    let start = Instant::now();
    let wants = std::slice::from_ref(want);
    let found: Vec<Vec<Member>> = members(store, blob, "package", wants, &LIMITS, &Silent).unwrap();
    let time = start.elapsed();
    assert!(!found[0].is_empty());
    store.remove_members(&blob.digest).unwrap();
    time
}

fn dpkg_deb(deb: &Path, to: &Path) -> Duration {
    let start = Instant::now();
    let status = Command::new("dpkg-deb").arg("-x").args([deb, to]).status();
    assert!(status.unwrap().success());
    let time = start.elapsed();
    fs::remove_dir_all(to).unwrap();
    time
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
