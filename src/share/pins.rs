//! A file of pins: one `REGISTRY/REPOSITORY[:TAG]@sha256:HEX` a line, with comments (`#`) and empty lines between them.
//!
//! It says which image a tag named when somebody looked. Each line is a reference itself, so that a script can hand it on.

use super::{DEFAULT_TAG, Reference, ReferenceError};
use crate::digest::Digest;

/// The most bytes that such a file may have.
pub const MAX_PINS: u64 = 1 << 20;

/// The lines of a file of pins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Pin(Reference, Digest),
    /// A comment or nothing, kept as it is.
    Other(String),
}

/// A line that is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinsError {
    /// It is no reference.
    #[error("line {line}: {error}")]
    Reference {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        error: ReferenceError,
    },
    /// It has no digest.
    #[error("line {line}: `{reference}` has no `@sha256:HEX`")]
    NoDigest {
        /// Its number, from 1.
        line: usize,
        /// The reference.
        reference: Reference,
    },
    /// An earlier line pins the same.
    #[error("line {line}: `{reference}` is pinned twice")]
    Twice {
        /// Its number, from 1.
        line: usize,
        /// The reference.
        reference: Reference,
    },
}

impl Pins {
    /// Reads a file of pins.
    ///
    /// # Errors
    /// [`PinsError`] about the first line that is none.
    pub fn parse(text: &str) -> Result<Pins, PinsError> {
        let mut pins = Pins::default();
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            let trimmed = text.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                pins.lines.push(Line::Other(text.trim_end().to_owned()));
                continue;
            }
            let reference: Reference = trimmed
                .parse()
                .map_err(|error| PinsError::Reference { line, error })?;
            let Some(digest) = reference.digest else {
                return Err(PinsError::NoDigest { line, reference });
            };
            if pins.digest(&reference).is_some() {
                return Err(PinsError::Twice { line, reference });
            }
            pins.lines.push(Line::Pin(reference, digest));
        }
        Ok(pins)
    }

    /// Returns the digest that a reference is pinned to; the one that it has itself does not count.
    pub fn digest(&self, reference: &Reference) -> Option<Digest> {
        let wanted = unpinned(reference);
        self.lines.iter().find_map(|line| match line {
            Line::Pin(pinned, digest) if unpinned(pinned) == wanted => Some(*digest),
            _ => None,
        })
    }

    /// Pins a reference, in its line or in a new one.
    pub fn set(&mut self, reference: &Reference, digest: Digest) {
        let wanted = unpinned(reference);
        let line = Line::Pin(named(reference).pinned(digest), digest);
        let own = |line: &&mut Line| match line {
            Line::Pin(pinned, _) => unpinned(pinned) == wanted,
            Line::Other(_) => false,
        };
        match self.lines.iter_mut().find(own) {
            Some(found) => *found = line,
            None => self.lines.push(line),
        }
    }

    /// Returns the text of the file.
    pub fn text(&self) -> String {
        let text = |line: &Line| match line {
            Line::Pin(reference, _) => format!("{reference}\n"),
            Line::Other(text) => format!("{text}\n"),
        };
        self.lines.iter().map(text).collect()
    }
}

/// Returns the reference with the tag that it means.
fn named(reference: &Reference) -> Reference {
    let mut reference = reference.clone();
    if reference.tag.is_none() && reference.digest.is_none() {
        reference.tag = Some(DEFAULT_TAG.to_owned());
    }
    reference
}

fn unpinned(reference: &Reference) -> Reference {
    Reference {
        digest: None,
        ..named(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_written_in_its_line_and_the_rest_stays() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text = format!("# ours\n\nr.example/x:1@sha256:{a}\n  # last  \n");
        let mut pins = Pins::parse(&text).unwrap();
        let (x, y): (Reference, Reference) = (
            "r.example/x:1".parse().unwrap(),
            "r.example/y".parse().unwrap(),
        );
        assert_eq!((pins.digest(&x), pins.digest(&y)), (Some(a), None));
        // What a reference says itself is not what the file says.
        assert_eq!(pins.digest(&x.pinned(b)), Some(a));
        pins.set(&x, b);
        pins.set(&y, a);
        let written = format!(
            "# ours\n\nr.example/x:1@sha256:{b}\n  # last\nr.example/y:latest@sha256:{a}\n"
        );
        assert_eq!(pins.text(), written);
        let again = Pins::parse(&written).unwrap();
        assert_eq!(again.digest(&y), Some(a));
        assert_eq!(
            again.digest(&"r.example/y:latest".parse().unwrap()),
            Some(a)
        );
    }

    #[test]
    fn what_is_no_pin_is_refused_with_its_line() {
        let digest = Digest::of(b"");
        let pin = format!("r.example/x:1@sha256:{digest}\n");
        for (text, words) in [
            (
                "\nminimal\n".to_owned(),
                "line 2: `minimal` is no reference",
            ),
            (
                "r.example/x:1".to_owned(),
                "line 1: `r.example/x:1` has no `@sha256:HEX`",
            ),
            (format!("{pin}#\n{pin}"), "line 3: `r.example/x:1@sha256:"),
        ] {
            let error = Pins::parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
