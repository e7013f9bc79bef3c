//! Pax extended headers: records of `LENGTH KEY=VALUE\n`, the length in decimal and of the whole record.

/// What the records say that matters to an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax<'a> {
    pub(super) path: Option<&'a [u8]>,
    pub(super) linkpath: Option<&'a [u8]>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) sparse: Option<Sparse<'a>>,
    /// The first key that stands for an extended attribute, an access list or a capability.
    pub(super) attribute: Option<&'a [u8]>,
}

/// What GNU tar says of a sparse file in its formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sparse<'a> {
    pub(super) version: (u64, u64),
    /// The file's name; the header has another one.
    pub(super) name: Option<&'a [u8]>,
    /// The file's size, holes included.
    pub(super) size: Option<u64>,
    /// Offsets and numbers of bytes, one after the other (0.0 and 0.1).
    pub(super) map: Vec<u64>,
    /// A key of star's, which has a format of its own.
    pub(super) foreign: bool,
}

/// Beginnings of keys that stand for something a newc archive cannot hold, and that a program may depend on. The first two are
/// what GNU tar, star, bsdtar and Python write for `security.capability` and the like.
const ATTRIBUTES: &[&str] = &[
    "SCHILY.xattr.",
    "LIBARCHIVE.xattr.",
    "SCHILY.acl.",
    "RHT.security.",
    "security.",
];

/// The ones among them that say something about the machine that packed the file: labels of its policy, and what macOS keeps.
const WITHOUT_MEANING: &[&str] = &[
    "RHT.security.selinux",
    "SCHILY.xattr.security.selinux",
    "LIBARCHIVE.xattr.security.selinux",
    "SCHILY.xattr.security.SMACK64",
    "LIBARCHIVE.xattr.security.SMACK64",
    "SCHILY.xattr.com.apple.",
    "LIBARCHIVE.xattr.com.apple.",
    "SCHILY.acl.ace",
];

impl<'a> Pax<'a> {
    /// Reads the records; `None` where one is malformed. Of a key that comes twice the last one counts (POSIX). What is not
    /// known says nothing that mkimg keeps: times, names of owners, where a file was.
    pub(super) fn parse(mut bytes: &'a [u8]) -> Option<Pax<'a>> {
        let mut pax = Pax::default();
        while !bytes.is_empty() {
            let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
            let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
            if length > bytes.len() {
                return None;
            }
            let (record, rest) = bytes.split_at(length);
            bytes = rest;
            let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let is = |start: &&str| key.starts_with(start.as_bytes());
            match key {
                b"" => return None,
                b"path" => pax.path = Some(value),
                b"linkpath" => pax.linkpath = Some(value),
                // Without a value a record takes back what was said before.
                b"size" if value.is_empty() => pax.size = None,
                b"size" => pax.size = Some(decimal(value)?),
                b"uid" => pax.uid = owner(value)?,
                b"gid" => pax.gid = owner(value)?,
                b"SCHILY.realsize" | b"SCHILY.filetype" => {
                    pax.sparse.get_or_insert_default().foreign = true;
                }
                _ if is(&"GNU.sparse.") => {
                    let sparse = pax.sparse.get_or_insert_default();
                    sparse.record(&key["GNU.sparse.".len()..], value)?;
                }
                _ if ATTRIBUTES.iter().any(is) && !WITHOUT_MEANING.iter().any(is) => {
                    pax.attribute.get_or_insert(key);
                }
                _ => {}
            }
        }
        Some(pax)
    }

    /// Returns the key of a record that cannot hold for many members: of a global header.
    pub(super) fn of_one(&self) -> Option<&'a [u8]> {
        let said = [
            (self.path.is_some(), &b"path"[..]),
            (self.linkpath.is_some(), b"linkpath"),
            (self.size.is_some(), b"size"),
            (self.sparse.is_some(), b"GNU.sparse"),
        ];
        let said = said.into_iter().find(|(said, _)| *said);
        said.map(|(_, key)| key).or(self.attribute)
    }
}

impl<'a> Sparse<'a> {
    fn record(&mut self, key: &[u8], value: &'a [u8]) -> Option<()> {
        match key {
            b"major" => self.version.0 = decimal(value)?,
            b"minor" => self.version.1 = decimal(value)?,
            b"name" => self.name = Some(value),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"offset" | b"numbytes" => {
                // They take turns.
                if (key == b"offset") != self.map.len().is_multiple_of(2) {
                    return None;
                }
                self.map.push(decimal(value)?);
            }
            b"map" if value.is_empty() => self.map.clear(),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(decimal);
                self.map = numbers.collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(())
    }
}

/// Returns a user or group id; a negative one is what the kernel would make of it.
fn owner(value: &[u8]) -> Option<Option<u64>> {
    Some(match value {
        b"" => None,
        [b'-', digits @ ..] => {
            let value = u32::try_from(decimal(digits)?).ok()?;
            Some(u64::from(value.wrapping_neg()))
        }
        value => Some(decimal(value)?),
    })
}

/// Returns the value of decimal digits, of which there is one at least.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
