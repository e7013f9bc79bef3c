//! What a source is: of a Debian package, its control data and its licences.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::licence::Licence;
use crate::digest::Digest;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::source::{self, ArchiveError, Control, Limits, MemberKind, Want};
use crate::store::{Blob, Store, StoreError};
use crate::tree::{Content, Place, Region};

/// The largest copyright file that is read, in bytes; the kernel's has 60 KiB. A larger one says nothing.
const LARGEST: u64 = 4 << 20;

/// What is known of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its bytes.
    pub blob: Blob,
    /// The control fields of a Debian package; `None` for anything else.
    pub control: Option<Control>,
    /// What its copyright file says.
    pub licence: Licence,
}

/// Returns what is known of each source of a plan. `blobs` has them by name. The copyright files are read as any member is,
/// and stay in the cache. The blobs' own bytes must have been compared by the caller: what is read of them is their beginning.
///
/// # Errors
/// [`ArchiveError`] where a package is damaged.
pub fn packages(
    plan: &Plan,
    blobs: &BTreeMap<String, Blob>,
    store: &Store,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, Package>, ArchiveError> {
    let mut packages = BTreeMap::new();
    for name in plan.sources.keys() {
        let Some(blob) = blobs.get(name) else {
            continue;
        };
        let control = source::control(blob, name)?;
        let licence = match control.as_ref().and_then(|control| control.get("package")) {
            Some(package) => licence(package, blob, name, store, limits, progress)?,
            None => Licence::default(),
        };
        packages.insert(
            name.clone(),
            Package {
                blob: blob.clone(),
                control,
                licence,
            },
        );
    }
    Ok(packages)
}

fn licence(
    package: &str,
    blob: &Blob,
    name: &str,
    store: &Store,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Licence, ArchiveError> {
    // A package's name comes from outside: one with a pattern in it is none (Debian policy, section 5.6.1).
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !package.chars().all(plain) {
        return Ok(Licence::default());
    }
    let want = Want::One {
        path: format!("usr/share/doc/{package}/copyright"),
    };
    let found = match source::members(store, blob, name, &[want], limits, progress) {
        Ok(found) => found,
        // It has none, or a link to another package's.
        Err(error) if error.pattern().is_some() => return Ok(Licence::default()),
        Err(error) => return Err(error),
    };
    let Some(MemberKind::File(file)) = found.into_iter().flatten().next().map(|found| found.kind)
    else {
        return Ok(Licence::default());
    };
    let content = Content {
        digest: file.digest,
        size: file.size,
        place: Place::File(Region {
            path: file.path.clone(),
            offset: file.offset,
        }),
    };
    let mut text = Vec::new();
    if file.size <= LARGEST {
        content
            .open()
            .and_then(|mut from| from.read_to_end(&mut text))
            .map_err(|error| StoreError::io("read", &file.path, error))?;
        let actual = Digest::of(&text);
        if actual != file.digest {
            return Err(ArchiveError::Store(StoreError::Damaged {
                path: file.path,
                expected: file.digest,
                actual,
            }));
        }
    }
    Ok(Licence::parse(&String::from_utf8_lossy(&text)))
}
