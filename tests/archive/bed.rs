//! A cache to read into, and archives made by hand.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mkimg::progress::Silent;
use mkimg::source::{ArchiveError, Limits, Member, MemberKind, Want, members};
use mkimg::store::{Blob, Store};

use super::support::tool;

pub const LIMITS: Limits = Limits {
    max_unpacked: 1 << 30,
    jobs: 2,
};

pub struct Bed {
    pub directory: tempfile::TempDir,
    pub store: Store,
}

impl Bed {
    pub fn new() -> Bed {
        // In memory where there is such a place: nothing here is about the disk, and every object is synced.
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let store = Store::open(&directory.path().join("cache")).unwrap();
        Bed { directory, store }
    }

    pub fn put(&self, bytes: &[u8]) -> Blob {
        let origin = self.directory.path();
        self.store.blob_from(&mut &bytes[..], origin).unwrap()
    }

    /// Reads one want out of an archive of these bytes.
    pub fn read(&self, bytes: &[u8], want: &Want) -> Result<Vec<Member>, ArchiveError> {
        self.read_limited(bytes, want, &LIMITS)
    }

    pub fn read_limited(
        &self,
        bytes: &[u8],
        want: &Want,
        limits: &Limits,
    ) -> Result<Vec<Member>, ArchiveError> {
        let wants = std::slice::from_ref(want);
        let blob = self.put(bytes);
        let mut lists = members(&self.store, &blob, "it", wants, limits, &Silent)?;
        assert_eq!(lists.len(), 1);
        Ok(lists.remove(0))
    }

    /// Returns what reading says, a line for each member or the error with its causes.
    pub fn told(&self, bytes: &[u8], want: &Want) -> String {
        match self.read(bytes, want) {
            Ok(members) => dump(&members),
            Err(error) => chain(&error),
        }
    }

    /// Returns the files in the cache that stand for members.
    pub fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        let root = self.store.root().join("members-v1");
        for fan in fs::read_dir(root).into_iter().flatten().flatten() {
            for file in fs::read_dir(fan.path()).unwrap().flatten() {
                kept.push(file.path().to_str().unwrap().to_owned());
            }
        }
        kept.sort();
        kept
    }
}

pub fn one(path: &str) -> Want {
    Want::One {
        path: path.to_owned(),
    }
}

pub fn tree(include: &[&str], exclude: &[&str]) -> Want {
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Want::Tree {
        include: owned(include),
        exclude: owned(exclude),
    }
}

pub fn all() -> Want {
    tree(&[], &[])
}

/// Returns an error and its causes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        at = cause.source();
    }
    text
}

/// Returns a line for each member, with the bytes of files, whose digest is compared.
pub fn dump(members: &[Member]) -> String {
    members
        .iter()
        .map(|member| {
            let path = String::from_utf8_lossy(&member.path);
            let what = match &member.kind {
                MemberKind::File(_) => {
                    format!("file {:?}", String::from_utf8_lossy(&bytes(member)))
                }
                MemberKind::Directory => "dir".to_owned(),
                MemberKind::Flawed(reason) => format!("flawed {reason}"),
                MemberKind::Symlink(target) => {
                    format!("link {:?}", String::from_utf8_lossy(target))
                }
                MemberKind::Device {
                    class,
                    major,
                    minor,
                } => format!("{class:?} {major}:{minor}"),
            };
            format!(
                "{path} {:o} {}:{} {what}\n",
                member.mode, member.uid, member.gid
            )
        })
        .collect()
}

/// Returns the bytes of a file, whose size and digest are compared.
pub fn bytes(member: &Member) -> Vec<u8> {
    let MemberKind::File(content) = &member.kind else {
        panic!("{member:?} is no file");
    };
    let file = fs::File::open(&content.path).unwrap();
    let mut bytes = vec![0; usize::try_from(content.size).unwrap()];
    file.read_exact_at(&mut bytes, content.offset).unwrap();
    assert_eq!(mkimg::digest::Digest::of(&bytes), content.digest);
    bytes
}

/// A tar archive, block by block.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn new() -> Tar {
        Tar::default()
    }

    /// Adds a GNU header, changed by `change` before its sum is made, and a body.
    pub fn header(
        mut self,
        name: &[u8],
        kind: u8,
        body: &[u8],
        change: impl FnOnce(&mut [u8; 512]),
    ) -> Tar {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name);
        let mut field = |at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        field(
            100,
            if kind == b'5' {
                "0000755\0"
            } else {
                "0000644\0"
            },
        );
        field(108, "0000000\0");
        field(116, "0000000\0");
        field(124, &format!("{:011o}\0", body.len()));
        field(136, "00000000000\0");
        field(257, "ustar  \0");
        header[156] = kind;
        change(&mut header);
        if header[148..156] == [0; 8] {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, body: &[u8]) -> Tar {
        self.header(name.as_bytes(), b'0', body, |_| {})
    }

    pub fn dir(self, name: &str) -> Tar {
        self.header(name.as_bytes(), b'5', b"", |_| {})
    }

    /// A symlink (`2`) or hard link (`1`).
    pub fn link(self, name: &str, kind: u8, target: &str) -> Tar {
        self.header(name.as_bytes(), kind, b"", |header| {
            header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        })
    }

    /// A pax header (`x` or `g`) of the records.
    pub fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Tar {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length.to_string().len() + rest != length {
                length = length.to_string().len() + rest;
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.header(b"pax", kind, &body, |_| {})
    }

    /// The archive with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// Adds a member to an ar archive.
pub fn ar_member(archive: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let size = bytes.len();
    archive.extend_from_slice(
        format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
            0, 0, 0, 100644
        )
        .as_bytes(),
    );
    archive.extend_from_slice(bytes);
    if size % 2 == 1 {
        archive.push(b'\n');
    }
}

/// Returns an ar archive.
pub fn ar(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in parts {
        ar_member(&mut archive, name, bytes);
    }
    archive
}

/// Returns a package with the data member `data`.
pub fn deb(data: &[u8]) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", b""),
        ("data.tar", data),
    ])
}

/// Returns what a program makes of `input`; `None` where it is missing.
pub fn filter(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(tool(program)?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    Some(output.stdout)
}
