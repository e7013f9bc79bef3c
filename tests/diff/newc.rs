//! Archives made by hand, so that any one field of them can be another.

use std::io::Write as _;
use std::path::PathBuf;

use flate2::{Compression, GzBuilder};
use mkimg::diff::{self, Difference, Side};
use tempfile::TempDir;

/// One entry, with every field of its header.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub ino: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub mtime: u32,
    pub dev: u32,
    pub check: u32,
    pub data: Vec<u8>,
}

/// An archive, and how it is written.
#[derive(Clone)]
pub struct Archive {
    pub entries: Vec<Entry>,
    pub lower_case: bool,
    pub pad: usize,
    /// Time, name, OS and level of the gzip member.
    pub gzip: Option<(u32, Option<&'static str>, u8, u32)>,
}

/// Returns an archive as mkimg writes them, of what an image has.
pub fn archive() -> Archive {
    let entries = [
        ("bin", 0o040755, b"".to_vec()),
        ("bin/Zed", 0o120777, b"tool".to_vec()),
        ("bin/sh", 0o120777, b"tool".to_vec()),
        ("bin/tool", 0o100755, elf(b"first", b"text")),
        ("etc", 0o040755, Vec::new()),
        ("etc/conf", 0o040755, Vec::new()),
        ("etc/conf/a.d", 0o040755, Vec::new()),
        ("etc/motd", 0o100644, b"hello\nworld\n".to_vec()),
        ("etc/zone", 0o100644, b"UTC\n".to_vec()),
        ("init", 0o100755, b"#!/bin/sh\nexec sh\n".to_vec()),
    ];
    let entries = entries.into_iter().zip(0..);
    Archive {
        entries: entries
            .map(|((name, mode, data), ino)| Entry {
                name: name.to_owned(),
                ino,
                mode,
                uid: 0,
                gid: 0,
                nlink: if mode & 0o170000 == 0o040000 { 2 } else { 1 },
                mtime: 0,
                dev: 0,
                check: 0,
                data,
            })
            .collect(),
        lower_case: false,
        pad: 512,
        gzip: Some((0, None, 255, 9)),
    }
}

impl Archive {
    /// Returns it with a change.
    pub fn with(mut self, change: impl FnOnce(&mut Archive)) -> Archive {
        change(&mut self);
        self
    }

    /// Returns an entry.
    pub fn entry(&mut self, name: &str) -> &mut Entry {
        self.entries
            .iter_mut()
            .find(|entry| entry.name == name)
            .unwrap()
    }

    /// Changes every entry.
    pub fn each(&mut self, change: impl Fn(&mut Entry)) {
        self.entries.iter_mut().for_each(change);
    }

    /// Returns the bytes, not compressed.
    pub fn plain(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in &self.entries {
            self.write(&mut out, entry);
        }
        let trailer = Entry {
            name: "TRAILER!!!".to_owned(),
            ino: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            nlink: 1,
            mtime: 0,
            dev: 0,
            check: 0,
            data: Vec::new(),
        };
        self.write(&mut out, &trailer);
        out.resize(out.len().next_multiple_of(self.pad), 0);
        out
    }

    fn write(&self, out: &mut Vec<u8>, entry: &Entry) {
        let size = entry.data.len() as u32;
        let Entry {
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            dev,
            check,
            ..
        } = *entry;
        let name = entry.name.len() as u32 + 1;
        let fields = [
            ino, mode, uid, gid, nlink, mtime, size, 0, dev, 0, 0, name, check,
        ];
        out.extend(b"070701");
        for field in fields {
            let digits = match self.lower_case {
                true => format!("{field:08x}"),
                false => format!("{field:08X}"),
            };
            out.extend(digits.bytes());
        }
        out.extend(entry.name.bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(&entry.data);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    /// Returns the bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let Some((time, name, system, level)) = self.gzip else {
            return self.plain();
        };
        let mut builder = GzBuilder::new().mtime(time).operating_system(system);
        if let Some(name) = name {
            builder = builder.filename(name);
        }
        let mut writer = builder.write(Vec::new(), Compression::new(level));
        writer.write_all(&self.plain()).unwrap();
        writer.finish().unwrap()
    }
}

/// Returns an ELF file with a build id and one section of code.
pub fn elf(id: &[u8], code: &[u8]) -> Vec<u8> {
    let names = b"\0.note.gnu.build-id\0.text\0.gnu_debuglink\0.shstrtab\0";
    let name = |section: &[u8]| {
        names
            .windows(section.len())
            .position(|window| window == section)
            .unwrap() as u32
    };
    let parts: [(u32, u32, &[u8]); 4] = [
        (name(b".note.gnu.build-id"), 7, id),
        (name(b".text"), 1, code),
        (name(b".gnu_debuglink"), 1, b"tool.debug\0\0crc4"),
        (name(b".shstrtab"), 3, names),
    ];
    let mut body = Vec::new();
    let mut headers = vec![0u8; 64];
    for (name, kind, bytes) in parts {
        let mut header = Vec::new();
        header.extend(name.to_le_bytes());
        header.extend(kind.to_le_bytes());
        header.extend([0; 16]);
        header.extend((64 + body.len() as u64).to_le_bytes());
        header.extend((bytes.len() as u64).to_le_bytes());
        header.extend([0; 8]);
        header.extend(1u64.to_le_bytes());
        header.extend([0; 8]);
        headers.extend(header);
        body.extend(bytes);
    }
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([0; 16]);
    file.extend((64 + body.len() as u64).to_le_bytes());
    file.extend([0; 4]);
    let halves = [64u16, 0, 0, 64, 5, 4];
    file.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    [file, body, headers].concat()
}

/// Two files in a directory of their own.
pub struct Files {
    dir: TempDir,
}

impl Files {
    pub fn new(a: &[u8], b: &[u8]) -> Files {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("a"), a).unwrap();
        std::fs::write(dir.path().join("b"), b).unwrap();
        Files { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Compares them, called a and b.
    pub fn compare(&self) -> Difference {
        let side = |name: &str| {
            Side::open(&self.path(name))
                .unwrap()
                .named(format!("{name}.cpio"))
        };
        diff::compare(&side("a"), &side("b")).unwrap()
    }
}

/// Compares two archives.
pub fn compare(a: &Archive, b: &Archive) -> Difference {
    Files::new(&a.bytes(), &b.bytes()).compare()
}
