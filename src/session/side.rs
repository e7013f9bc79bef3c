//! What a path means that is compared: a recipe, an image's directory, a bundle or an archive.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use super::error::Error;
use super::open::Session;
use super::realize::RealizeOptions;
use crate::arch::Arch;
use crate::diff::{self, Difference, Side};
use crate::fault::Outcome;
use crate::realize::IMAGE_FILE;

impl Session<'_> {
    /// Compares two images: recipes, images' directories, bundles or archives.
    ///
    /// # Errors
    /// [`Error`] where one cannot be read or made.
    pub fn diff(&self, a: &Path, b: &Path, arch: Option<Arch>) -> Result<Difference, Error> {
        let a = side(self, a, arch)?;
        let b = side(self, b, arch)?;
        Ok(diff::compare(&a, &b)?)
    }
}

/// Returns what a path on the command line means.
fn side(session: &Session<'_>, path: &Path, arch: Option<Arch>) -> Result<Side, Error> {
    if path.is_dir() {
        if !path.join(IMAGE_FILE).is_file() {
            return Err(Error::usage(
                format!("`{}` is no image: it has no {IMAGE_FILE}", path.display()),
                "name a recipe, an image's directory (`mkimg realize` prints it), a bundle or an archive",
            ));
        }
        return Ok(Side::open(path)?);
    }
    if path == Path::new("-") {
        return Err(Error::usage(
            "standard input cannot be compared",
            "what is compared is read twice: put it into a file",
        ));
    }
    let found = fs::metadata(path).ok();
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        return Err(Error::usage(
            format!("`{}` is no regular file", path.display()),
            "what is compared is read twice: put it into a file",
        ));
    }
    if path.is_file() && is_archive(path)? {
        return Ok(Side::open(path)?);
    }
    if found.is_none() && is_called_archive(path) {
        return Err(Error::usage(
            format!("there is no file `{}`", path.display()),
            "name a recipe, an image's directory (`mkimg realize` prints it), a bundle or an archive",
        ));
    }
    let opened = session.load(path)?;
    let plan = opened.plan(arch)?;
    let made = opened.image(&RealizeOptions::look(arch))?;
    let side = Side::open(&made.realized.path)?;
    Ok(side
        .named(path.display().to_string())
        .with_plan(plan.to_string()))
}

/// What archives begin with, and where mkimg reads no such: what it is, and what makes one of it that is read.
#[rustfmt::skip]
const MAGICS: [(&[u8], Option<(&str, &str)>); 14] = [
    (b"070701", None),
    (b"\x1f\x8b", None),
    (b"\xfd7zXZ", None),
    (b"\x28\xb5\x2f\xfd", None),
    (b"\0\0\0\0", None),
    (b"070702", None),
    (b"070707", Some(("a cpio archive of the old format (odc)", "the kernel unpacks none either: pack it with `cpio -o -H newc`"))),
    (b"\xc7\x71", Some(("a cpio archive of the oldest format (bin)", "the kernel unpacks none either: pack it with `cpio -o -H newc`"))),
    (b"\x02\x21\x4c\x18", Some(("lz4 data", "`lz4 -dc FILE > FILE.cpio` makes an archive of it that can be compared"))),
    (b"\x04\x22\x4d\x18", Some(("lz4 data, in the frame format that the kernel does not unpack", "`lz4 -dc FILE > FILE.cpio` makes an archive of it that can be compared"))),
    (b"\x89LZO", Some(("lzop data", "`lzop -dc FILE > FILE.cpio` makes an archive of it that can be compared"))),
    (b"BZh", Some(("bzip2 data", "`bzip2 -dc FILE > FILE.cpio` makes an archive of it that can be compared"))),
    (b"\x5d\0\0", Some(("lzma data", "`xz --format=lzma -dc FILE > FILE.cpio` makes an archive of it that can be compared"))),
    (b"0707", None),
];

/// Says whether a file begins as archives do, or is at least called one.
fn is_archive(path: &Path) -> Result<bool, Error> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(8).read_to_end(&mut head))
        .map_err(|error| Error::io("read", path, error))?;
    let begins = |(magic, _): &&(&[u8], _)| head.starts_with(magic);
    match MAGICS.iter().find(begins) {
        Some((_, Some((what, help)))) => Err(Error::new(
            Outcome::Failed,
            format!("`{}` is {what}, which mkimg does not read", path.display()),
            Some((*help).to_owned()),
        )),
        Some((_, None)) => Ok(true),
        None => Ok(is_called_archive(path)),
    }
}

/// Says whether a file is called as archives are, and not as a recipe.
fn is_called_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.extension().is_none_or(|extension| extension != "kdl")
        && (name.contains(".cpio") || name.starts_with("initr"))
}
