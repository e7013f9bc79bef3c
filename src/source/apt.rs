//! Where this machine gets its Debian packages from: apt's source lists to archive roots.
//!
//! Any root will do for a file whose sha256 is known, so nothing but the roots is read: no suites, no components, no keys.
//! The two formats are the ones of `sources.list(5)`: one line for each source (`.list`), and deb822 paragraphs (`.sources`).

use std::fs;
use std::path::Path;

use reqwest::Url;

/// Returns the roots that the one-line format names, in order: `deb [options] URI suite components`.
///
/// `deb-src` lines, comments, and what is no http, https, file or copy URI (cdrom, tor, mirror lists) are passed over.
pub fn roots_of_list(text: &str) -> Vec<String> {
    text.lines().filter_map(root_of_line).collect()
}

fn root_of_line(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let word = rest.split('#').next()?.split_whitespace().next()?;
    root_of_uri(word)
}

/// Returns the roots that the deb822 format names, in order.
///
/// A paragraph counts where its `Types` include `deb` and `Enabled` is not a word for no.
pub fn roots_of_sources(text: &str) -> Vec<String> {
    let mut roots = Vec::new();
    let mut paragraph = Paragraph::default();
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            roots.append(&mut std::mem::take(&mut paragraph).roots());
        } else {
            paragraph.line(line);
        }
    }
    roots.append(&mut paragraph.roots());
    roots
}

/// The fields of one deb822 paragraph that decide its roots.
#[derive(Default)]
struct Paragraph {
    types: String,
    uris: String,
    enabled: String,
    current: Field,
}

#[derive(Clone, Copy, Default)]
enum Field {
    Types,
    Uris,
    Enabled,
    #[default]
    Other,
}

impl Paragraph {
    fn line(&mut self, line: &str) {
        let value = if line.starts_with([' ', '\t']) {
            line
        } else {
            let Some((name, value)) = line.split_once(':') else {
                self.current = Field::Other;
                return;
            };
            self.current = match name.trim().to_ascii_lowercase().as_str() {
                "types" => Field::Types,
                "uris" => Field::Uris,
                "enabled" => Field::Enabled,
                _ => Field::Other,
            };
            value
        };
        let text = match self.current {
            Field::Types => &mut self.types,
            Field::Uris => &mut self.uris,
            Field::Enabled => &mut self.enabled,
            Field::Other => return,
        };
        text.push(' ');
        text.push_str(value);
    }

    fn roots(self) -> Vec<String> {
        // The words that apt's `StringToBool` takes for no.
        let disabled = ["no", "false", "without", "off", "disable", "0"];
        let enabled = self.enabled.trim().to_ascii_lowercase();
        if disabled.contains(&enabled.as_str())
            || !self.types.split_whitespace().any(|kind| kind == "deb")
        {
            return Vec::new();
        }
        self.uris
            .split_whitespace()
            .filter_map(root_of_uri)
            .collect()
    }
}

fn root_of_uri(uri: &str) -> Option<String> {
    // apt fills in variables such as `$(ARCH)`; a root that needs them is left to apt.
    if uri.contains("$(") {
        return None;
    }
    let uri = match uri.strip_prefix("copy:") {
        Some(path) => format!("file:{path}"),
        None => uri.to_owned(),
    };
    let url = Url::parse(&uri).ok()?;
    let known = matches!(url.scheme(), "http" | "https" | "file");
    known.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Returns the roots that the files below `etc_apt` (`/etc/apt`) name: `sources.list`, then `sources.list.d/` by file name.
/// Each root once. What cannot be read is passed over: these roots are an offer, never a need.
pub fn roots_of_machine(etc_apt: &Path) -> Vec<String> {
    let read = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut found = roots_of_list(&read(&etc_apt.join("sources.list")));
    let entries = fs::read_dir(etc_apt.join("sources.list.d"));
    let mut paths: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        match path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(format_of)
        {
            Some(Format::List) => found.append(&mut roots_of_list(&read(&path))),
            Some(Format::Sources) => found.append(&mut roots_of_sources(&read(&path))),
            None => {}
        }
    }
    let mut roots: Vec<String> = Vec::new();
    for root in found {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots
}

enum Format {
    List,
    Sources,
}

/// Returns the format of a file in `sources.list.d`; `None` for a name that apt passes over: apt takes letters, digits, `_`, `-`
/// and `.` alone, so that an editor's backup or `x.list.disabled` counts for nothing.
fn format_of(name: &str) -> Option<Format> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let (stem, extension) = name.rsplit_once('.')?;
    if stem.is_empty() || name.starts_with('.') || !name.chars().all(fine) {
        return None;
    }
    match extension {
        "list" => Some(Format::List),
        "sources" => Some(Format::Sources),
        _ => None,
    }
}

/// Returns `roots` with those first whose path ends in the archive's name (`debian`, `debian-security`), else in their order:
/// a root of another archive would only say that it has no such file.
pub fn roots_for(archive: &str, roots: &[String]) -> Vec<String> {
    let named = |root: &&String| {
        let path = root.trim_end_matches('/');
        path.rsplit('/').next() == Some(archive)
    };
    let first = roots.iter().filter(named);
    let rest = roots.iter().filter(|root| !named(root));
    first.chain(rest).cloned().collect()
}

/// Returns a root that the user named, and before it the root of the archive where it looks like that of another archive of the same
/// mirror: Debian's mirrors have `debian` and `debian-security` beside each other.
pub fn root_and_sibling(root: &str, archive: &str) -> Vec<String> {
    let sibling = root
        .trim_end_matches('/')
        .rsplit_once('/')
        .filter(|(_, last)| *last != archive && (*last == "debian" || last.starts_with("debian-")))
        .map(|(above, _)| format!("{above}/{archive}"));
    sibling.into_iter().chain([root.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_line_format_gives_the_roots_of_binary_packages() {
        let cases: [(&str, &[&str]); 11] = [
            (
                "deb http://m.test/debian bookworm main",
                &["http://m.test/debian"],
            ),
            (
                "deb\thttps://m.test/debian/ bookworm main",
                &["https://m.test/debian"],
            ),
            (
                "  deb [ arch=amd64 signed-by=/k#1.gpg ] http://m.test/d x y",
                &["http://m.test/d"],
            ),
            ("deb [arch=amd64]http://m.test/d x y", &["http://m.test/d"]),
            ("deb copy:/srv/debian x main # c", &["file:///srv/debian"]),
            ("deb file:///srv/debian x main", &["file:///srv/debian"]),
            ("deb-src http://m.test/debian bookworm main", &[]),
            ("# deb http://m.test/debian bookworm main", &[]),
            ("deb cdrom:[Debian 12]/ bookworm main", &[]),
            (
                "deb mirror+http://m.test/list x\ndeb tor+http://m.test/d x",
                &[],
            ),
            (
                "deb [arch=amd64 http://m.test/d x\ndeb\ndebhttp://m.test",
                &[],
            ),
        ];
        for (text, roots) in cases {
            assert_eq!(roots_of_list(text), roots, "{text}");
        }
    }

    #[test]
    fn the_deb822_format_gives_the_roots_of_enabled_binary_paragraphs() {
        let text = "\
# The first.
Types: deb deb-src
URIs: http://a.test/debian http://b.test/debian/
 https://c.test/debian
# A comment inside.
\tfile:/srv/debian
Suites: bookworm
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 URIs: http://not.test/debian

types: deb
enabled: No
uris: http://disabled.test/debian

Types: deb-src
URIs: http://source.test/debian
\t
Enabled: yes
Types: deb
URIs: tor+http://t.test/x cdrom:/x http://d.test/debian-security http://e.test/$(ARCH)
";
        let roots = [
            "http://a.test/debian",
            "http://b.test/debian",
            "https://c.test/debian",
            "file:///srv/debian",
            "http://d.test/debian-security",
        ];
        assert_eq!(roots_of_sources(text), roots);
        assert_eq!(roots_of_sources(&text.replace('\n', "\r\n")), roots);
    }

    #[test]
    fn the_files_of_a_machine_are_read_in_apts_order_and_each_root_counts_once() {
        let etc = tempfile::tempdir().unwrap();
        let lists = etc.path().join("sources.list.d");
        fs::create_dir(&lists).unwrap();
        fs::write(etc.path().join("sources.list"), "deb http://z.test/d x\n").unwrap();
        let one = |host: &str| format!("deb http://{host}.test/d x\n");
        let files = [
            ("b.list", one("b") + &one("z")),
            (
                "a.sources",
                "Types: deb\nURIs: http://a.test/d\n".to_owned(),
            ),
            ("c.list.disabled", one("no")),
            ("d e.list", one("no")),
            (".list", one("no")),
            ("f.list~", one("no")),
        ];
        for (name, text) in files {
            fs::write(lists.join(name), text).unwrap();
        }
        let roots = ["http://z.test/d", "http://a.test/d", "http://b.test/d"];
        assert_eq!(roots_of_machine(etc.path()), roots);
        assert_eq!(
            roots_of_machine(&etc.path().join("none")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_roots_of_an_archive_come_first_and_the_rest_keeps_its_order() {
        let roots = [
            "http://x.test/other",
            "http://a.test/debian-security",
            "http://a.test/debian/",
            "file:///srv/debian",
        ];
        let roots = roots.map(str::to_owned);
        assert_eq!(
            roots_for("debian", &roots),
            [&roots[2], &roots[3], &roots[0], &roots[1]].map(String::clone)
        );
        assert_eq!(roots_for("debian-security", &roots)[0], roots[1]);
    }

    #[test]
    fn a_mirror_of_one_archive_is_asked_for_the_others_beside_it() {
        let both = |root: &str, archive: &str| root_and_sibling(root, archive);
        assert_eq!(
            both("http://m.test/debian/", "debian-security"),
            ["http://m.test/debian-security", "http://m.test/debian/"]
        );
        assert_eq!(
            both("/srv/debian-security", "debian"),
            ["/srv/debian", "/srv/debian-security"]
        );
        for root in ["http://m.test/debian", "http://m.test/d", "http://m.test"] {
            assert_eq!(both(root, "debian"), [root]);
        }
    }
}
