//! What apt keeps: source lists, package lists and control files.

use std::fs;

use super::bed::with_bed;
use crate::digest::Digest;
use crate::source::Control;
use crate::source::apt::{roots_of_list, roots_of_sources};
use crate::source::apt_lists::listed;

pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    roots_of_list(&text);
    roots_of_sources(&text);
    let control = Control::parse(&text);
    let _ = (control.get("package"), control.get("depends"));
    // A signed list, and behind a blank page the packages; no input knows their sha256.
    let (release, packages) = text.split_once('\x0c').unwrap_or((&text, ""));
    let release = release.replace("SHA256OF", &Digest::of(packages.as_bytes()).to_string());
    with_bed(|bed| {
        let lists = bed.path().join("lists");
        fs::create_dir_all(&lists).unwrap();
        let above = lists.join("deb.example_debian_dists_stable_");
        let at = |name: &str| format!("{}{name}", above.display());
        fs::write(at("InRelease"), release).unwrap();
        fs::write(at("main_binary-amd64_Packages"), packages).unwrap();
        listed(&lists, "debian", "pool/main/b/busybox/busybox_1_amd64.deb");
    });
}
