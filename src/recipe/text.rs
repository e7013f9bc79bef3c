//! Bytes of a file to the text of a recipe, or the reason why they are none.

use std::sync::Arc;

use super::source_map::SourceText;
use super::{Invalid, MAX_BYTES};

/// The byte order mark of UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Returns the text, without a byte order mark.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<SourceText, Invalid> {
    let refuse = |message: String, help: &str| {
        Err(Invalid::Unreadable {
            message: format!("`{name}` {message}"),
            help: help.to_owned(),
        })
    };
    if bytes.len() > MAX_BYTES {
        let message = format!(
            "has {} bytes, a recipe has at most {MAX_BYTES}",
            bytes.len()
        );
        return refuse(
            message,
            "large files belong beside the recipe: `file \"/PATH\" local=\"NAME\"`",
        );
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return refuse("is UTF-16, a recipe is UTF-8".into(), "save it as UTF-8");
    }
    let body = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let skipped = bytes.len() - body.len();
    if let Some(at) = body.iter().position(|byte| *byte == 0) {
        let place = place(body, at, skipped);
        return refuse(
            format!("is a binary file: NUL byte {place}"),
            "give the path of a recipe, a text in KDL 2 such as `images/minimal.kdl`",
        );
    }
    match std::str::from_utf8(body) {
        Ok(text) => match unseen(text) {
            Some((at, character, help)) => {
                let place = place(body, at, skipped);
                let code = u32::from(character);
                refuse(format!("has the character U+{code:04X} {place}"), help)
            }
            None => Ok(SourceText {
                name: name.to_owned(),
                text: Arc::from(text),
            }),
        },
        Err(error) => {
            let at = error.valid_up_to();
            let byte = body.get(at).copied().unwrap_or_default();
            let place = place(body, at, skipped);
            refuse(
                format!("is not UTF-8: byte 0x{byte:02x} {place}"),
                "save it as UTF-8",
            )
        }
    }
}

/// Returns `at offset N (line L)`, where the offset counts from the start of the file.
fn place(body: &[u8], at: usize, skipped: usize) -> String {
    let before = body.get(..at).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    format!("at offset {} (line {line})", at + skipped)
}

/// Returns the first character that may stand nowhere in a recipe, and what to do: what KDL 2 forbids (specification, section
/// 3.19), what could steer the terminal that shows the text, and line breaks other than LF and CR LF, which KDL would turn
/// into LF inside a text and which no editor counts as lines.
fn unseen(text: &str) -> Option<(usize, char, &'static str)> {
    let bytes = text.as_bytes();
    text.char_indices().find_map(|(at, character)| {
        let help = match character {
            '\t' | '\n' => return None,
            '\r' if bytes.get(at + 1) == Some(&b'\n') => return None,
            '\r' => "save it with LF or CR LF line ends; in a text, write `\\r`",
            '\u{feff}' => "a byte order mark belongs at the very start: remove this one",
            '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                "it is invisible and turns the direction of the text around: remove it"
            }
            '\u{2028}'..='\u{2029}' => "it is an invisible line break: remove it",
            other if other.is_control() => {
                "it is an invisible control character: remove it, or write its escape in a text, such as `\\u{1b}`"
            }
            _ => return None,
        };
        Some((at, character, help))
    })
}
