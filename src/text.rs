//! Text of strangers as it may be shown: names out of archives and recipes, answers of servers, annotations, a guest's console.
//!
//! What steers a terminal, turns the order of others around or shows nothing is written as an escape:
//!
//! ```text
//! \n \r \t \x1b \x7f    controls of ASCII        \u{9b} \u{202e} \u{200b}    other characters
//! \xff                  a byte that is not UTF-8    \\                          a backslash, in names alone
//! ```
//!
//! [`shown`] is for one piece, such as a name: two that differ look different, and it stays on its line. [`safe`] is for a whole
//! text, whose line feeds and tabs are its own; all that is printed passes it once more, so that no piece can be forgotten.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns a piece of foreign text on one line. Different bytes give different texts.
pub fn shown<T: AsRef<[u8]> + ?Sized>(bytes: &T) -> String {
    let mut text = String::new();
    for chunk in bytes.as_ref().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                // A blank of another width looks as a blank does.
                ' ' => text.push(' '),
                other if other.is_whitespace() => escape(&mut text, other),
                other => push(&mut text, other),
            }
        }
        for byte in chunk.invalid() {
            // Writing into a string cannot fail, here and below.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Returns a text of several lines, and perhaps of several authors, with nothing in it that could steer a terminal.
pub fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_unsafe(c) && !matches!(c, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => safe.push(character),
            // The end of a line as some systems write it.
            '\r' if characters.peek() == Some(&'\n') => {}
            other => push(&mut safe, other),
        }
    }
    Cow::Owned(safe)
}

/// Returns JSON that no terminal is steered by: what JSON lets stand in its texts, and [`safe`] does not, as `\uNNNN`.
pub fn json(text: &str) -> Cow<'_, str> {
    // Below the blank there is only the layout: JSON has everything else there escaped.
    let odd = |c: char| c > ' ' && is_unsafe(c);
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if !odd(character) {
            safe.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    Cow::Owned(safe)
}

/// Says whether a character could do something else than be seen: a control, a mark of direction, what has no width, a line
/// break that is none to most programs, what is no character at all.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fdd0}'..='\u{fdef}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(character) & 0xfffe == 0xfffe
}

fn push(text: &mut String, character: char) {
    match is_unsafe(character) {
        true => escape(text, character),
        false => text.push(character),
    }
}

fn escape(text: &mut String, character: char) {
    let _ = match character {
        '\n' => text.write_str("\\n"),
        '\r' => text.write_str("\\r"),
        '\t' => text.write_str("\\t"),
        other if other.is_ascii() => write!(text, "\\x{:02x}", u32::from(other)),
        other => write!(text, "\\u{{{:x}}}", u32::from(other)),
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// One of each kind.
    const NASTY: [&str; 14] = [
        "\x1b[31m",
        "\r",
        "\x07",
        "\x7f",
        "\u{9b}",
        "\u{61c}",
        "\u{202e}",
        "\u{2066}",
        "\u{2028}",
        "\u{2029}",
        "\u{200b}",
        "\u{feff}",
        "\u{ffff}",
        "\u{e0041}",
    ];

    #[test]
    fn nothing_of_a_stranger_steers_a_terminal() {
        for text in NASTY {
            let said = format!("a{text}b");
            for safe in [shown(&said), safe(&said).into_owned()] {
                assert!(!safe.contains(is_unsafe), "{safe:?}");
                assert!(safe.starts_with("a\\") && safe.ends_with('b'), "{safe:?}");
            }
        }
        assert_eq!(shown("a\x1b\u{9b}\u{202e}\n"), "a\\x1b\\u{9b}\\u{202e}\\n");
        assert_eq!(shown(b"caf\xc3\xa9 \xff\\"), "caf\u{e9} \\xff\\\\");
        assert_eq!(safe("a\r\n\tb \\ \x0c"), "a\n\tb \\ \\x0c");
        assert!(matches!(safe("one\ttwo\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn two_names_never_look_the_same() {
        let names: [&[u8]; 16] = [
            b"a\x1bb",
            b"a\\x1bb",
            b"a\\\\x1bb",
            b"a\xffb",
            b"a\\xffb",
            b"a\nb",
            b"a\\nb",
            b"a\tb",
            b"a b",
            "a\u{9b}b".as_bytes(),
            b"a\x9bb",
            "a\\u{9b}b".as_bytes(),
            "a\u{a0}b".as_bytes(),
            "a\u{2003}b".as_bytes(),
            "a\u{200b}b".as_bytes(),
            b"ab",
        ];
        let mut seen: BTreeMap<String, &[u8]> = BTreeMap::new();
        for name in names {
            let text = shown(name);
            assert!(!text.contains(char::is_control), "{text:?}");
            assert_eq!(seen.insert(text.clone(), name), None, "{text}");
        }
        // Every byte by itself, and behind a backslash.
        let bytes: BTreeMap<String, [u8; 2]> = (0..=255u8)
            .flat_map(|byte| [[byte, b'x'], [b'\\', byte]])
            .map(|name| (shown(&name), name))
            .collect();
        assert_eq!(bytes.len(), 511, "`\\x` alone is there twice");
    }

    #[test]
    fn json_stays_the_same_json() {
        for text in NASTY
            .into_iter()
            .chain(["\u{1f600}", "\\u001b", "a\tb\nc\"d"])
        {
            let value = serde_json::json!({ text: [text, 1, null] });
            let plain = format!("{value:#}\n");
            let safe = json(&plain);
            assert!(!safe.contains(|c| is_unsafe(c) && c != '\n'), "{safe}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
                value
            );
        }
    }
}
