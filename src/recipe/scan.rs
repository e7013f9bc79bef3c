//! Text to tokens: as much of KDL 2's spelling as is needed to know where strings, comments and braces begin and end, and to
//! name each mistake of spelling at its place. Strings are checked in [`super::string`], bare words in [`super::word`].

use std::ops::Range;

use super::MAX_DEPTH;
use super::diagnostic::Diagnostic;
use super::word;

/// The most tokens of a text. The largest recipe that means something has half as many; each costs kdl a kilobyte or so.
const MAX_TOKENS: usize = 1 << 18;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word: a name, a number or a keyword.
    Word,
    /// A string in quotes.
    Text,
    /// `=`
    Equals,
    /// `{`
    Open,
    /// `}`
    Close,
    /// A line break or `;`.
    End,
    /// `/-`: what follows does not count.
    Drop,
}

/// A token. Whatever stands between two tokens is white space, comments or a continued line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// What a text consists of.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) tokens: Vec<Token>,
    /// The block comments.
    pub(super) comments: Vec<Range<usize>>,
    pub(super) errors: Vec<Diagnostic>,
    /// Where the quotes are that are not closed on their line, in order.
    pub(super) unclosed: Vec<usize>,
    /// The rest of the text was not looked at: what is open at its end says nothing.
    pub(super) cut_short: bool,
}

/// A place in a text, and what was found before it.
pub(super) struct Scanner<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    pub(super) found: Scan,
}

/// Returns the tokens of a text.
pub(super) fn scan(text: &str) -> Scan {
    let mut scanner = Scanner {
        text,
        at: 0,
        found: Scan::default(),
    };
    while !scanner.found.cut_short && scanner.step() {}
    scanner.found
}

impl<'t> Scanner<'t> {
    /// Returns the text from here on.
    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Returns the character here.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn error(&mut self, diagnostic: Diagnostic) {
        self.found.errors.push(diagnostic);
    }

    pub(super) fn token(&mut self, kind: Kind, start: usize) {
        let span = start..self.at;
        if self.found.tokens.len() == MAX_TOKENS {
            let message = format!("more than {MAX_TOKENS} words and signs");
            let error = Diagnostic::error(message, span, "nothing is read from here on");
            self.cut_short(error.help("a recipe needs some hundred: is this file one?"));
            return;
        }
        self.found.tokens.push(Token { kind, span });
    }

    /// Moves over white space of a line.
    pub(super) fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_space).len();
    }

    /// Moves over one line break; says whether there was one.
    pub(super) fn line_break(&mut self) -> bool {
        if self.rest().starts_with("\r\n") {
            self.at += 2;
            return true;
        }
        let Some(character) = self.peek().filter(|c| is_newline(*c)) else {
            return false;
        };
        self.at += character.len_utf8();
        true
    }

    /// Reads one token, comment or run of spaces; `false` is the end of the text.
    fn step(&mut self) -> bool {
        let start = self.at;
        let Some(character) = self.peek() else {
            return false;
        };
        let rest = self.rest();
        if rest.starts_with("/*") {
            self.comment();
        } else if rest.starts_with("//") {
            self.at += rest.find(is_newline).unwrap_or(rest.len());
        } else if rest.starts_with("/-") {
            self.at += 2;
            self.token(Kind::Drop, start);
        } else if is_space(character) {
            self.spaces();
        } else if self.line_break() {
            self.token(Kind::End, start);
        } else if character == '\\' {
            self.continued_line();
        } else if let Some(kind) = punctuation(character) {
            self.at += 1;
            self.token(kind, start);
        } else if character == '"' {
            self.quoted();
            self.token(Kind::Text, start);
        } else if let Some(hashes) = raw_hashes(rest) {
            self.raw(hashes);
            self.token(Kind::Text, start);
        } else {
            word::read(self);
            self.token(Kind::Word, start);
        }
        true
    }

    /// Reads `/* .. */`, which may hold others.
    fn comment(&mut self) {
        let start = self.at;
        let mut depth = 0usize;
        let bytes = self.text.as_bytes();
        while let Some(pair) = bytes.get(self.at..self.at + 2) {
            match pair {
                b"/*" => depth += 1,
                b"*/" => depth -= 1,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth > MAX_DEPTH {
                let span = self.at..self.at + 2;
                self.cut_short(too_deep(
                    "comments",
                    span,
                    "this comment is inside 32 others",
                ));
                return;
            }
            self.at += 2;
            if depth == 0 {
                self.found.comments.push(start..self.at);
                return;
            }
        }
        let message = "the comment is not closed";
        let error = Diagnostic::error(message, start..start + 2, "opened here");
        self.cut_short(error.help(
            "write `*/` where it ends; comments nest: each `/*` inside it needs a `*/` of its own",
        ));
    }

    /// Reads `\` at the end of a line.
    fn continued_line(&mut self) {
        let start = self.at;
        self.at += 1;
        self.spaces();
        let rest = self.rest();
        if rest.starts_with("//") {
            self.at += rest.find(is_newline).unwrap_or(rest.len());
        }
        if self.line_break() || self.rest().is_empty() {
            return;
        }
        if self.rest().starts_with("/*") {
            // kdl takes block comments here too; they end in the same check.
            self.comment();
            self.spaces();
            if self.found.cut_short || self.line_break() {
                return;
            }
        }
        let error = Diagnostic::error(
            "a `\\` that is not the last on its line",
            start..start + 1,
            "it continues the line, and must be followed by a line break",
        );
        self.error(error.help("to write a backslash, put the text in quotes: `\"a\\\\b\"`"));
    }

    /// Reports an error after which nothing more can be said.
    pub(super) fn cut_short(&mut self, error: Diagnostic) {
        self.error(error);
        self.at = self.text.len();
        self.found.cut_short = true;
    }
}

/// Returns the error for braces or comments that are nested deeper than [`MAX_DEPTH`].
pub(super) fn too_deep(what: &str, span: Range<usize>, label: &str) -> Diagnostic {
    let message = format!("{what} nested more than {MAX_DEPTH} deep");
    Diagnostic::error(message, span, label).help("a recipe needs 3 levels")
}

fn punctuation(character: char) -> Option<Kind> {
    match character {
        '=' => Some(Kind::Equals),
        '{' => Some(Kind::Open),
        '}' => Some(Kind::Close),
        ';' => Some(Kind::End),
        _ => None,
    }
}

/// Returns the number of `#` before a `"`, where a raw string starts.
pub(super) fn raw_hashes(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches('#');
    let hashes = rest.len() - body.len();
    (hashes > 0 && body.starts_with('"')).then_some(hashes)
}

/// The line breaks of KDL 2 (specification, section 3.17.1), of which CR LF counts as one.
pub(super) fn is_newline(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}'
    )
}

/// The white space of KDL 2 (specification, section 3.17).
pub(super) fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}
