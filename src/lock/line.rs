//! One line of a lock: a node of KDL 2 with strings and whole numbers, and no children.

use std::collections::BTreeMap;
use std::fmt;

use crate::digest::Digest;
use crate::text::is_unsafe;

/// A line that was read.
pub(super) struct Line<'t> {
    pub(super) word: &'t str,
    arguments: Vec<String>,
    properties: BTreeMap<&'t str, String>,
}

impl<'t> Line<'t> {
    /// Reads a line; returns nothing where it is none.
    pub(super) fn read(text: &'t str) -> Option<Line<'t>> {
        let (word, mut rest) = text.split_once(' ')?;
        let mut line = Line {
            word,
            arguments: Vec::new(),
            properties: BTreeMap::new(),
        };
        loop {
            let name = rest
                .find(['=', '"', ' '])
                .filter(|end| rest[*end..].starts_with('='));
            let name = name.map(|end| &rest[..end]);
            let (value, more) = value(&rest[name.map_or(0, |name| name.len() + 1)..])?;
            let repeated = match name {
                Some(name) => line.properties.insert(name, value).is_some(),
                None => {
                    line.arguments.push(value);
                    false
                }
            };
            if repeated {
                return None;
            }
            if more.is_empty() {
                return Some(line);
            }
            rest = more.strip_prefix(' ')?;
        }
    }

    /// Returns the arguments, which must be so many.
    pub(super) fn arguments<const COUNT: usize>(&self) -> Option<[&str; COUNT]> {
        let all: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        all.try_into().ok()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn digest(&self, name: &str) -> Option<Digest> {
        self.text(name)?.parse().ok()
    }

    /// Returns a digest and a size in bytes.
    pub(super) fn sized(&self, name: &str) -> Option<(Digest, u64)> {
        Some((self.digest(name)?, self.number("size")?))
    }
}

/// Returns the value at the beginning, and what is behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        number.parse::<u64>().ok()?;
        return Some((number.to_owned(), rest));
    };
    let mut value = String::new();
    let mut rest = quoted.chars();
    loop {
        value.push(match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let (code, more) = rest.as_str().strip_prefix('{')?.split_once('}')?;
                    rest = more.chars();
                    char::from_u32(u32::from_str_radix(code, 16).ok()?)?
                }
                same @ ('"' | '\\') => same,
                _ => return None,
            },
            other => other,
        });
    }
}

/// A string of KDL 2, on one line, with nothing in it that cannot be seen.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                odd if is_unsafe(odd) => write!(f, "\\u{{{:x}}}", u32::from(odd))?,
                plain => write!(f, "{plain}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_reads_as_it_was_written_and_the_kdl_parser_agrees() {
        for text in [
            "",
            "a b=\"c\" {",
            "\\\"\n\r\t",
            "\u{1b}[2J\u{202e}\u{feff}é",
            "file \"/a\\n\"",
        ] {
            let written = format!("node {0} 7 key={0} size=3", Quoted(text));
            let line = Line::read(&written).unwrap();
            assert_eq!(line.word, "node");
            assert_eq!(line.arguments(), Some([text, "7"]));
            assert_eq!(line.text("key"), Some(text));
            assert_eq!(line.number("size"), Some(3));
            let kdl = kdl::KdlDocument::parse_v2(&written).unwrap();
            assert_eq!(kdl.nodes()[0].get(0).unwrap().as_string(), Some(text));
        }
    }

    #[test]
    fn what_is_no_line_is_not_read() {
        for text in [
            "",
            "node",
            "node ",
            "node \"a",
            "node \"\\x\"",
            "node a",
            "node \"a\"b=1",
            "node \"a\"  1",
            "node a=1 a=1",
            "node a=",
            "node -1",
            "node \"a\" ",
            "node \"\\u{110000}\"",
        ] {
            assert!(Line::read(text).is_none(), "{text}");
        }
    }
}
