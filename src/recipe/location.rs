//! `source` nodes: where bytes can be had.

use std::collections::BTreeMap;

use kdl::KdlNode;

use crate::arch::Arch;

use super::diagnostic::Diagnostic;
use super::model::{Location, Place, Source, Spanned};
use super::node::{Form, Node, Value};
use super::quantity::{is_normal, normal};
use super::report::Report;
use super::source_map::Span;
use super::{Mode, oci, word};

pub(super) const SOURCE: Form = Form {
    name: "source",
    arguments: &["the name"],
    required: 1,
    properties: &["override"],
    children: &["url", "debian", "local", "oci"],
    example: "`source \"NAME\" { url \"https://..\" sha256=\"..\" }`",
};

const URL: Form = Form {
    name: "url",
    arguments: &["the address"],
    required: 1,
    properties: &["sha256", "size", "arch"],
    children: &[],
    example: "`url \"https://..\" sha256=\"..\" size=N`",
};

const DEBIAN: Form = Form {
    name: "debian",
    arguments: &["the path"],
    required: 1,
    properties: &["sha256", "size", "arch", "snapshot", "archive"],
    children: &[],
    example: "`debian \"pool/..\" sha256=\"..\" snapshot=\"20260711T101637Z\"`",
};

const LOCAL: Form = Form {
    name: "local",
    arguments: &["the path"],
    required: 1,
    properties: &["sha256", "size", "arch"],
    children: &[],
    example: "`local \"PATH\" sha256=\"..\"`",
};

/// The forms of this file, for tests that go through the whole language.
#[cfg(test)]
pub(super) const FORMS: &[&Form] = &[&SOURCE, &URL, &DEBIAN, &LOCAL];

/// The archive that `debian` means where it names none.
const ARCHIVE: &str = "debian";

/// A source as far as it could be read: its name counts as declared even where its locations are wrong.
pub(super) struct Declared {
    pub(super) name: Option<Spanned<String>>,
    /// Its `override=#true`.
    pub(super) replaces: Option<Span>,
    pub(super) source: Option<Source>,
}

/// Reads a `source` node.
pub(super) fn source(kdl: &KdlNode, report: &Report<'_>) -> Declared {
    let node = Node::read(kdl, &SOURCE, report);
    let name = node.get(0).and_then(Value::name);
    let nodes = node.children();
    if nodes.is_empty() && kdl.children().is_none_or(|block| block.nodes().is_empty()) {
        let help = format!("write {}", SOURCE.example);
        report.error(
            "`source` has no location",
            &node.head,
            "nothing says where its bytes are",
            help,
        );
    }
    if let Some(flag) = node.prop("override") {
        flag.flag();
    }
    let replaces = node.replaces();
    let count = nodes.len();
    let read = |(kind, kdl)| location(kind, kdl, report);
    let locations: Vec<Location> = nodes.into_iter().filter_map(read).collect();
    let complete = locations.len() == count && count > 0;
    if complete {
        oci::alone(&locations, report);
        agreement(&locations, report);
    }
    Declared {
        source: name.clone().filter(|_| complete).map(|name| Source {
            name,
            span: node.span.clone(),
            locations,
        }),
        name,
        replaces,
    }
}

fn location(kind: &str, kdl: &KdlNode, report: &Report<'_>) -> Option<Location> {
    if kind == "oci" {
        return oci::location(kdl, report);
    }
    let form = match kind {
        "url" => &URL,
        "debian" => &DEBIAN,
        _ => &LOCAL,
    };
    let node = Node::read(kdl, form, report);
    let place = node.get(0).and_then(|value| match kind {
        "url" => url(value),
        "debian" => debian(&node, value),
        _ => local(value),
    });
    let arch = node.prop("arch").map(Value::architecture);
    let size = node.prop("size").map(size);
    let sha256 = match node.prop("sha256") {
        Some(value) if report.mode == Mode::Pin && value.kdl().as_string() == Some("") => {
            Some(None)
        }
        Some(value) => value.sha256().map(Some),
        None if report.mode == Mode::Pin => Some(None),
        None => {
            let help = format!(
                "`mkimg pin {}` fetches the file and writes its sha256 here",
                report.name
            );
            let message = format!("`{}` has no sha256", form.name);
            report.error(
                message,
                &node.head,
                "nothing says which bytes these are",
                help,
            );
            None
        }
    };
    Some(Location {
        place: place?,
        arch: arch.map_or(Some(None), |arch| arch.map(Some))?,
        sha256: sha256?,
        size: size.map_or(Some(None), |size| size.map(Some))?,
        span: node.span,
    })
}

fn size(value: &Value<'_>) -> Option<Spanned<u64>> {
    let bytes = value.bytes()?;
    if bytes == 0 {
        value.refuse(
            "`size` is 0",
            "an empty file is of no use",
            "write its size in bytes, or leave it out",
        );
        return None;
    }
    Some(Spanned {
        value: bytes,
        span: value.span.clone(),
    })
}

/// Reads an address: http or https, with a host (RFC 3986, section 3.2).
fn url(value: &Value<'_>) -> Option<Place> {
    let text = value.line()?.value;
    let (scheme, rest) = text.split_once("://").unwrap_or(("", &text));
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        let (label, help) = match scheme {
            "" if rest.starts_with('/') => (
                "a path",
                "write `local \"PATH\"` for a file of this machine",
            ),
            "" => ("has no scheme", "write `https://` before it"),
            "file" => ("a file of this machine", "write `local \"PATH\"` for it"),
            _ => (
                "another scheme",
                "write an address that starts with `https://` or `http://`",
            ),
        };
        value.refuse("the address is neither http nor https", label, help);
        return None;
    }
    if let Some(bad) = text
        .chars()
        .find(|c| c.is_whitespace() || c.is_control() || *c == '\\')
    {
        let mut bytes = [0u8; 4];
        let escaped: String = bad
            .encode_utf8(&mut bytes)
            .bytes()
            .map(|b| format!("%{b:02X}"))
            .collect();
        let message = format!("the address has the character `{}`", bad.escape_debug());
        value.refuse(
            message,
            "not allowed in an address",
            format!("write it as `{escaped}`, or remove it"),
        );
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let help = "recipes are shared: what needs a password belongs into a mirror or `mkimg add`";
        value.refuse(
            "the address has a user name",
            "credentials have no place in a recipe",
            help,
        );
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        value.refuse(
            "the address has no host",
            "nothing stands between `//` and the path",
            "write `https://HOST/PATH`",
        );
        return None;
    }
    if port.is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
        value.refuse(
            "the address has a port that is none",
            "a number from 0 to 65535",
            "write `https://HOST:PORT/PATH`",
        );
        return None;
    }
    Some(Place::Url(text))
}

/// Reads a path below a Debian archive root, and what belongs to it.
fn debian(node: &Node<'_>, value: &Value<'_>) -> Option<Place> {
    let path = debian_path(value);
    let snapshot = node.prop("snapshot").map(|value| {
        let text = value.line()?.value;
        if is_snapshot(&text) {
            return Some(text);
        }
        let help = "write the time in UTC as `20260711T101637Z`, as the snapshot archive lists it";
        value.refuse(
            "`snapshot` is no time stamp",
            "`YYYYMMDDTHHMMSSZ` is wanted",
            help,
        );
        None
    });
    let archive = node
        .prop("archive")
        .map_or(Some(ARCHIVE.to_owned()), |value| {
            let text = value.line()?.value;
            let good =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
            if text.chars().all(good) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                return Some(text);
            }
            let help =
                "write its name on the snapshot archive, such as `debian` or `debian-security`";
            value.refuse(
                "`archive` is no name of an archive",
                "lower-case letters, digits, `-` and `.`",
                help,
            );
            None
        });
    Some(Place::Debian {
        path: path?,
        snapshot: snapshot.map_or(Some(None), |snapshot| snapshot.map(Some))?,
        archive: archive?,
    })
}

fn debian_path(value: &Value<'_>) -> Option<String> {
    let path = value.line()?.value;
    if path.contains("://") {
        let inside = path.find("/pool/").and_then(|at| path.get(at + 1..));
        let help = match inside {
            Some(path) => {
                format!("write the path alone, any mirror serves it: `debian \"{path}\"`")
            }
            None => {
                "write the path below the archive's root alone, or `url` for an address".to_owned()
            }
        };
        value.refuse(
            "the path is an address",
            "a path such as `pool/..` is wanted",
            help,
        );
        return None;
    }
    if path.starts_with('/') || !is_normal(&path) {
        let help = format!("write `\"{}\"`", normal(&path));
        value.refuse(
            "the path is not relative and normal",
            "no `/` at either end, no `.`, `..` or `//`",
            help,
        );
        return None;
    }
    // Debian policy 5.6.1 and 5.6.12: what names and versions consist of; it goes into an address as it is.
    let good = |c: &char| c.is_ascii_alphanumeric() || "/.+-~_:=@,".contains(*c);
    if let Some(bad) = path.chars().find(|c| !good(c)) {
        let message = format!("the path has the character `{}`", bad.escape_debug());
        let help = "copy it from the `Filename:` field of the archive's `Packages` file";
        value.refuse(message, "no file of an archive is called so", help);
        return None;
    }
    Some(path)
}

fn is_snapshot(text: &str) -> bool {
    let form = text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let part = |at: usize| {
        text.get(at..at + 2)
            .and_then(|two| two.parse::<u8>().ok())
            .unwrap_or(99)
    };
    form && (1..=12).contains(&part(4))
        && (1..=31).contains(&part(6))
        && part(9) < 24
        && part(11) < 60
        && part(13) < 61
}

fn local(value: &Value<'_>) -> Option<Place> {
    let path = value.beside(value.line()?).value;
    if path.ends_with('/') {
        let help = "name a file; a directory has no sha256";
        value.refuse("the path is a directory", "ends with `/`", help);
        return None;
    }
    Some(Place::Local(path))
}

/// Checks that the locations of one architecture are the same bytes, and that all or none name an architecture.
fn agreement(locations: &[Location], report: &Report<'_>) {
    let with = locations.iter().find(|location| location.arch.is_some());
    if let (Some(with), Some(without)) = (with, locations.iter().find(|l| l.arch.is_none())) {
        let error = Diagnostic::error(
            "only some locations of a source name an architecture",
            without.span.clone(),
            "which architecture is this for?",
        );
        let names = word::list(&Arch::ALL.map(Arch::name));
        report.add(error.and(with.span.clone(), "this one says it").help(format!(
            "write `arch=` on every location ({names}), or on none where the bytes serve them all"
        )));
        return;
    }
    let mut groups: BTreeMap<Option<Arch>, Vec<&Location>> = BTreeMap::new();
    for location in locations {
        let group = groups.entry(location.arch).or_default();
        if let Some(same) = group.iter().find(|other| other.place == location.place) {
            let message = "a location is given twice";
            let error = Diagnostic::error(message, location.span.clone(), "given again here");
            let error = error.and(same.span.clone(), "given here first");
            report.add(error.help("keep one of them"));
        } else {
            compare(group, location, report);
        }
        group.push(location);
    }
}

/// Compares a location with the mirrors before it.
fn compare(group: &[&Location], location: &Location, report: &Report<'_>) {
    let differ = |what: &str, here: &Span, there: &Span| {
        let message = format!("two locations of the same bytes have different `{what}`");
        let error = Diagnostic::error(message, here.clone(), "differs from the one before");
        report.add(error.and(there.clone(), "given here").help(
            "locations of one architecture are mirrors of one file: correct the one that is wrong, write `arch=` where they are for different architectures, or make a `source` of each",
        ));
    };
    let mut sha256s = group.iter().filter_map(|other| other.sha256.as_ref());
    if let (Some(there), Some(here)) = (sha256s.next(), &location.sha256)
        && there.value != here.value
    {
        differ("sha256", &here.span, &there.span);
    }
    let mut sizes = group.iter().filter_map(|other| other.size.as_ref());
    if let (Some(there), Some(here)) = (sizes.next(), &location.size)
        && there.value != here.value
    {
        differ("size", &here.span, &there.span);
    }
}
