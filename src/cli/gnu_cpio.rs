//! `mkimg ls --format gnu-cpio`: a shell script that rebuilds the archive from its unpacked tree with GNU cpio, so that the
//! bytes can be checked without mkimg (`docs/canonical-image.md`).

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::failure::Failure;
use crate::realize::Realized;
use crate::session::Listed;

/// Where the number of links stands in a header: behind the magic and four fields.
const NLINK: u64 = 6 + 4 * 8;

/// What the archive's headers ask of the script.
pub(super) struct Script<'l> {
    made: &'l Realized,
    listed: &'l [Listed],
    epoch: u32,
    owner: (u32, u32),
    devices: bool,
}

impl<'l> Script<'l> {
    /// Returns the script of an image.
    pub(super) fn new(made: &'l Realized, listed: &'l [Listed]) -> Result<Script<'l>, Failure> {
        let owners: BTreeSet<_> = listed
            .iter()
            .map(|entry| (entry.record.uid, entry.record.gid))
            .collect();
        let owner = owners.first().copied().unwrap_or_default();
        // Both are a rule of what mkimg packs, but an image may come from elsewhere: a name with a line break would end the list of
        // names early, and what follows it would be a command; one with `..` would set times outside of the tree.
        let odd = |entry: &&Listed| {
            let path = entry.record.path();
            path.contains(&b'\n') || path.split(|byte| *byte == b'/').any(|name| name == b"..")
        };
        if let Some(entry) = listed.iter().find(odd) {
            return Err(Failure::usage(
                format!(
                    "no script can be written for an entry named `{}`",
                    entry.path()
                ),
                "no mkimg packed this: do not trust the image",
            ));
        }
        if listed
            .iter()
            .any(|entry| entry.record.mtime != listed[0].record.mtime)
        {
            return Err(Failure::usage(
                "the image has entries of several times, which mkimg never packs",
                "compare with the second implementation that docs/canonical-image.md names",
            ));
        }
        if owners.len() > 1 {
            return Err(Failure::usage(
                "the image has entries of several owners, and GNU cpio can write one for all",
                "compare with the second implementation that docs/canonical-image.md names, or unpack it as root and look",
            ));
        }
        Ok(Script {
            made,
            listed,
            epoch: listed.first().map_or(0, |entry| entry.record.mtime),
            owner,
            devices: listed.iter().any(Listed::is_device),
        })
    }

    /// Writes the script.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let image = &self.made.image;
        let unpack = match image.is_compressed() {
            true => format!("gzip -dc {}", image.initramfs.name),
            false => format!("cat {}", image.initramfs.name),
        };
        let (uid, gid) = self.owner;
        let root = match self.devices {
            true => {
                "# It has device nodes, so who unpacks it must be root (or in fakeroot), and so must this script.\n"
            }
            false => "",
        };
        write!(
            out,
            r#"#!/bin/sh
# Rebuilds the archive of the image `{name}` ({arch}) with GNU cpio, and compares its sha256 with the image's `tree`.
#
#   mkdir tree && (cd tree && {unpack} | cpio -idm --no-absolute-filenames)
#   sh THIS-SCRIPT tree out.cpio
#
# It needs GNU cpio 2.12 or newer, and GNU touch, xargs and sha256sum. It sets the times of the entries in the tree.
{root}set -eu
LC_ALL=C
export LC_ALL
tree=${{1:?usage: $0 TREE OUT}}
out=${{2:?usage: $0 TREE OUT}}
case $out in /*) ;; *) out=$PWD/$out ;; esac
case $(cpio --version 2>/dev/null) in *'GNU cpio'*) ;; *) echo "$0: this cpio is not GNU cpio" >&2; exit 2 ;; esac
cd -- "$tree"

# Every entry but the root, sorted by bytes.
names() {{
"#,
            name = image.name,
            arch = image.arch,
        )?;
        let end = self.end();
        writeln!(out, "cat <<'{end}'")?;
        for entry in self.listed {
            out.write_all(entry.record.path())?;
            out.write_all(b"\n")?;
        }
        write!(
            out,
            r#"{end}
}}
names | tr '\n' '\0' | xargs -0r touch -h -d @{epoch} --
names | cpio --quiet -o -H newc --reproducible --owner=+{uid}:+{gid} >"$out"

# Until 2.14, GNU cpio stores as a directory's number of links what the file system counts: 2 and one for each subdirectory, or 1.
# From then on it stores 2, as mkimg does. With an older one that field, and no other byte, is set here: the numbers are where
# it stands in the archive.
case $(cpio --help) in
*--ignore-dirnlink*) ;;
*)
    for at in \
"#,
            epoch = self.epoch,
        )?;
        let directories = self
            .listed
            .iter()
            .filter(|entry| entry.record.is_directory());
        let places: Vec<String> = directories
            .map(|entry| (entry.record.offset + NLINK).to_string())
            .collect();
        for line in places.chunks(10) {
            writeln!(out, "        {} \\", line.join(" "))?;
        }
        write!(
            out,
            r#"    ; do
        printf 00000002 | dd of="$out" bs=1 seek="$at" conv=notrunc status=none
    done
    ;;
esac

echo "{tree}  $out" | sha256sum -c
"#,
            tree = image.tree,
        )
    }

    /// Returns a word that ends the list of names and is none of them.
    fn end(&self) -> String {
        let mut end = "END-OF-NAMES".to_owned();
        while self
            .listed
            .iter()
            .any(|entry| entry.record.path() == end.as_bytes())
        {
            end.push('-');
        }
        end
    }
}
