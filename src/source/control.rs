//! What a Debian package says of itself: the `control` file of its control archive.
//!
//! ```text
//! Field: value
//!  a line that begins with a blank goes on with the value
//! ```
//!
//! Sources: deb-control(5), deb822(5) of dpkg 1.21. Field names are the same in upper and lower case.

use std::collections::BTreeMap;

use super::archive::Archive;
use super::archive_error::ArchiveError;
use super::entry::EntryKind;
use crate::progress::Silent;
use crate::store::Blob;

/// The largest control file that is read, in bytes; a kernel's has 1 KiB.
const LARGEST: u64 = 1 << 20;

/// The fields of a control file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    /// By their names in lower case.
    fields: BTreeMap<String, String>,
}

impl Control {
    /// Reads the first paragraph of a text. What is no field is passed over: the archive's sha256 answers for it.
    pub fn parse(text: &str) -> Control {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last: Option<String> = None;
        for line in text.lines() {
            if line.trim().is_empty() {
                if fields.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with('#') {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                if let Some(value) = last.as_ref().and_then(|name| fields.get_mut(name)) {
                    value.push('\n');
                    value.push_str(line.trim());
                }
                continue;
            }
            if let Some((name, value)) = line.split_once(':') {
                let name = name.trim().to_lowercase();
                fields
                    .entry(name.clone())
                    .or_insert_with(|| value.trim().to_owned());
                last = Some(name);
            }
        }
        Control { fields }
    }

    /// Returns the value of a field, which is not empty; `name` is in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Returns the control fields of a package; `None` where `archive` is no `.deb`. `name` is what messages call it.
///
/// # Errors
/// [`ArchiveError`] where the package is damaged, or has no readable control file.
pub fn control(archive: &Blob, name: &str) -> Result<Option<Control>, ArchiveError> {
    let Some(found) = Archive::control(archive, name)? else {
        return Ok(None);
    };
    let mut walk = found.walk(1, LARGEST * 16, &Silent)?;
    let mut control = Control::default();
    while let Some(entry) = walk.next()? {
        if entry.path != b"control" || !matches!(entry.kind, EntryKind::File) {
            continue;
        }
        let mut text = Vec::new();
        walk.body(&mut |bytes| {
            let room = (LARGEST as usize).saturating_sub(text.len());
            text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            Ok(())
        })?;
        // Read on: the sum of the compressed data stands at its end, and of two members dpkg takes the last.
        control = Control::parse(&String::from_utf8_lossy(&text));
    }
    Ok(Some(control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_paragraph_is_read_with_its_continued_lines() {
        let text = "\n# a comment\nPackage: busybox-static\nVersion: 1:1.35\nDescription: small\n  tools\n\t.\nversion: 2\nEmpty:\nno field\n\nPackage: other\n";
        let control = Control::parse(text);
        assert_eq!(control.get("package"), Some("busybox-static"));
        assert_eq!(control.get("version"), Some("1:1.35"));
        assert_eq!(control.get("description"), Some("small\ntools\n."));
        assert_eq!(control.get("empty"), None);
        assert_eq!(control.get("source"), None);
    }
}
