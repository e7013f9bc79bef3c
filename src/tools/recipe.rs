//! The built-in recipe of QEMU, as far as one guest needs it.

use std::path::PathBuf;

use super::error::ToolsError;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::recipe::{self, Entry, EntryKind, Invalid, Mode, Origin, Recipe};
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
    /// The packages, in the order of the recipe.
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
    let parsed = recipe::parse("qemu.kdl", TEXT.as_bytes(), Mode::Strict).map_err(built_in)?;
    let recipe = parsed.recipe;
    let loader = recipe.kernel.member().map(|(from, member)| File {
        path: LOADER.to_owned(),
        package: from.value.clone(),
        member: member.value.clone(),
    });
    let entries = recipe.initramfs.entries.iter();
    let files: Vec<File> = loader
        .into_iter()
        .chain(entries.filter_map(|entry| file(entry, guest)))
        .collect();
    let mut parts = Parts {
        packages: Vec::new(),
        files: Vec::new(),
    };
    for source in &recipe.sources {
        let own = files
            .iter()
            .filter(|file| file.package == source.name.value);
        let before = parts.files.len();
        parts.files.extend(own.cloned());
        if parts.files.len() > before {
            parts.packages.push(wanted(&recipe, &source.name.value)?);
        }
    }
    Ok(parts)
}

/// Returns the file of an entry, where the guest needs it.
fn file(entry: &Entry, guest: Arch) -> Option<File> {
    let path = entry.path.value.trim_start_matches('/');
    let top = path.split('/').next()?;
    match &entry.kind {
        EntryKind::File {
            origin:
                Origin::Source {
                    from,
                    path: Some(member),
                },
            ..
        } if top == LIBRARIES || top == guest.name() => Some(File {
            path: path.to_owned(),
            package: from.value.clone(),
            member: member.value.clone(),
        }),
        _ => None,
    }
}

fn wanted(recipe: &Recipe, name: &str) -> Result<Wanted, ToolsError> {
    let locations = recipe
        .source(name)
        .map(|source| source.locations.as_slice());
    let unusable = || ToolsError::BuiltIn(format!("`{name}` has no location"));
    let first = locations.and_then(<[_]>::first).ok_or_else(unusable)?;
    let digest = first.sha256.as_ref().ok_or_else(unusable)?.value;
    Ok(Wanted {
        name: name.to_owned(),
        digest,
        size: first.size.as_ref().map(|size| size.value),
        places: locations
            .unwrap_or_default()
            .iter()
            .map(|location| location.place.clone())
            .collect(),
        base: PathBuf::new(),
    })
}

fn built_in(invalid: Invalid) -> ToolsError {
    ToolsError::BuiltIn(match invalid {
        Invalid::Wrong { diagnostics, .. } => diagnostics
            .first()
            .map_or(String::new(), |first| first.message.clone()),
        invalid @ Invalid::Unreadable { .. } => invalid.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Place;
    use std::collections::BTreeSet;

    #[test]
    fn every_package_is_pinned_with_its_size_in_the_main_archive_and_needed() {
        let parsed = recipe::parse("qemu.kdl", TEXT.as_bytes(), Mode::Strict).unwrap();
        let unused: Vec<&str> = parsed
            .warnings
            .iter()
            .map(|warning| warning.message.as_str())
            .collect();
        assert_eq!(unused, ["the image has no `/init`"]);
        for source in &parsed.recipe.sources {
            let [location] = source.locations.as_slice() else {
                panic!("{}: one location serves every guest", source.name.value);
            };
            assert!(location.size.is_some(), "{}", source.name.value);
            let Place::Debian {
                path,
                snapshot,
                archive,
            } = &location.place
            else {
                panic!("{}", source.name.value);
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
