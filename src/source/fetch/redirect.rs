//! Where an answer with a `Location` may lead: the one place that decides it, without a network.

use reqwest::Url;

/// How many redirects one request may take.
pub const REDIRECTS: usize = 10;

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
    /// To something that is no http server.
    #[error("it redirects to `{0}`, which is neither http nor https")]
    Scheme(String),
    /// The header is missing, or no URL.
    #[error("it redirects to `{0}`, which is no URL")]
    NoUrl(String),
}

/// Returns the URL that `location` means, after the URLs `asked` (the last one gave the answer).
///
/// # Errors
/// [`RedirectError`] where mkimg does not go there. The hash would catch other bytes, but neither a request that everyone
/// on the way can read, nor a server that has this machine read its own files.
pub(super) fn next(asked: &[Url], location: &str) -> Result<Url, RedirectError> {
    // A server chose this text, and a terminal may come to show it.
    let plain = location.chars().filter(|c| !c.is_control());
    let no_url = || RedirectError::NoUrl(plain.clone().take(200).collect());
    if location.is_empty() {
        return Err(no_url());
    }
    let last = asked.last().ok_or_else(no_url)?;
    let mut url = last.join(location).map_err(|_| no_url())?;
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") {
        return Err(RedirectError::Scheme(shown(&url)));
    }
    if last.scheme() == "https" && url.scheme() == "http" {
        return Err(RedirectError::Downgrade(shown(&url)));
    }
    if asked.contains(&url) {
        return Err(RedirectError::Loop(shown(&url)));
    }
    if asked.len() > REDIRECTS {
        return Err(RedirectError::TooMany);
    }
    Ok(url)
}

/// Returns the URL for people: without the password that it may carry.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // Fails only for URLs without a host, which have no password either.
        let _ = url.set_password(Some("***"));
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(texts: &[&str]) -> Vec<Url> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_redirect_is_followed_only_where_it_may_lead() {
        use RedirectError::{Downgrade, Loop, NoUrl, Scheme};
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
                Err(Downgrade("http://u:***@b.test/".into())),
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
            (http, "/x", Err(Loop(http.into()))),
            (http, "#again", Err(Loop(http.into()))),
        ];
        for (from, location, expected) in cases {
            let asked = urls(&["http://first.test/", from]);
            assert_eq!(next(&asked, location), expected, "{from} -> {location}");
        }
    }

    #[test]
    fn ten_redirects_are_followed_and_the_eleventh_is_not() {
        let mut asked = urls(&["http://a.test/0"]);
        for number in 1..=REDIRECTS {
            let url = next(&asked, &format!("/{number}")).unwrap();
            asked.push(url);
        }
        assert_eq!(next(&asked, "/11"), Err(RedirectError::TooMany));
    }
}
