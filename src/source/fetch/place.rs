//! A source's declared places to the locations where it is looked for, in order. No file or network access.

use std::path::{Path, PathBuf};

use reqwest::Url;

use super::options::{FetchOptions, Mirror};
use super::redirect::{redacted, shown};
use crate::digest::Digest;
use crate::place::Place;
use crate::source::apt;

/// One place to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// Its name for people.
    pub(super) shown: String,
    /// What it is.
    pub(super) at: At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// The first of these files that exists.
    Mirror(Vec<PathBuf>),
    /// A file that a recipe names, from a directory on.
    Local(PathBuf, PathBuf),
    /// A file at a root that the user names.
    File(PathBuf),
    /// A file on a server.
    Http(Url),
    /// A text that is no URL of http or https.
    NoUrl,
    /// A Debian path without any root.
    NoRoot,
}

/// Returns where to look for a source: in every mirror, then at its places in the order of the recipe.
pub(super) fn locations(
    places: &[Place],
    digest: Option<&Digest>,
    base: &Path,
    options: &FetchOptions,
) -> Vec<Location> {
    let mirrors = options
        .mirrors
        .iter()
        .map(|mirror| in_mirror(mirror, places, digest));
    let own = places.iter().flat_map(|place| match place {
        Place::Url(url) => vec![of_url(url)],
        Place::Local(path) => vec![Location {
            shown: base.join(path).display().to_string(),
            at: At::Local(base.to_path_buf(), path.into()),
        }],
        // Container images are fetched by `oci::Remote` and `oci::take_local`.
        Place::Oci(_) | Place::OciLocal(_) => Vec::new(),
        Place::Debian {
            path,
            snapshot,
            archive,
        } => debian(path, snapshot.as_deref(), archive, options),
    });
    let mut found: Vec<Location> = Vec::new();
    for location in mirrors.chain(own) {
        // Two places of a recipe, or two roots, can come to the same: asking twice gives nothing new.
        if !found.contains(&location) {
            found.push(location);
        }
    }
    found
}

fn in_mirror(mirror: &Mirror, places: &[Place], digest: Option<&Digest>) -> Location {
    let Mirror(directory) = mirror;
    let mut names: Vec<String> = digest.iter().map(|digest| digest.to_string()).collect();
    for place in places {
        let path = match place {
            Place::Url(url) => Url::parse(url)
                .map(|url| url.path().to_owned())
                .unwrap_or_default(),
            Place::Debian { path, .. } | Place::Local(path) => path.clone(),
            Place::Oci(_) | Place::OciLocal(_) => String::new(),
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        // Nothing outside the mirror is taken for a part of it.
        if parts.iter().any(|part| matches!(*part, "." | "..")) {
            continue;
        }
        if let Some(last) = parts.last() {
            names.push((*last).to_owned());
            names.push(parts.join("/"));
        }
    }
    Location {
        shown: directory.display().to_string(),
        at: At::Mirror(names.iter().map(|name| directory.join(name)).collect()),
    }
}

fn of_url(text: &str) -> Location {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Location {
            shown: shown(&url),
            at: At::Http(url),
        },
        _ => Location {
            shown: redacted(text),
            at: At::NoUrl,
        },
    }
}

fn of_file(path: PathBuf) -> Location {
    Location {
        shown: path.display().to_string(),
        at: At::File(path),
    }
}

fn debian(
    path: &str,
    snapshot: Option<&str>,
    archive: &str,
    options: &FetchOptions,
) -> Vec<Location> {
    let named = options
        .debian_mirrors
        .iter()
        .flat_map(|root| apt::root_and_sibling(root, archive));
    let known = apt::roots_for(archive, &options.apt_roots);
    let mut found: Vec<Location> = named
        .chain(known)
        .map(|root| below(&root, path.split('/')))
        .collect();
    if let Some(snapshot) = snapshot {
        let parts = [archive, snapshot].into_iter().chain(path.split('/'));
        found.push(below(&options.snapshot_root, parts));
    }
    if found.is_empty() {
        found.push(Location {
            shown: path.to_owned(),
            at: At::NoRoot,
        });
    }
    found
}

/// Returns the location of a path below a root. The parts are names of files: what a URL takes for more than a letter is
/// escaped.
fn below<'a>(root: &str, parts: impl Iterator<Item = &'a str>) -> Location {
    let parts: Vec<&str> = parts.collect();
    if !root.contains("://") && !root.starts_with("file:") {
        return of_file(
            parts
                .iter()
                .fold(PathBuf::from(root), |at, part| at.join(part)),
        );
    }
    let bad = || Location {
        shown: redacted(root),
        at: At::NoUrl,
    };
    let Ok(mut url) = Url::parse(root) else {
        return bad();
    };
    match url.path_segments_mut() {
        Ok(mut segments) => {
            segments.pop_if_empty().extend(&parts);
        }
        Err(()) => return bad(),
    }
    match url.scheme() {
        "file" => url.to_file_path().map_or_else(|()| bad(), of_file),
        _ => of_url(url.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(path: &str, snapshot: Option<&str>) -> Place {
        Place::Debian {
            path: path.to_owned(),
            snapshot: snapshot.map(str::to_owned),
            archive: "debian".to_owned(),
        }
    }

    fn shown_of(places: &[Place], options: &FetchOptions) -> Vec<String> {
        let digest = Digest::of(b"");
        locations(places, Some(&digest), Path::new("/recipes"), options)
            .into_iter()
            .map(|location| match location.at {
                At::Mirror(paths) => format!("{paths:?}"),
                At::Local(base, path) => format!("local {}", base.join(path).display()),
                At::File(path) => format!("file {}", path.display()),
                At::Http(url) => url.into(),
                At::NoUrl => format!("no url {}", location.shown),
                At::NoRoot => format!("no root {}", location.shown),
            })
            .collect()
    }

    #[test]
    fn a_debian_path_is_looked_for_below_every_root_and_last_in_the_snapshot_archive() {
        let options = FetchOptions {
            debian_mirrors: vec![
                "http://user.test/d/".to_owned(),
                "/srv/debian".to_owned(),
                "ftp://x.test/".to_owned(),
                "http://".to_owned(),
            ],
            apt_roots: vec![
                "http://apt.test/debian-security".to_owned(),
                "file:///srv/m%20n/debian".to_owned(),
                "http://apt.test/debian".to_owned(),
            ],
            ..FetchOptions::default()
        };
        let place = deb("pool/b/x_1.0+b1~2%3a?_amd64.deb", Some("20260711T101637Z"));
        assert_eq!(
            shown_of(&[place.clone(), place], &options),
            [
                "http://user.test/d/pool/b/x_1.0+b1~2%253a%3F_amd64.deb",
                "file /srv/debian/pool/b/x_1.0+b1~2%3a?_amd64.deb",
                "no url ftp://x.test/pool/b/x_1.0+b1~2%253a%3F_amd64.deb",
                "no url http://",
                "file /srv/m n/debian/pool/b/x_1.0+b1~2%3a?_amd64.deb",
                "http://apt.test/debian/pool/b/x_1.0+b1~2%253a%3F_amd64.deb",
                "http://apt.test/debian-security/pool/b/x_1.0+b1~2%253a%3F_amd64.deb",
                "https://snapshot.debian.org/archive/debian/20260711T101637Z/pool/b/x_1.0+b1~2%253a%3F_amd64.deb",
            ]
        );
        assert_eq!(
            shown_of(&[deb("pool/x", None)], &FetchOptions::default()),
            ["no root pool/x"]
        );
    }

    #[test]
    fn a_mirror_is_asked_first_under_every_name_that_the_file_can_have_there() {
        let options = FetchOptions {
            mirrors: vec![Mirror("/m".into())],
            ..FetchOptions::default()
        };
        let places = [
            Place::Url("https://a.test/p/q.tar.gz?x=1".to_owned()),
            Place::Url("a.test".to_owned()),
            Place::Local("../up".to_owned()),
            Place::Local("/boot/vmlinuz".to_owned()),
        ];
        let empty = Digest::of(b"");
        assert_eq!(
            shown_of(&places, &options),
            [
                format!(
                    r#"["/m/{empty}", "/m/q.tar.gz", "/m/p/q.tar.gz", "/m/vmlinuz", "/m/boot/vmlinuz"]"#
                ),
                "https://a.test/p/q.tar.gz?x=1".to_owned(),
                "no url a.test".to_owned(),
                "local /recipes/../up".to_owned(),
                "local /boot/vmlinuz".to_owned(),
            ]
        );
    }
}
