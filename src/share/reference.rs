//! References: `REGISTRY/REPOSITORY[:TAG][@sha256:HEX]`, by the grammar of the OCI distribution specification (names, tags) and of
//! `github.com/distribution/reference` (registries).
//!
//! Nothing is filled in but the tag `latest`: a name without a registry does not mean somebody's well-known one.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::source::fetch::redirect::redacted;

/// The tag that is meant where neither a tag nor a digest is named.
pub const DEFAULT_TAG: &str = "latest";

/// The most characters of `REGISTRY/REPOSITORY`.
const MAX_NAME: usize = 255;
/// The most characters of a tag.
const MAX_TAG: usize = 128;

/// What names an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The registry: `HOST` or `HOST:PORT`, in lower case.
    pub registry: String,
    /// The repository: lower-case words with `/` between them.
    pub repository: String,
    /// The tag, where one is named.
    pub tag: Option<String>,
    /// The digest of the manifest or index, where one is named.
    pub digest: Option<Digest>,
}

/// A text that is no reference, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no reference to an image in a registry: {problem}", crate::text::shown(.text))]
pub struct ReferenceError {
    /// The text, cut to a length that can be shown.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Reference {
    /// Returns `REGISTRY/REPOSITORY`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the tag, or the one that is meant.
    pub fn tag_or_default(&self) -> &str {
        self.tag.as_deref().unwrap_or(DEFAULT_TAG)
    }

    /// Returns the reference of the same image by this digest.
    pub fn pinned(&self, digest: Digest) -> Reference {
        Reference {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        parse(text).map_err(|problem| ReferenceError {
            text: text_for_people(text),
            problem,
        })
    }
}

/// Returns a text that is no reference, cut, and without a name and a password before its host.
fn text_for_people(text: &str) -> String {
    let shown = match text.contains("://") || is_name_and_password(text) {
        true => redacted(text),
        false => text.to_owned(),
    };
    shown.chars().take(300).collect()
}

fn is_name_and_password(text: &str) -> bool {
    let before = text.split('/').next().and_then(|host| host.split_once('@'));
    before.is_some_and(|(before, _)| before.contains(':'))
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!(
            "leave out `{}://`: it starts with the registry's host",
            crate::text::shown(scheme)
        ));
    }
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("`{}` cannot be in one", odd.escape_debug()));
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
        None => (text, None),
    };
    let Some((registry, rest)) = rest
        .split_once('/')
        .filter(|(first, _)| looks_like_registry(first))
    else {
        return Err(
            "it names no registry: the first part must be a host with a dot or a port, or `localhost`"
                .to_owned(),
        );
    };
    let registry = parse_registry(registry)?;
    let (repository, tag) = match rest.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(parse_tag(tag)?)),
        None => (rest, None),
    };
    check_repository(repository)?;
    let length = registry.len() + 1 + repository.len();
    if length > MAX_NAME {
        return Err(format!(
            "registry and repository have {length} characters, at most {MAX_NAME} are allowed"
        ));
    }
    Ok(Reference {
        registry,
        repository: repository.to_owned(),
        tag,
        digest,
    })
}

/// Says whether the part before the first `/` is a host: else it would be the first word of a repository.
fn looks_like_registry(first: &str) -> bool {
    first.contains(['.', ':', '[']) || first.eq_ignore_ascii_case("localhost")
}

fn parse_registry(text: &str) -> Result<String, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, rest) = rest
                .split_once(']')
                .ok_or("the `[` of its IPv6 address is not closed")?;
            let address = inner
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| format!("`{inner}` is no IPv6 address"))?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or_else(|| {
                    format!("`{rest}` follows its IPv6 address: expected `:PORT`")
                })?),
            };
            (format!("[{address}]"), port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
            None => (text.to_ascii_lowercase(), None),
        },
    };
    if !host.starts_with('[') {
        let is_label = |label: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            (1..=63).contains(&label.len())
                && label.chars().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !host.split('.').all(is_label) {
            return Err(format!("`{host}` is no name of a host"));
        }
        // `1.2.3` or `1.2.3.4.5`: what is all digits is an address, or a mistake.
        let digits = |label: &str| label.chars().all(|c| c.is_ascii_digit());
        if host.split('.').all(digits) && host.parse::<std::net::Ipv4Addr>().is_err() {
            return Err(format!("`{host}` is no IPv4 address"));
        }
    }
    // `0x7f.1` is an address in disguise, and what a URL makes of `xn--` may be no name at all.
    let url = reqwest::Url::parse(&format!("http://{host}/"));
    if !url.is_ok_and(|url| url.host_str() == Some(&host)) {
        return Err(format!("`{host}` is no name of a host"));
    }
    let Some(port) = port else {
        return Ok(host);
    };
    let number = port
        .parse::<u16>()
        .ok()
        .filter(|number| *number > 0 && number.to_string() == port)
        .ok_or_else(|| format!("`{port}` is no port: expected 1 to 65535"))?;
    Ok(format!("{host}:{number}"))
}

/// A repository: words `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-` are a component; `/` joins components.
fn check_repository(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it names no repository".to_owned());
    }
    if text.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!(
            "repositories are lower case: `{}`",
            text.to_ascii_lowercase()
        ));
    }
    match text.split('/').find(|component| !is_component(component)) {
        None => Ok(()),
        Some("") => Err("its repository has an empty part".to_owned()),
        Some(odd) => Err(format!(
            "`{odd}` cannot be a part of a repository: lower-case letters and digits, with `.`, `_`, `__` or `-` between them"
        )),
    }
}

fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separator = String::new();
    let mut words = false;
    for c in text.chars() {
        if is_word(c) {
            let joins = matches!(separator.as_str(), "" | "." | "_" | "__")
                || separator.chars().all(|c| c == '-');
            if !joins || (!words && !separator.is_empty()) {
                return false;
            }
            separator.clear();
            words = true;
        } else {
            separator.push(c);
        }
    }
    words && separator.is_empty()
}

/// Returns the tag `text`, `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
fn parse_tag(text: &str) -> Result<String, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() {
        return Err("its tag is empty".to_owned());
    }
    if text.len() > MAX_TAG {
        return Err(format!(
            "its tag has {} characters, at most {MAX_TAG} are allowed",
            text.len()
        ));
    }
    let inner = |c: char| is_word(c) || matches!(c, '.' | '-');
    if !text.starts_with(is_word) || !text.chars().all(inner) {
        return Err(format!(
            "`{text}` is no tag: letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
        ));
    }
    Ok(text.to_owned())
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    let Some(hex) = text.strip_prefix("sha256:") else {
        return Err(format!("`{text}` is no digest: expected `sha256:HEX`"));
    };
    hex.parse()
        .map_err(|error| format!("`{text}` is no digest: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn what_the_grammar_allows_is_read_and_printed_as_it_was() {
        let long = format!("a.b/{}:{}", "x".repeat(251), "t".repeat(128));
        let whole = format!("localhost:5000/a__b/c-d---e.f_g:V1._-x@sha256:{HEX}");
        for text in [
            "registry.example/team/minimal:1",
            "registry.example/a",
            "127.0.0.1:1/a",
            "[::1]:5000/a:x",
            "[2001:db8::1]/a",
            "localhost/a",
            "xn--nxasmq6b.example:65535/0/1/2:_",
            &long,
            &whole,
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
        let whole: Reference = whole.parse().unwrap();
        assert_eq!(whole.registry, "localhost:5000");
        assert_eq!(whole.repository, "a__b/c-d---e.f_g");
        assert_eq!(whole.tag.as_deref(), Some("V1._-x"));
        assert_eq!(whole.digest, Some(HEX.parse().unwrap()));
        // Hosts know no case, and an address has one way to be written.
        let odd: Reference = "Registry.EXAMPLE/a".parse().unwrap();
        assert_eq!(odd.to_string(), "registry.example/a");
        let odd: Reference = "[0:0::1]:80/a".parse().unwrap();
        assert_eq!(odd.registry, "[::1]:80");
    }

    #[test]
    fn what_it_does_not_allow_is_refused_with_the_reason() {
        let cases = [
            ("", "it is empty"),
            ("minimal", "names no registry"),
            ("team/minimal:1", "names no registry"),
            ("https://registry.example/a", "leave out `https://`"),
            ("docker://registry.example/a", "leave out `docker://`"),
            ("registry.example/", "names no repository"),
            ("registry.example/:1", "names no repository"),
            ("registry.example/Team/x", "lower case: `team/x`"),
            ("registry.example/a//b", "empty part"),
            ("registry.example//b", "empty part"),
            ("registry.example/a/", "empty part"),
            ("registry.example/../b", "`..` cannot be a part"),
            ("registry.example/a..b", "`a..b` cannot be a part"),
            ("registry.example/a___b", "`a___b` cannot be a part"),
            ("registry.example/-a", "`-a` cannot be a part"),
            ("registry.example/a_", "`a_` cannot be a part"),
            ("registry.example/a%2fb", "`a%2fb` cannot be a part"),
            ("registry.example/a?b", "`a?b` cannot be a part"),
            ("registry.example/a b", "` ` cannot be in one"),
            ("registry.example/a\u{1b}[31m", "`\\u{1b}` cannot be in one"),
            ("registry.example/\u{e4}", "`\u{e4}` cannot be in one"),
            ("registry.example/a:", "tag is empty"),
            ("registry.example/a:.x", "`.x` is no tag"),
            ("registry.example/a:1:2", "`a:1` cannot be a part"),
            ("registry.example:0/a", "`0` is no port"),
            ("registry.example:65536/a", "`65536` is no port"),
            ("registry.example:080/a", "`080` is no port"),
            ("registry.example:/a", "`` is no port"),
            ("-x.example/a", "`-x.example` is no name"),
            ("a..example/a", "`a..example` is no name"),
            ("user@registry.example/a", "is no digest"),
            ("1.2.3/a", "is no IPv4 address"),
            ("0x7f.1:5000/a", "is no name of a host"),
            ("xn--a.example/a", "is no name of a host"),
            ("256.0.0.1/a", "is no IPv4 address"),
            ("[::1/a", "not closed"),
            ("[::g]/a", "no IPv6 address"),
            ("[::1]5000/a", "expected `:PORT`"),
            ("registry.example/a@sha512:00", "expected `sha256:HEX`"),
            ("registry.example/a@sha256:00", "64 hexadecimal digits"),
            ("registry.example/a@", "is no digest"),
        ];
        for (text, problem) in cases {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.contains('\u{1b}'), "{error}");
        }
        for (text, problem) in [
            (format!("a.b/{}", "x".repeat(252)), "have 256 characters"),
            (format!("a.b/x:{}", "t".repeat(129)), "has 129 characters"),
            (
                format!("a.b/x@sha256:{}", HEX.to_uppercase()),
                "not a lower-case",
            ),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
