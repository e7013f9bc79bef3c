//! The text form of a tree: one line an entry, for people, tests and comparison.

use std::fmt;

use super::{DeviceClass, Entry, Kind, Tree};

impl fmt::Display for Tree {
    /// Writes one line an entry: type, mode, owner, size or device number, path, then the target or the digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, entry) in self {
            writeln!(f, "{entry} {path}{}", entry.tail())?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    /// Writes what `ls -ln` would say before the date: type and permission bits, owner, size or device number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, size) = match &self.kind {
            Kind::Directory => ('d', "0".to_owned()),
            Kind::File(content) => ('-', content.size.to_string()),
            Kind::Symlink(target) => ('l', target.len().to_string()),
            Kind::Device {
                class,
                major,
                minor,
            } => {
                let letter = match class {
                    DeviceClass::Char => 'c',
                    DeviceClass::Block => 'b',
                };
                (letter, format!("{major},{minor}"))
            }
        };
        write!(
            f,
            "{letter}{} {}:{} {size:>9}",
            permissions(self.mode),
            self.uid,
            self.gid
        )
    }
}

impl Entry {
    /// Returns what follows the path in a listing: ` -> TARGET`, ` sha256:..`, or nothing.
    pub fn tail(&self) -> String {
        match &self.kind {
            Kind::Symlink(target) => format!(" -> {}", target.escape_ascii()),
            Kind::File(content) => format!(" sha256:{}", content.digest),
            Kind::Directory | Kind::Device { .. } => String::new(),
        }
    }
}

/// Returns the permission bits as `ls` writes them: `rwxr-xr-t`.
pub fn permissions(mode: u32) -> String {
    let mut text = String::with_capacity(9);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Content, EntryPath, Tree};
    use super::*;

    #[test]
    fn a_dump_says_all_that_reaches_the_bytes() {
        let mut tree = Tree::new(0);
        let entries = [
            ("bin/sh", Kind::Symlink(b"busy\nbox".to_vec()), 0o777),
            (
                "dev/console",
                Kind::Device {
                    class: DeviceClass::Char,
                    major: 5,
                    minor: 1,
                },
                0o600,
            ),
            ("init", Kind::File(Content::memory(*b"abc")), 0o4755),
            ("tmp", Kind::Directory, 0o1777),
        ];
        for (path, kind, mode) in entries {
            let entry = Entry {
                kind,
                mode,
                uid: 0,
                gid: 7,
                origin: Some(0),
            };
            tree.insert(EntryPath::new(path.as_bytes()).unwrap(), entry)
                .unwrap();
        }
        assert_eq!(
            tree.to_string(),
            "drwxr-xr-x 0:0         0 /bin\n\
             lrwxrwxrwx 0:7         8 /bin/sh -> busy\\nbox\n\
             drwxr-xr-x 0:0         0 /dev\n\
             crw------- 0:7       5,1 /dev/console\n\
             -rwsr-xr-x 0:7         3 /init sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
             drwxrwxrwt 0:7         0 /tmp\n"
        );
    }
}
