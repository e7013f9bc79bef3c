//! A bundle to its layout. Every byte of the file is held to something: headers to their sums and to what mkimg writes, blobs
//! to their digests, everything between them to zero, and all of it to being needed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::{Value, json};

use super::super::oci::{
    Descriptor, INDEX, Index, MANIFEST, MAX_MANIFEST, Manifest, REF_NAME, TITLE,
};
use super::super::text::fit;
use super::super::unsigned::{check_referrers, check_tags};
use super::super::{Origin, ShareError};
use super::header::{self, BLOCK, Header, MAX_SIZE};
use super::layout::{Body, Inner, Layout};
use super::write::LAYOUT;
use crate::digest::{self, Digest};
use crate::dir;
use crate::store::{Blob, Store};
use crate::tree::Region;

/// The most members that a bundle may have.
const MAX_MEMBERS: usize = 1 << 16;

/// A bundle, read and found whole.
#[derive(Debug)]
pub struct Bundle {
    shown: String,
    /// The tag of its image.
    pub name: String,
    /// What is in it; more can be added before it is written anew.
    pub layout: Layout,
}

/// Says whether a file begins as a bundle does: as a tar of what an OCI image layout holds. A pipe is none, and nothing is taken
/// out of it: what comes through it can be read once.
///
/// # Errors
/// Whatever reading gives.
pub fn is_bundle(path: &Path) -> io::Result<bool> {
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    dir::open(path)?.take(BLOCK as u64).read_to_end(&mut head)?;
    Ok(begins_bundle(&head))
}

/// Says whether these bytes, 512 where there are that many, are how a bundle begins.
pub fn begins_bundle(head: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b"blobs/", b"index.json", b"oci-layout", b"./"];
    let ustar = head.get(257..262) == Some(b"ustar");
    ustar && names.iter().any(|name| head.starts_with(name))
}

/// A member of the tar.
struct Member {
    header: Header,
    offset: u64,
}

impl Bundle {
    /// Reads a bundle and checks all of it.
    ///
    /// # Errors
    /// [`ShareError`], which names the member that is not what it should be.
    pub fn open(path: &Path) -> Result<Bundle, ShareError> {
        Bundle::open_as(path, &path.display().to_string())
    }

    /// Reads a bundle that people know by another name than its file's, and checks all of it.
    ///
    /// # Errors
    /// As [`Bundle::open`].
    pub fn open_as(path: &Path, name: &str) -> Result<Bundle, ShareError> {
        let place = name.to_owned();
        let shown = format!("the bundle `{name}`");
        let unread = |error| ShareError::io("read", path, error);
        let file = dir::open(path).map_err(unread)?;
        let length = file.metadata().map_err(unread)?.len();
        let mut file = BufReader::with_capacity(128 * 1024, file);
        let members = scan(&mut file, length, &shown).map_err(|error| error.on(path))?;
        let ours = members.iter().filter(|member| member.header.ours).count();
        if ours > 0 && ours < members.len() {
            let other = members.iter().find(|member| !member.header.ours);
            let name = other.map_or("", |other| other.header.name.as_str());
            let problem = format!("the header of `{name}` is not as mkimg writes it");
            return Err(ShareError::invalid(shown, problem));
        }
        let ours = ours > 0;
        let mut inner = Inner::default();
        let (mut index, mut layout) = (None, None);
        let mut before: Option<&str> = None;
        for member in &members {
            let name = member.header.name.trim_start_matches("./");
            let object = format!("`{}` in {shown}", fit(name));
            if ours && before.is_some_and(|before| before >= name) {
                return Err(ShareError::invalid(
                    object,
                    "it is not in the order of the names",
                ));
            }
            before = Some(name);
            if member.header.directory {
                if ["", "blobs", "blobs/sha256"].contains(&name.trim_end_matches('/')) && !ours {
                    continue;
                }
                return Err(ShareError::invalid(
                    object,
                    "a bundle has no such directory",
                ));
            }
            let place = match name {
                "index.json" => &mut index,
                "oci-layout" => &mut layout,
                _ => {
                    let digest = name
                        .strip_prefix("blobs/sha256/")
                        .and_then(|hex| hex.parse().ok());
                    let Some(digest) = digest else {
                        return Err(ShareError::invalid(
                            object,
                            "no file of a bundle has this name",
                        ));
                    };
                    let body = read_blob(&mut file, path, member, &digest, &object)?;
                    if inner.blobs.insert(digest, body).is_some() {
                        return Err(ShareError::invalid(object, "it is there twice"));
                    }
                    continue;
                }
            };
            if place.is_some() {
                return Err(ShareError::invalid(object, "it is there twice"));
            }
            *place = Some(small(&mut file, path, member, &object)?);
        }
        let missing = |name: &str| ShareError::Invalid {
            object: shown.clone(),
            problem: format!("it has no `{name}`: it is no bundle, or only a part of one"),
        };
        let layout = layout.ok_or_else(|| missing("oci-layout"))?;
        check_layout(&layout, ours, &shown)?;
        let bytes = index.ok_or_else(|| missing("index.json"))?;
        let object = format!("`index.json` in {shown}");
        let index = Index::parse(&bytes, &object)?;
        let name = tags(&index, &mut inner, &object)?;
        check_needed(&inner, &shown)?;
        if ours && inner.index().bytes() != bytes {
            return Err(ShareError::invalid(object, "it is not as mkimg writes it"));
        }
        Ok(Bundle {
            shown: place,
            name,
            layout: Layout::of(inner),
        })
    }
}

/// Follows every descriptor: each must lead to a blob of its size, and each blob must be led to.
fn check_needed(inner: &Inner, shown: &str) -> Result<(), ShareError> {
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let mut open: Vec<Descriptor> = inner.tags.values().cloned().collect();
    let referrers = inner
        .tags
        .iter()
        .filter(|(tag, _)| tag.starts_with("sha256-"));
    let referrers: BTreeSet<Digest> = referrers.map(|(_, listed)| listed.digest).collect();
    while let Some(descriptor) = open.pop() {
        let body = inner.body(&descriptor)?;
        if !seen.insert(descriptor.digest) {
            continue;
        }
        let object = format!("the manifest `sha256:{}`", descriptor.digest);
        match (descriptor.media_type.as_str(), body) {
            (MANIFEST, Body::Bytes(bytes)) => {
                let manifest = Manifest::parse(bytes, &object)?;
                open.push(manifest.config);
                open.extend(manifest.layers);
            }
            (INDEX, Body::Bytes(bytes)) => {
                let index = Index::parse(bytes, &object)?;
                if referrers.contains(&descriptor.digest) {
                    check_referrers(&index, &object)?;
                }
                open.extend(index.manifests);
            }
            (MANIFEST | INDEX, Body::File { size, .. }) => {
                let problem = format!("it has {size} bytes, at most {MAX_MANIFEST} are read");
                return Err(ShareError::invalid(object, problem));
            }
            _ => {}
        }
    }
    match inner.blobs.keys().find(|digest| !seen.contains(digest)) {
        None => Ok(()),
        Some(digest) => {
            let object = format!("`blobs/sha256/{digest}` in {shown}");
            Err(ShareError::invalid(
                object,
                "nothing in the bundle needs it",
            ))
        }
    }
}

impl Origin for Bundle {
    fn name(&self) -> String {
        self.shown.clone()
    }

    fn resolve(&self, tag: &str) -> Result<Option<Descriptor>, ShareError> {
        self.layout.resolve(tag)
    }

    fn manifest(&self, wanted: &Descriptor) -> Result<Vec<u8>, ShareError> {
        self.layout.manifest(wanted)
    }

    fn blob(&self, wanted: &Descriptor, store: &Store) -> Result<Blob, ShareError> {
        self.layout.blob(wanted, store)
    }
}

/// What is wrong with the tar.
enum Broken {
    Io(io::Error),
    At(ShareError),
}

impl Broken {
    fn on(self, path: &Path) -> ShareError {
        match self {
            Broken::Io(error) => ShareError::io("read", path, error),
            Broken::At(error) => error,
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

/// Reads all headers; bodies are only held to be there, with zeros behind them.
fn scan(file: &mut BufReader<File>, length: u64, shown: &str) -> Result<Vec<Member>, Broken> {
    let broken = |problem: String| Broken::At(ShareError::invalid(shown, problem));
    let mut members: Vec<Member> = Vec::new();
    let mut at = 0u64;
    loop {
        let mut block = [0u8; BLOCK];
        if length - at < BLOCK as u64 {
            return Err(broken(format!(
                "it is truncated: it ends at byte {length}, inside of its tar"
            )));
        }
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut block)?;
        if block == [0; BLOCK] {
            break;
        }
        let header = header::parse(&block).map_err(|problem| {
            broken(match at {
                0 => format!("it is no bundle, or its first header is damaged: {problem}"),
                _ => format!("the header at byte {at} is damaged: {problem}"),
            })
        })?;
        let offset = at + BLOCK as u64;
        let name = fit(&header.name);
        let whole = header
            .size
            .checked_next_multiple_of(BLOCK as u64)
            .filter(|size| *size <= length - offset);
        if header.size > MAX_SIZE {
            return Err(broken(format!(
                "`{name}` declares {} bytes: a bundle holds at most {MAX_SIZE} in one file",
                header.size
            )));
        }
        let Some(whole) = whole else {
            return Err(broken(format!(
                "it is truncated, or lies: `{name}` declares {} bytes, {} are left",
                header.size,
                length - offset
            )));
        };
        zeros(file, offset + header.size, offset + whole)?
            .then_some(())
            .ok_or_else(|| broken(format!("the bytes behind `{name}` are not zero")))?;
        if members.len() >= MAX_MEMBERS {
            return Err(broken(format!("it has more than {MAX_MEMBERS} members")));
        }
        members.push(Member { header, offset });
        at = offset + whole;
    }
    // Other tools fill up their last record with zeros.
    let ours = members.iter().all(|member| member.header.ours);
    if length - at < 2 * BLOCK as u64 {
        return Err(broken(
            "it is truncated: its end mark is not whole".to_owned(),
        ));
    }
    if ours && length - at != 2 * BLOCK as u64 || !zeros(file, at, length)? {
        return Err(broken(format!("something follows its end at byte {at}")));
    }
    Ok(members)
}

/// Says whether a part of the file is nothing but zeros.
fn zeros(file: &mut BufReader<File>, from: u64, to: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(from))?;
    let mut left = to - from;
    let mut buffer = [0u8; 4096];
    while left > 0 {
        let count = left.min(buffer.len() as u64) as usize;
        file.read_exact(&mut buffer[..count])?;
        if buffer[..count].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        left -= count as u64;
    }
    Ok(true)
}

/// Hashes a blob; what is small enough for a manifest, and is JSON, is kept.
fn read_blob(
    file: &mut BufReader<File>,
    path: &Path,
    member: &Member,
    digest: &Digest,
    object: &str,
) -> Result<Body, ShareError> {
    let unread = |error| ShareError::io("read", path, error);
    let size = member.header.size;
    file.seek(SeekFrom::Start(member.offset)).map_err(unread)?;
    let mut kept = Vec::new();
    let mut found = None;
    if size <= MAX_MANIFEST {
        file.by_ref()
            .take(size)
            .read_to_end(&mut kept)
            .map_err(unread)?;
        found = Some(Digest::of(&kept));
    }
    let found = match found {
        Some(found) => found,
        None => {
            digest::of_reader(&mut file.by_ref().take(size))
                .map_err(unread)?
                .0
        }
    };
    if found != *digest {
        return Err(ShareError::Mismatch {
            object: object.to_owned(),
            expected: format!("sha256:{digest}"),
            found: format!("sha256:{found}"),
        });
    }
    if kept.first() == Some(&b'{') {
        return Ok(Body::Bytes(kept));
    }
    Ok(Body::File {
        region: Region {
            path: path.to_path_buf(),
            offset: member.offset,
        },
        size,
    })
}

fn small(
    file: &mut BufReader<File>,
    path: &Path,
    member: &Member,
    object: &str,
) -> Result<Vec<u8>, ShareError> {
    let size = member.header.size;
    if size > MAX_MANIFEST {
        let problem = format!("it has {size} bytes, at most {MAX_MANIFEST} are read");
        return Err(ShareError::invalid(object, problem));
    }
    let unread = |error| ShareError::io("read", path, error);
    file.seek(SeekFrom::Start(member.offset)).map_err(unread)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(size)
        .read_to_end(&mut bytes)
        .map_err(unread)?;
    Ok(bytes)
}

fn check_layout(bytes: &[u8], ours: bool, shown: &str) -> Result<(), ShareError> {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let known = value == json!({ "imageLayoutVersion": "1.0.0" });
    if known && (!ours || bytes == LAYOUT) {
        return Ok(());
    }
    let object = format!("`oci-layout` in {shown}");
    Err(ShareError::invalid(
        object,
        "it is not that of an OCI image layout 1.0.0",
    ))
}

/// Takes the tags out of `index.json`: one image, and lists of what is said about its manifests.
fn tags(index: &Index, inner: &mut Inner, object: &str) -> Result<String, ShareError> {
    check_tags(index, object)?;
    let mut images = Vec::new();
    for entry in &index.manifests {
        let mut descriptor = entry.clone();
        let tag = descriptor.annotations.remove(REF_NAME);
        match tag {
            Some(tag) if tag.starts_with("sha256-") => {
                if inner.tags.insert(tag.clone(), descriptor).is_some() {
                    return Err(ShareError::invalid(
                        object,
                        format!("it names `{tag}` twice"),
                    ));
                }
            }
            tag => images.push((tag, descriptor)),
        }
    }
    let count = images.len();
    let Some((tag, descriptor)) = images.pop().filter(|_| count == 1) else {
        let problem = format!("it names {count} images, a bundle holds exactly one");
        return Err(ShareError::invalid(object, problem));
    };
    if ![INDEX, MANIFEST].contains(&descriptor.media_type.as_str()) {
        let kind = fit(&descriptor.media_type);
        let problem = format!("it names a `{kind}`, not an image");
        return Err(ShareError::invalid(object, problem));
    }
    let at = format!("the manifest `sha256:{}`", descriptor.digest);
    let Some(Body::Bytes(bytes)) = inner.blobs.get(&descriptor.digest) else {
        return Err(ShareError::invalid(at, "it is not in the bundle"));
    };
    descriptor.check(&at, bytes)?;
    // Only the title is held to a digest: the tag must be that.
    let (title, kind, manifests): (_, _, Vec<Digest>) = if descriptor.media_type == INDEX {
        let index = Index::parse(bytes, &at)?;
        let manifests = index.manifests.iter().map(|one| one.digest).collect();
        (
            index.annotations.get(TITLE).cloned(),
            index.artifact_type,
            manifests,
        )
    } else {
        let manifest = Manifest::parse(bytes, &at)?;
        let own = vec![descriptor.digest];
        (
            manifest.annotations.get(TITLE).cloned(),
            manifest.artifact_type,
            own,
        )
    };
    let title = title.ok_or_else(|| ShareError::invalid(&*at, "it has no title"))?;
    if tag.as_ref().is_some_and(|tag| *tag != title) {
        let problem = format!("its tag is not `{}`, the image's name", fit(&title));
        return Err(ShareError::invalid(object, problem));
    }
    if descriptor.artifact_type.is_some() && descriptor.artifact_type != kind {
        return Err(ShareError::invalid(
            object,
            "it names another kind of artifact than there is",
        ));
    }
    for tag in inner.tags.keys() {
        let subject: Option<Digest> = tag.strip_prefix("sha256-").and_then(|hex| hex.parse().ok());
        if !subject.is_some_and(|subject| manifests.contains(&subject)) {
            let problem = format!(
                "it has `{}`, which is about nothing in the bundle",
                fit(tag)
            );
            return Err(ShareError::invalid(object, problem));
        }
    }
    inner.tags.insert(title.clone(), descriptor);
    Ok(title)
}
