//! What the directory of the pinned QEMU must hold, as it is compiled in: `src/machine/qemu.files`.
//!
//! ```text
//! MODE SIZE SHA256 PATH
//! ```
//!
//! In the order of the paths; the mode is octal. The paths are those of `qemu.kdl`: `GUEST/` goes with the emulator for that guest,
//! all else with each. A test reads the packages and compares; the list is renewed together with the recipe, which says how.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::error::ToolsError;
use crate::arch::Arch;
use crate::dir;
use crate::store::{Store, Sum};

const LIST: &str = include_str!("../machine/qemu.files");

/// What the directory of a tool must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    files: Vec<(Sum, u32)>,
}

impl Manifest {
    /// Returns what is compiled in for a guest.
    ///
    /// # Errors
    /// [`ToolsError::BuiltIn`], which a test keeps from happening.
    pub(super) fn pinned(guest: Arch) -> Result<Manifest, ToolsError> {
        Self::parse(LIST, guest).ok_or_else(|| {
            ToolsError::BuiltIn("the list of its files is not what it should be".to_owned())
        })
    }

    fn parse(list: &str, guest: Arch) -> Option<Manifest> {
        let files: Option<Vec<(Sum, u32)>> = list.lines().map(listed).collect();
        let mut files = files?;
        let others = Arch::ALL.into_iter().filter(|arch| *arch != guest);
        let others: Vec<String> = others.map(|arch| format!("{arch}/")).collect();
        files.retain(|(sum, _)| !others.iter().any(|other| sum.name.starts_with(other)));
        Some(Manifest { files })
    }

    /// Returns what a file must be, and its mode.
    pub(super) fn file(&self, path: &str) -> Option<&(Sum, u32)> {
        self.files.iter().find(|(sum, _)| sum.name == path)
    }

    /// Returns what is wrong with the directory of a tool. Its files are compared by the stamps that were recorded under `name`, or
    /// by their bytes; and there may be no others, which a loader or an emulator would take without being told to.
    pub(super) fn fault(&self, store: &Store, directory: &Path, name: &str) -> Option<String> {
        let mut there = BTreeSet::new();
        if let Err(error) = names(directory, "", &mut there) {
            return Some(error.to_string());
        }
        let own: BTreeSet<&str> = self.files.iter().map(|(sum, _)| &*sum.name).collect();
        if let Some(other) = there.iter().find(|path| !own.contains(&***path)) {
            return Some(format!("`{other}` is not of it"));
        }
        let sums: Vec<Sum> = self.files.iter().map(|(sum, _)| sum.clone()).collect();
        let record = store.record(name);
        if let Err(what) = store.check(directory, name, record.as_ref(), &sums) {
            return Some(what);
        }
        // Every file is there, and is one.
        self.files.iter().find_map(|(sum, mode)| {
            let found = dir::metadata(&directory.join(&sum.name)).ok()?;
            let wanted = mode & 0o500;
            let lost = found.permissions().mode() & wanted != wanted;
            lost.then(|| format!("`{}` lost its mode {mode:o}", sum.name))
        })
    }
}

/// Adds the paths of everything below a directory but the directories.
fn names(directory: &Path, below: &str, there: &mut BTreeSet<String>) -> std::io::Result<()> {
    for path in dir::entries(directory)? {
        let name = path.file_name().unwrap_or_default();
        let name = format!("{below}{}", name.to_string_lossy());
        // A symlink is no directory here.
        match dir::metadata(&path)?.is_dir() {
            true => names(&path, &format!("{name}/"), there)?,
            false => drop(there.insert(name)),
        }
    }
    Ok(())
}

/// Returns the line of a file.
pub(super) fn line(sum: &Sum, mode: u32) -> String {
    format!("{mode:o} {} {} {}\n", sum.size, sum.digest, sum.name)
}

fn listed(line: &str) -> Option<(Sum, u32)> {
    let mut words = line.splitn(4, ' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let size = words.next()?.parse().ok()?;
    let digest = words.next()?.parse().ok()?;
    let name = words.next()?.to_owned();
    Some((Sum { name, digest, size }, mode))
}

#[cfg(test)]
mod tests {
    use super::super::recipe::parts;
    use super::*;
    use crate::digest::Digest;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_list_has_the_files_of_the_recipe_in_their_order() {
        for guest in Arch::ALL {
            let manifest = Manifest::pinned(guest).unwrap();
            let listed: Vec<&str> = manifest.files.iter().map(|(sum, _)| &*sum.name).collect();
            let parts = parts(guest).unwrap();
            let mut wanted: Vec<&str> = parts.files.iter().map(|file| &*file.path).collect();
            wanted.sort_unstable();
            assert_eq!(listed, wanted, "{guest}");
        }
        let text: String = LIST
            .lines()
            .map(|text| listed(text).map(|(sum, mode)| line(&sum, mode)).unwrap())
            .collect();
        assert_eq!(text, LIST);
    }

    #[test]
    fn a_directory_is_at_fault_when_anything_in_it_changed() {
        let abc = |at: &Path| fs::write(at, "abc").unwrap();
        let write = |at: &Path, bytes: &str| {
            fs::remove_file(at).unwrap();
            fs::write(at, bytes).unwrap();
        };
        let list: String = [("a b", 0o444), ("lib/ld.so", 0o555), ("x86_64/q", 0o444)]
            .map(|(name, mode)| {
                let name = name.to_owned();
                let digest = Digest::of(b"abc");
                line(
                    &Sum {
                        name,
                        digest,
                        size: 3,
                    },
                    mode,
                )
            })
            .concat();
        type Harm<'a> = &'a dyn Fn(&Path);
        let cases: [(&str, Harm, Option<&str>); 11] = [
            ("nothing", &|_| {}, None),
            ("a new time", &|at| abc(at), None),
            (
                "a shorter file",
                &|at| write(at, "ab"),
                Some("`a b` has 2 bytes, expected 3"),
            ),
            (
                "other bytes",
                &|at| write(at, "abd"),
                Some("`a b` has sha256 a52d159f"),
            ),
            (
                "no file",
                &|at| fs::remove_file(at).unwrap(),
                Some("`a b`: No such file"),
            ),
            (
                "a directory",
                &|at| {
                    fs::remove_file(at).unwrap();
                    fs::create_dir(at).unwrap();
                },
                Some("`a b` is no file"),
            ),
            (
                "a symlink",
                &|at| {
                    fs::rename(at, at.with_extension("other")).unwrap();
                    symlink("a b.other", at).unwrap();
                },
                Some("`a b.other` is not of it"),
            ),
            (
                "a mode",
                &|at| {
                    let loader = at.with_file_name("lib").join("ld.so");
                    fs::set_permissions(loader, fs::Permissions::from_mode(0o444)).unwrap();
                },
                Some("`lib/ld.so` lost its mode 555"),
            ),
            (
                "another library",
                &|at| {
                    let beside = at.with_file_name("lib/glibc-hwcaps/x86-64-v3");
                    fs::create_dir_all(&beside).unwrap();
                    abc(&beside.join("libz.so.1"));
                },
                Some("`lib/glibc-hwcaps/x86-64-v3/libz.so.1` is not of it"),
            ),
            (
                "a directory elsewhere",
                &|at| {
                    let lib = at.with_file_name("lib");
                    fs::rename(&lib, at.with_file_name("other")).unwrap();
                    symlink("other", &lib).unwrap();
                },
                Some("`lib` is not of it"),
            ),
            (
                "nothing at all",
                &|at| fs::remove_dir_all(at.parent().unwrap()).unwrap(),
                Some("No such file"),
            ),
        ];
        for (name, harm, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            let store = Store::open(&root.path().join("cache")).unwrap();
            let directory = store.root().join("tool");
            for below in ["lib", "x86_64"] {
                fs::create_dir_all(directory.join(below)).unwrap();
            }
            let manifest = Manifest::parse(&list, Arch::X86_64).unwrap();
            for (sum, mode) in &manifest.files {
                let path = directory.join(&sum.name);
                abc(&path);
                let mode = fs::Permissions::from_mode(*mode | 0o200);
                fs::set_permissions(&path, mode).unwrap();
            }
            assert_eq!(manifest.fault(&store, &directory, "t"), None, "{name}");
            assert!(store.record("t").is_some());
            harm(&directory.join("a b"));
            let fault = manifest.fault(&store, &directory, "t");
            let matches = match (&fault, expected) {
                (Some(fault), Some(expected)) => fault.starts_with(expected),
                (fault, expected) => fault.is_none() && expected.is_none(),
            };
            assert!(matches, "{name}: {fault:?}");
        }
        // The emulator for another guest is another tool.
        let arm = Manifest::parse(&list, Arch::Aarch64).unwrap();
        assert_eq!((arm.files.len(), arm.file("x86_64/q")), (2, None));
    }
}
