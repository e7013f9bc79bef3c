//! A tree out of a directory of this machine, its contents in one data file, as members of an archive are kept.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use mkimg::digest;
use mkimg::tree::{Content, DeviceClass, Entry, EntryPath, Kind, Place, Region, Tree};

/// Returns the tree below `root`; the bytes of its files are appended to a new file at `data`.
pub(crate) fn from_directory(root: &Path, data: &Path) -> Tree {
    let mut tree = Tree::new(0);
    let mut file = BufWriter::new(File::create(data).unwrap());
    let mut offset = 0;
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for found in fs::read_dir(&directory).unwrap() {
            let path = found.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let (major, minor) = (
                rustix::fs::major(meta.rdev()),
                rustix::fs::minor(meta.rdev()),
            );
            let device = |class| Kind::Device {
                class,
                major,
                minor,
            };
            let kind = if meta.is_dir() {
                directories.push(path.clone());
                Kind::Directory
            } else if meta.is_symlink() {
                Kind::Symlink(
                    fs::read_link(&path)
                        .unwrap()
                        .as_os_str()
                        .as_bytes()
                        .to_vec(),
                )
            } else if meta.file_type().is_char_device() {
                device(DeviceClass::Char)
            } else if meta.file_type().is_block_device() {
                device(DeviceClass::Block)
            } else {
                let (digest, size) =
                    digest::copy(&mut File::open(&path).unwrap(), &mut file).unwrap();
                let place = Place::File(Region {
                    path: data.to_path_buf(),
                    offset,
                });
                offset += size;
                Kind::File(Content {
                    digest,
                    size,
                    place,
                })
            };
            let entry = Entry {
                kind,
                mode: meta.mode() & 0o7777,
                uid: 0,
                gid: 0,
                origin: Some(0),
            };
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            tree.insert(EntryPath::new(name).unwrap(), entry).unwrap();
        }
    }
    file.flush().unwrap();
    tree
}
