//! Where an answer with a `Location` may lead: the one place that decides it, without a network.

use std::net::IpAddr;

use reqwest::Url;

/// How many redirects one request may take.
pub const REDIRECTS: usize = 10;

/// The most characters of an address that a redirect may lead to. Servers take 8000 or so.
const MAX_ADDRESS: usize = 32 << 10;
/// The most characters of an address that are shown.
const SHOWN: usize = 400;

/// A redirect that is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// More than [`REDIRECTS`].
    #[error("more than {REDIRECTS} redirects")]
    TooMany,
    /// It leads to where it came from.
    #[error("redirect loop: it comes back to `{0}`")]
    Loop(String),
    /// From a protected connection to one that is not.
    #[error("it redirects from https to http, to `{0}`")]
    Downgrade(String),
    /// To a server that everyone on the way can listen to, where that was not allowed.
    #[error("it redirects to plain http on another machine, to `{0}`")]
    Plain(String),
    /// To something that is no http server.
    #[error("it redirects to `{0}`, which is neither http nor https")]
    Scheme(String),
    /// To an address that is longer than any server takes.
    #[error("it redirects to an address of {0} characters")]
    Long(usize),
    /// The header is missing, or no URL.
    #[error("it redirects to `{0}`, which is no URL")]
    NoUrl(String),
}

/// Returns the URL that `location` means, after the URLs `asked` (the last one gave the answer).
///
/// # Errors
/// [`RedirectError`] where mkimg does not go there. The hash would catch other bytes, but neither a request that everyone
/// on the way can read, nor a server that has this machine read its own files. Without `plain_http`, plain http only leads to
/// this machine.
pub(crate) fn next(asked: &[Url], location: &str, plain_http: bool) -> Result<Url, RedirectError> {
    // A server chose this text, and a terminal may come to show it.
    let plain = location.chars().filter(|c| !c.is_control());
    let no_url = || RedirectError::NoUrl(plain.clone().take(200).collect());
    if location.is_empty() {
        return Err(no_url());
    }
    if location.len() > MAX_ADDRESS {
        return Err(RedirectError::Long(location.len()));
    }
    let last = asked.last().ok_or_else(no_url)?;
    let mut url = last.join(location).map_err(|_| no_url())?;
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") {
        return Err(RedirectError::Scheme(target(&url)));
    }
    if last.scheme() == "https" && url.scheme() == "http" {
        return Err(RedirectError::Downgrade(target(&url)));
    }
    if !plain_http && url.scheme() == "http" && !is_loopback(&url) {
        return Err(RedirectError::Plain(target(&url)));
    }
    if asked.contains(&url) {
        return Err(RedirectError::Loop(target(&url)));
    }
    if asked.len() > REDIRECTS {
        return Err(RedirectError::TooMany);
    }
    Ok(url)
}

/// Says whether a URL names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns the URL of a redirect for people: without its query too, which may be the key to a file.
pub(crate) fn target(url: &Url) -> String {
    let mut url = url.clone();
    if url.query().is_some() {
        url.set_query(Some(".."));
    }
    shown(&url)
}

/// Returns the URL for people: without the name and the password that it may carry (either can be a token), and cut.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        // Both fail only for URLs without a host, which have no name either.
        let _ = url.set_username("***");
        let _ = url.set_password(None);
    }
    cut(url.as_str())
}

/// Returns a text that was meant as an address, for people: without what stands before an `@`, and cut. It need not be a URL.
pub(crate) fn redacted(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    match rest.rsplit_once('@') {
        Some((_, rest)) => cut(&format!("{scheme}***@{rest}")),
        None => cut(text),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(texts: &[&str]) -> Vec<Url> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_redirect_is_followed_only_where_it_may_lead() {
        use RedirectError::{Downgrade, Long, Loop, NoUrl, Scheme};
        let long = format!("/{}", "a".repeat(60_000));
        let (http, https) = ("http://a.test/x", "https://a.test/x");
        let ok = |text: &str| Ok(text.parse::<Url>().unwrap());
        let cases = [
            (http, "/y?z#f", ok("http://a.test/y?z")),
            (http, "https://b.test/", ok("https://b.test/")),
            (http, "//b.test/y", ok("http://b.test/y")),
            (https, "y", ok("https://a.test/y")),
            (https, "//b.test/y", ok("https://b.test/y")),
            (
                https,
                "http://a.test/x",
                Err(Downgrade("http://a.test/x".into())),
            ),
            (
                https,
                "HTTP://u:p@b.test/",
                Err(Downgrade("http://***@b.test/".into())),
            ),
            (
                http,
                "file:///etc/passwd",
                Err(Scheme("file:///etc/passwd".into())),
            ),
            (http, "ftp://b.test/", Err(Scheme("ftp://b.test/".into()))),
            (http, "http://[", Err(NoUrl("http://[".into()))),
            (http, "http://\u{9b}31m[", Err(NoUrl("http://31m[".into()))),
            (http, "", Err(NoUrl("".into()))),
            (http, &long, Err(Long(60_001))),
            (http, "/x", Err(Loop(http.into()))),
            (http, "#again", Err(Loop(http.into()))),
        ];
        for (from, location, expected) in cases {
            let asked = urls(&["http://first.test/", from]);
            assert_eq!(
                next(&asked, location, true),
                expected,
                "{from} -> {location}"
            );
        }
    }

    #[test]
    fn nobody_is_shown_a_password_or_a_whole_screen_of_an_address() {
        let url = |text: &str| shown(&text.parse().unwrap());
        assert_eq!(url("http://ann:s3cr3t@a.test/x"), "http://***@a.test/x");
        assert_eq!(url("http://t0k3n@a.test/x"), "http://***@a.test/x");
        assert_eq!(
            url(&format!("http://a.test/{}", "x".repeat(10_000))).len(),
            402
        );
        for (text, expected) in [
            ("ftp://ann:s3cr3t@a.test/", "ftp://***@a.test/"),
            ("http://ann:s3/cr@3t@[bad", "http://***@[bad"),
            ("ann:s3cr3t@a.test", "***@a.test"),
            ("/srv/mirror", "/srv/mirror"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine_where_it_must() {
        let asked = urls(&["http://127.0.0.1:5000/x"]);
        for near in [
            "http://127.0.0.2/y",
            "http://[::1]:1/",
            "http://localhost/",
            "https://a.test/",
        ] {
            assert!(next(&asked, near, false).is_ok(), "{near}");
        }
        for far in [
            "http://a.test/",
            "http://localhost.a.test/",
            "http://10.0.0.1/",
            "http://[::2]/",
        ] {
            assert_eq!(
                next(&asked, far, false),
                Err(RedirectError::Plain(far.into()))
            );
        }
    }

    #[test]
    fn ten_redirects_are_followed_and_the_eleventh_is_not() {
        let mut asked = urls(&["http://a.test/0"]);
        for number in 1..=REDIRECTS {
            let url = next(&asked, &format!("/{number}"), true).unwrap();
            asked.push(url);
        }
        assert_eq!(next(&asked, "/11", true), Err(RedirectError::TooMany));
    }
}
