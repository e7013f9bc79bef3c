//! Texts of others, in messages: what a server says, what a manifest calls itself.

/// The most characters that are shown.
const MAX_SHOWN: usize = 300;

/// Returns a text of somebody else as it may be shown: escaped and bounded.
pub(super) fn fit(text: &str) -> String {
    let escaped: String = text
        .chars()
        .take(MAX_SHOWN)
        .flat_map(|c| match c {
            '"' | '\'' | '\\' => vec![c],
            c if c.is_control() || is_invisible(c) => c.escape_unicode().collect(),
            c => vec![c],
        })
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        return escaped + " ..";
    }
    escaped
}

/// Says whether a character turns the order of others around, or shows nothing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn what_others_say_is_bounded_and_moves_no_cursor() {
        assert_eq!(fit("it's \"here\""), "it's \"here\"");
        assert_eq!(fit("a\u{1b}[2J\n\u{202e}b"), "a\\u{1b}[2J\\u{a}\\u{202e}b");
        assert_eq!(fit(&"x".repeat(5000)).len(), 303);
    }
}
