//! Real packages and real trees: the same as `dpkg-deb -x` and `tar -x` make of them.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use mkimg::digest::Digest;
use mkimg::source::{Member, MemberKind};

use super::bed::{Bed, all, bytes, deb, one, tree};
use super::package::debian_package;
use super::support::tool;

const BUSYBOX: (&str, &str) = ("busybox-static", "1:1.35.0-4+deb12u1+b1");
const CLOUD: (&str, &str) = ("linux-image-6.1.0-50-cloud-amd64", "6.1.176-1");

/// Returns a line for each thing below a directory, without owners: the tests may not run as root.
pub(super) fn on_disk(root: &Path) -> Vec<String> {
    fn walk(root: &Path, directory: &Path, lines: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display();
            let mode = found.permissions().mode() & 0o7777;
            lines.push(if found.is_dir() {
                format!("{name} {mode:o} dir")
            } else if found.is_symlink() {
                format!(
                    "{name} 777 link {}",
                    fs::read_link(&path).unwrap().display()
                )
            } else {
                assert!(!found.file_type().is_fifo());
                let digest = Digest::of(&fs::read(&path).unwrap());
                format!("{name} {mode:o} file {} {digest}", found.size())
            });
            if found.is_dir() {
                walk(root, &path, lines);
            }
        }
    }
    let mut lines = Vec::new();
    walk(root, root, &mut lines);
    lines.sort();
    lines
}

pub(super) fn of_members(members: &[Member]) -> Vec<String> {
    let mut lines: Vec<String> = members
        .iter()
        .map(|member| {
            let name = String::from_utf8_lossy(&member.path);
            let mode = member.mode;
            match &member.kind {
                MemberKind::Directory => format!("{name} {mode:o} dir"),
                MemberKind::Symlink(target) => {
                    format!("{name} {mode:o} link {}", String::from_utf8_lossy(target))
                }
                MemberKind::File(content) => {
                    format!("{name} {mode:o} file {} {}", content.size, content.digest)
                }
                MemberKind::Device { .. } | MemberKind::Flawed(_) => {
                    format!("{name} {mode:o} device, or what no image has")
                }
            }
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_debian_package_has_the_members_that_dpkg_deb_unpacks() {
    for (name, version) in [BUSYBOX, CLOUD] {
        let (Some(package), Some(dpkg_deb)) = (debian_package(name, version), tool("dpkg-deb"))
        else {
            return;
        };
        let bed = Bed::new();
        let to = bed.directory.path().join("unpacked");
        let status = Command::new(dpkg_deb)
            .arg("-x")
            .args([&package, &to])
            .status();
        assert!(status.unwrap().success());
        let package = fs::read(&package).unwrap();
        let members = bed.read(&package, &all()).unwrap();
        let expected = on_disk(&to);
        assert!(expected.len() > 5);
        assert_eq!(of_members(&members), expected);
        // The digests above are the listing's; these are the bytes.
        for member in members.iter().filter(|member| member.path.len() % 7 == 0) {
            if let MemberKind::File(content) = &member.kind
                && content.size < 1_000_000
            {
                let path = to.join(std::str::from_utf8(&member.path).unwrap());
                assert_eq!(bytes(member), fs::read(path).unwrap());
            }
        }
    }
}

#[test]
fn the_kernel_image_and_the_module_tree_come_out_of_the_package() {
    let Some(package) = debian_package(CLOUD.0, CLOUD.1) else {
        return;
    };
    let bed = Bed::new();
    let package = fs::read(&package).unwrap();
    let kernel = bed.read(&package, &one("boot/vmlinuz-*")).unwrap();
    assert_eq!(kernel.len(), 1);
    assert_eq!(kernel[0].path, b"boot/vmlinuz-6.1.0-50-cloud-amd64");
    assert_eq!(&bytes(&kernel[0])[0x202..0x206], b"HdrS");
    let modules = bed.read(&package, &tree(&["lib/modules"], &[])).unwrap();
    let files = modules
        .iter()
        .filter(|member| matches!(member.kind, MemberKind::File(_)));
    assert!(files.count() > 500);
    assert_eq!(modules[0].path, b"lib");
    assert!(modules.iter().all(|member| member.path.starts_with(b"lib")));
}

#[test]
fn what_gnu_tar_packs_in_each_of_its_formats_is_what_it_unpacks() {
    let Some(tar) = tool("tar") else {
        return;
    };
    let bed = Bed::new();
    let from = bed.directory.path().join("from");
    let deep = from.join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f".repeat(100)), "deep").unwrap();
    fs::write(from.join("empty"), "").unwrap();
    fs::write(from.join("ünï"), "x".repeat(512)).unwrap();
    fs::set_permissions(from.join("empty"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(&deep, fs::Permissions::from_mode(0o1750)).unwrap();
    symlink("t".repeat(150), from.join("long-link")).unwrap();
    fs::hard_link(from.join("ünï"), from.join("zwei")).unwrap();
    let expected = on_disk(&from);
    assert_eq!(expected.len(), 7);
    for format in ["gnu", "oldgnu", "pax", "ustar", "v7"] {
        let archive = bed.directory.path().join("archive.tar");
        let mut command = Command::new(&tar);
        command
            .arg(format!("--format={format}"))
            .arg("-cf")
            .arg(&archive);
        if ["ustar", "v7"].contains(&format) {
            // These have no room for the long ones.
            command.args(["--exclude=ddd*", "--exclude=long-link"]);
        }
        let status = command.arg("-C").arg(&from).arg(".").status();
        assert!(status.unwrap().success());
        let archive = fs::read(&archive).unwrap();
        let short = ["ustar", "v7"].contains(&format);
        let expected: Vec<String> = expected
            .iter()
            .filter(|line| !short || !(line.starts_with("ddd") || line.starts_with("long")))
            .cloned()
            .collect();
        for archive in [archive.clone(), deb(&archive)] {
            let members = bed.read(&archive, &all()).unwrap();
            assert_eq!(of_members(&members), expected, "{format}");
        }
    }
}
