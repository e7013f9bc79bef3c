//! Texts of others, in messages: what a server says, what a manifest calls itself.

use crate::text::shown;

/// The most characters that are shown.
const MAX_SHOWN: usize = 300;

/// Returns a text of somebody else as it may be shown: escaped and bounded.
pub(super) fn fit(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => shown(&text[..end]) + " ..",
        None => shown(text),
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn what_others_say_is_bounded_and_moves_no_cursor() {
        assert_eq!(fit("it's \"here\""), "it's \"here\"");
        assert_eq!(fit("a\u{1b}[2J\n\u{202e}b"), "a\\x1b[2J\\n\\u{202e}b");
        assert_eq!(fit(&"x".repeat(5000)).len(), 303);
    }
}
