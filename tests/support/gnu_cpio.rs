//! GNU cpio as an oracle: what its versions do differently.
//!
//! `--reproducible` of 2.14 and newer stores 2 as the number of links of every directory (`--ignore-dirnlink`), whatever the
//! file system says. 2.13, which Debian 12 has, stores what `stat` says: 2 and one for each subdirectory on most file systems,
//! 1 on btrfs. With it, that one field is brought to 2 before the archives are compared.
#![allow(unreachable_pub, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Says whether this cpio stores the real number of links of directories.
pub fn counts_links(cpio: &Path) -> bool {
    let help = Command::new(cpio).arg("--help").output().unwrap();
    !String::from_utf8_lossy(&help.stdout).contains("--ignore-dirnlink")
}

/// Writes 2 into the nlink field of every directory; returns how many had another number.
pub fn two_links(archive: &mut [u8]) -> usize {
    let (mut at, mut changed) = (0, 0);
    loop {
        let field = |archive: &[u8], index: usize| {
            let start = at + 6 + 8 * index;
            let digits = std::str::from_utf8(&archive[start..start + 8]).unwrap();
            usize::from_str_radix(digits, 16).unwrap()
        };
        let (mode, size, name) = (field(archive, 1), field(archive, 6), field(archive, 11));
        if mode == 0 {
            return changed;
        }
        if mode & 0o170000 == 0o040000 && field(archive, 4) != 2 {
            archive[at + 38..at + 46].copy_from_slice(b"00000002");
            changed += 1;
        }
        at = (at + 110 + name).next_multiple_of(4) + size.next_multiple_of(4);
    }
}
