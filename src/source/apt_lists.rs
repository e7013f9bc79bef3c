//! What this machine's apt knows about a package: the `Packages` files below `/var/lib/apt/lists`, as far as a signed `InRelease`
//! that lies beside them has their sha256. apt checked that signature when it fetched them.
//!
//! ```text
//! HOST_PATH_dists_SUITE_InRelease    HOST_PATH_dists_SUITE_COMPONENT_binary-ARCH_Packages[.lz4]
//! ```

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::digest::Digest;

/// What a list says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The sha256 that it has there.
    pub sha256: Digest,
    /// The suite of the list, such as `bookworm-updates`.
    pub suite: String,
}

/// Returns what the lists in a directory say about `path` (`pool/..`) of an archive (`debian`). What cannot be read, is in no signed
/// list, or is of another archive, is passed over.
pub fn listed(lists: &Path, archive: &str, path: &str) -> Vec<Listed> {
    let mut names: Vec<String> = fs::read_dir(lists)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let mut found = Vec::new();
    for release in names.iter().filter(|name| name.ends_with("_InRelease")) {
        let above = release.trim_end_matches("InRelease");
        let Some(suite) = suite_of(above, archive) else {
            continue;
        };
        let Some(signed) = fs::read_to_string(lists.join(release))
            .ok()
            .and_then(|text| signed_part(&text).map(str::to_owned))
        else {
            continue;
        };
        for name in names.iter().filter(|name| name.starts_with(above)) {
            let Some(index) = index_of(name, above).filter(|index| fits(index, path)) else {
                continue;
            };
            let Some(expected) = sha256_of(&signed, &index) else {
                continue;
            };
            let Some(bytes) = read(&lists.join(name)) else {
                continue;
            };
            if Digest::of(&bytes) != expected {
                continue;
            }
            let text = String::from_utf8_lossy(&bytes);
            found.extend(package(&text, path).map(|sha256| Listed {
                sha256,
                suite: suite.to_owned(),
            }));
        }
    }
    found
}

/// Returns the suite in `HOST_PATH_dists_SUITE_`, where the path ends in the archive's name.
fn suite_of<'n>(above: &'n str, archive: &str) -> Option<&'n str> {
    let (root, suite) = above.strip_suffix('_')?.split_once("_dists_")?;
    (root.rsplit('_').next() == Some(archive)).then_some(suite)
}

/// Returns the part of an `InRelease` that its signature is about.
fn signed_part(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("-----BEGIN PGP SIGNED MESSAGE-----")?;
    Some(rest.split_once("\n-----BEGIN PGP SIGNATURE-----")?.0)
}

/// Returns the path that a `Packages` file has in its `InRelease`.
fn index_of(name: &str, above: &str) -> Option<String> {
    let rest = name.strip_prefix(above)?;
    let plain = ["", ".lz4", ".gz", ".xz", ".bz2", ".zst"]
        .iter()
        .find_map(|end| rest.strip_suffix(end)?.strip_suffix("_Packages"))?;
    Some(format!("{}/Packages", plain.replace('_', "/")))
}

/// Says whether the list of an architecture can have a file: every list has those of `all`.
fn fits(index: &str, path: &str) -> bool {
    let arch = path
        .strip_suffix(".deb")
        .and_then(|stem| stem.rsplit_once('_'));
    arch.is_none_or(|(_, arch)| {
        arch == "all" || index.ends_with(&format!("/binary-{arch}/Packages"))
    })
}

/// Returns the sha256 that an `InRelease` has for an index.
fn sha256_of(signed: &str, index: &str) -> Option<Digest> {
    let (_, block) = signed.split_once("\nSHA256:")?;
    let lines = block
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with(' '));
    let mut found = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let digest = words.next()?.parse().ok();
        (words.nth(1) == Some(index)).then_some(digest)?
    });
    found.next()
}

/// Returns the sha256 in the paragraph of a file.
fn package(list: &str, path: &str) -> Option<Digest> {
    let field = format!("\nFilename: {path}\n");
    let at = list.find(&field)?;
    let (before, after) = list.split_at_checked(at)?;
    let start = before.rfind("\n\n").map_or(0, |start| start + 1);
    let end = after.find("\n\n").map_or(list.len(), |end| at + end);
    let paragraph = list.get(start..end)?;
    let mut values = paragraph
        .lines()
        .filter_map(|line| line.strip_prefix("SHA256:"));
    values.next()?.trim().parse().ok()
}

/// Reads a list; apt itself reads the ones that it keeps compressed.
fn read(path: &Path) -> Option<Vec<u8>> {
    if path.extension().is_none() || path.to_string_lossy().ends_with("_Packages") {
        return fs::read(path).ok();
    }
    let output = Command::new("/usr/lib/apt/apt-helper")
        .arg("cat-file")
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = "pool/main/x/x/x_1_amd64.deb";

    fn packages(path: &str, digest: &Digest) -> String {
        format!(
            "Package: w\nFilename: pool/w_1_amd64.deb\nSHA256: {}\n\nPackage: x\nFilename: {path}\nSize: 5\nSHA256: {digest}\n\n\
             Package: y\nFilename: pool/y_1_amd64.deb\nSHA256: {}\n",
            Digest::of(b"w"),
            Digest::of(b"y")
        )
    }

    fn release(index: &str, list: &str) -> String {
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: x\nMD5Sum:\n 00 1 {index}\nSHA256:\n {} 1 other\n {} {} {index}\n\
             -----BEGIN PGP SIGNATURE-----\n\n..\n-----END PGP SIGNATURE-----\n",
            Digest::of(b"other"),
            Digest::of(list.as_bytes()),
            list.len()
        )
    }

    #[test]
    fn only_a_list_that_a_signed_release_has_counts() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let listed = |archive: &str, path: &str| listed(directory.path(), archive, path);
        let (right, wrong) = (Digest::of(b"right"), Digest::of(b"wrong"));
        let list = packages(PACKAGE, &right);
        let index = "main/binary-amd64/Packages";
        write(
            "m.test_debian_dists_bookworm_main_binary-amd64_Packages",
            &list,
        );
        assert_eq!(listed("debian", PACKAGE), [], "no release");
        let signed = release(index, &list);
        write("m.test_debian_dists_bookworm_InRelease", &signed);
        let found = Listed {
            sha256: right,
            suite: "bookworm".to_owned(),
        };
        assert_eq!(listed("debian", PACKAGE), [found]);
        assert_eq!(listed("debian-security", PACKAGE), []);
        assert_eq!(listed("debian", "pool/main/x/x/x_1_arm64.deb"), []);
        assert_eq!(listed("debian", "pool/main/x/x/x_1_amd64"), []);
        // A list that is not the one of the release, and a release that nobody signed.
        let forged = packages(PACKAGE, &wrong);
        write(
            "m.test_debian_dists_bookworm_main_binary-amd64_Packages",
            &forged,
        );
        assert_eq!(listed("debian", PACKAGE), []);
        write(
            "m.test_debian_dists_bookworm_InRelease",
            &release(index, &forged).replace("-----BEGIN PGP SIGNED MESSAGE-----\n", ""),
        );
        assert_eq!(listed("debian", PACKAGE), []);
    }
}
