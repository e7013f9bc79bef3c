//! The built-in recipe of QEMU, as far as one guest needs it.

use std::path::PathBuf;

use super::error::ToolsError;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::{Plan, Planned};
use crate::source::fetch::Wanted;

/// The recipe. It is an ordinary one, so that `mkimg pin` can renew it; what its nodes mean here is said in it.
const TEXT: &str = include_str!("../machine/qemu.kdl");

/// The version of QEMU in it, as the program itself says it.
pub const VERSION: &str = "7.2.22";

/// The directory of the recipe whose files go with every emulator.
pub(super) const LIBRARIES: &str = "lib";

/// The loader's name in a tool's directory.
pub(super) const LOADER: &str = "ld-linux-x86-64.so.2";

/// Changes when another directory would be made of the same recipe.
const RULES: u32 = 2;

/// What to fetch and to unpack for one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// The packages, in the order of their names.
    pub(super) packages: Vec<Wanted>,
    /// The files, in the order of their packages.
    pub(super) files: Vec<File>,
}

/// A file of the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Its path in the tool's directory.
    pub(super) path: String,
    /// The package it is from.
    pub(super) package: String,
    /// Its path in the package.
    pub(super) member: String,
}

/// Returns the digest that names the tool for a guest in the cache: it hangs on the recipe's text alone.
pub(super) fn digest(guest: Arch) -> Digest {
    Digest::of(format!("mkimg-tool {RULES} qemu {guest}\n{TEXT}").as_bytes())
}

/// Reads the recipe.
///
/// # Errors
/// [`ToolsError::BuiltIn`], which a test keeps from happening.
pub(super) fn parts(guest: Arch) -> Result<Parts, ToolsError> {
    let plan = Plan::of_text("qemu.kdl", TEXT, guest).map_err(ToolsError::BuiltIn)?;
    let loader = plan.kernel.member().map(|(from, member)| File {
        path: LOADER.to_owned(),
        package: from.to_owned(),
        member: member.to_owned(),
    });
    let entries = plan.entries.iter();
    let files: Vec<File> = loader
        .into_iter()
        .chain(entries.filter_map(|entry| file(entry, guest)))
        .collect();
    let mut parts = Parts {
        packages: Vec::new(),
        files: Vec::new(),
    };
    for (name, source) in plan.sources {
        let own = files.iter().filter(|file| file.package == name);
        let before = parts.files.len();
        parts.files.extend(own.cloned());
        if parts.files.len() > before {
            parts.packages.push(Wanted {
                name,
                digest: source.digest,
                size: source.size,
                places: source.places,
                base: PathBuf::new(),
            });
        }
    }
    Ok(parts)
}

/// Returns the file of an entry, where the guest needs it.
fn file(entry: &Planned, guest: Arch) -> Option<File> {
    let path = entry.path.trim_start_matches('/');
    let top = path.split('/').next()?;
    let (from, member) = entry.origin()?.member()?;
    (top == LIBRARIES || top == guest.name()).then(|| File {
        path: path.to_owned(),
        package: from.to_owned(),
        member: member.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;
    use std::collections::BTreeSet;

    #[test]
    fn every_package_is_pinned_with_its_size_in_the_main_archive_and_needed() {
        let plan = Plan::of_text("qemu.kdl", TEXT, Arch::X86_64).unwrap();
        // A plan has no source that nothing uses.
        assert_eq!(plan.sources.len(), TEXT.matches("\nsource ").count());
        for (name, source) in &plan.sources {
            assert!(source.size.is_some(), "{name}");
            let [
                Place::Debian {
                    path,
                    snapshot,
                    archive,
                },
            ] = source.places.as_slice()
            else {
                panic!("{name}: one location serves every guest");
            };
            assert_eq!(archive, "debian");
            assert_eq!(snapshot.as_deref(), Some("20260711T101637Z"));
            assert!(path.starts_with("pool/main/"), "{path}");
        }
    }

    #[test]
    fn each_guest_gets_its_own_emulator_and_the_libraries_and_nothing_twice() {
        let names = |guest| {
            let parts = parts(guest).unwrap();
            let paths: BTreeSet<String> =
                parts.files.iter().map(|file| file.path.clone()).collect();
            assert_eq!(paths.len(), parts.files.len());
            let packages: BTreeSet<&str> = parts
                .packages
                .iter()
                .map(|package| package.name.as_str())
                .collect();
            let used: BTreeSet<&str> = parts
                .files
                .iter()
                .map(|file| file.package.as_str())
                .collect();
            assert_eq!(packages, used);
            paths
        };
        let mut digests = BTreeSet::new();
        for guest in Arch::ALL {
            let own = names(guest);
            assert!(own.contains(&format!("{guest}/{}", guest.facts().qemu)));
            let (lib, rest): (Vec<&str>, Vec<&str>) = own
                .iter()
                .map(String::as_str)
                .filter(|path| *path != LOADER)
                .partition(|path| path.starts_with("lib/"));
            assert_eq!((lib.len(), lib.len() + rest.len() + 1), (49, own.len()));
            for path in rest {
                assert!(path.starts_with(&format!("{guest}/")), "{path}");
            }
            digests.insert(digest(guest));
        }
        assert_eq!(digests.len(), Arch::ALL.len());
    }
}
