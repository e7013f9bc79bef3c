//! Pax extended headers: records of `LENGTH KEY=VALUE\n`, the length in decimal and of the whole record.

/// What the records say that matters to an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax<'a> {
    pub(super) path: Option<&'a [u8]>,
    pub(super) linkpath: Option<&'a [u8]>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    /// Does a record belong to a sparse file?
    pub(super) sparse: bool,
    /// The first key that stands for an extended attribute, an access list, a capability or a file flag.
    pub(super) attribute: Option<&'a [u8]>,
    /// The first key that is not known to be without meaning for an image.
    pub(super) meaningful: Option<&'a [u8]>,
}

/// Keys that say nothing that mkimg keeps: times, names of owners, where a file was on the machine that packed it.
const WITHOUT_MEANING: &[&[u8]] = &[
    b"atime",
    b"charset",
    b"comment",
    b"ctime",
    b"gname",
    b"hdrcharset",
    b"mtime",
    b"uname",
    b"LIBARCHIVE.creationtime",
    b"SCHILY.dev",
    b"SCHILY.ino",
    b"SCHILY.nlink",
];

/// Beginnings of keys that stand for something a newc archive cannot hold. The first two are what GNU tar, star, bsdtar and
/// Python write for `security.capability` and the like.
const ATTRIBUTES: &[&[u8]] = &[
    b"SCHILY.xattr.",
    b"LIBARCHIVE.xattr.",
    b"SCHILY.acl.",
    b"SCHILY.fflags",
    b"RHT.security.",
    b"security.",
];

impl Pax<'_> {
    /// Reads the records; `None` where one is malformed. Of a key that comes twice the last one counts (POSIX).
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Pax<'_>> {
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
            if key.is_empty() {
                return None;
            }
            match key {
                b"path" => pax.path = Some(value),
                b"linkpath" => pax.linkpath = Some(value),
                b"size" => pax.size = Some(decimal(value)?),
                b"uid" => pax.uid = Some(decimal(value)?),
                b"gid" => pax.gid = Some(decimal(value)?),
                // star's own names for the true size and kind of a file.
                b"SCHILY.realsize" | b"SCHILY.filetype" => pax.sparse = true,
                _ if key.starts_with(b"GNU.sparse.") => pax.sparse = true,
                _ if ATTRIBUTES.iter().any(|start| key.starts_with(start)) => {
                    pax.attribute.get_or_insert(key);
                }
                _ => {}
            }
            if !WITHOUT_MEANING.contains(&key) {
                pax.meaningful.get_or_insert(key);
            }
        }
        Some(pax)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
