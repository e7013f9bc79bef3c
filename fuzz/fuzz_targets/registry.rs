//! Headers and errors of registries.

use reqwest::Url;

use super::{challenge, exchange};

/// Reads a text as each of them.
pub(crate) fn run(text: &str) {
    challenge::parse(text);
    let url = Url::parse("https://registry.example/v2/a/b/referrers/c").unwrap();
    if let Some(next) = exchange::next_of(&url, text.lines()) {
        assert_eq!(next.origin(), url.origin());
    }
    exchange::said_in(text.as_bytes());
}
