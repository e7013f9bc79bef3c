//! Tokens to the structure of nodes: is there a name, a value after each `=`, a brace for each brace? And the text that kdl may
//! see: without block comments and without what `/-` takes out.

use std::ops::Range;

use super::MAX_DEPTH;
use super::diagnostic::Diagnostic;
use super::scan::{self, Kind, Scan, Token};
use super::word;

/// A block that is open.
struct Block {
    open: Range<usize>,
    /// The indentation of the line that opens it.
    indent: usize,
    /// Where the `/-` of its node stands.
    node_drop: Option<usize>,
    /// Where its own `/-` stands.
    drop: Option<usize>,
    /// Its node has a block that counts: this one, or one before it.
    counts: bool,
}

/// What may come next.
enum State {
    /// A node's name.
    Name,
    /// A node's arguments, properties and block.
    Values,
    /// The end of the node, after its block.
    End,
}

struct Shape<'t> {
    text: &'t str,
    tokens: &'t [Token],
    /// Where the lines start.
    lines: Vec<usize>,
    next: usize,
    state: State,
    blocks: Vec<Block>,
    /// The node at hand has a block that counts.
    has_block: bool,
    /// The node at hand has an error about a missing space.
    crowded: bool,
    /// The `/-` that waits for what it takes out.
    drop: Option<usize>,
    /// The `/-` of the node at hand.
    node_drop: Option<usize>,
    /// The parts that `/-` took out.
    dropped: Vec<Range<usize>>,
    errors: Vec<Diagnostic>,
    /// The first block with a node that is not indented more than the block is, and that node.
    suspect: Option<(Range<usize>, Range<usize>)>,
    cut_short: bool,
}

/// A text without mistakes of spelling and structure.
pub(super) struct Checked {
    pub(super) tokens: Vec<Token>,
    /// The block comments and what `/-` takes out.
    unseen: Vec<Range<usize>>,
}

impl Checked {
    /// Returns the text that kdl may parse: of the same length, so that every offset stays.
    pub(super) fn seen(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for span in &self.unseen {
            if let Some(part) = bytes.get_mut(span.clone()) {
                part.fill(b' ');
            }
        }
        // Only whole characters were replaced.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Checks a text.
///
/// # Errors
/// All mistakes of spelling and structure.
pub(super) fn check(text: &str) -> Result<Checked, Vec<Diagnostic>> {
    let Scan {
        tokens,
        comments,
        errors,
        unclosed,
        cut_short,
    } = scan::scan(text);
    let mut shape = Shape {
        text,
        tokens: &tokens,
        lines: [0]
            .into_iter()
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect(),
        next: 0,
        state: State::Name,
        blocks: Vec::new(),
        has_block: false,
        crowded: false,
        drop: None,
        node_drop: None,
        dropped: Vec::new(),
        errors,
        suspect: None,
        cut_short,
    };
    while !shape.cut_short && shape.step() {}
    if !shape.cut_short {
        shape.finish();
    }
    if !shape.errors.is_empty() {
        // A quote too few or too many turns the texts of its line inside out: nothing else that is said about it helps.
        let torn: Vec<usize> = unclosed.iter().map(|at| shape.line(*at)).collect();
        let mut errors = std::mem::take(&mut shape.errors);
        errors.retain(|error| {
            let at = error.order().1;
            unclosed.binary_search(&at).is_ok() || torn.binary_search(&shape.line(at)).is_err()
        });
        return Err(errors);
    }
    let mut unseen = comments;
    unseen.append(&mut shape.dropped);
    Ok(Checked { tokens, unseen })
}

impl<'t> Shape<'t> {
    /// Takes in one token or property; `false` is the end.
    fn step(&mut self) -> bool {
        let Some(token) = self.tokens.get(self.next) else {
            return false;
        };
        self.next += 1;
        match token.kind {
            Kind::End if self.is_stray(token) => {
                let message = "a `;` that ends nothing";
                let error = Diagnostic::error(message, token.span.clone(), "no node before it");
                self.errors.push(error.help("remove it"));
            }
            Kind::End if self.drop.is_some() => {}
            Kind::End => self.end_node(),
            Kind::Drop if self.drop.is_some() => {
                let message = "a `/-` after a `/-`";
                let error = Diagnostic::error(message, token.span.clone(), "this one is too many");
                self.errors
                    .push(error.help("write one `/-` before what shall not count"));
            }
            Kind::Drop => self.drop = Some(token.span.start),
            Kind::Open => self.open(token),
            Kind::Close => self.close(token),
            Kind::Equals => self.equals(token),
            Kind::Word | Kind::Text => self.value(token),
        }
        true
    }

    /// Says whether this is a `;` without a node before it.
    fn is_stray(&self, token: &Token) -> bool {
        let semicolon = self.text.get(token.span.clone()) == Some(";");
        semicolon && (matches!(self.state, State::Name) || self.drop.is_some())
    }

    fn end_node(&mut self) {
        self.state = State::Name;
        self.crowded = false;
        self.has_block = false;
        if let Some(start) = self.node_drop.take() {
            self.dropped.push(start..self.last_end());
        }
    }

    /// Returns the end of the last token before the one at hand, or of this one where it is a `;`: that goes with its node.
    fn last_end(&self) -> usize {
        let at = |back| {
            self.next
                .checked_sub(back)
                .and_then(|at| self.tokens.get(at))
        };
        let semicolon = at(1).filter(|token| self.text.get(token.span.clone()) == Some(";"));
        semicolon.or(at(2)).map_or(0, |token| token.span.end)
    }

    fn open(&mut self, token: &Token) {
        match self.state {
            State::Name => {
                let message = "a block without a node";
                let label = "no name stands before this brace";
                let error = Diagnostic::error(message, token.span.clone(), label);
                self.errors.push(
                    error.help("write the name before the brace, on the same line: `initramfs {`"),
                );
            }
            State::End if self.drop.is_none() => {
                let message = "a second block of one node";
                let label = "the node has a block already";
                let error = Diagnostic::error(message, token.span.clone(), label);
                self.errors
                    .push(error.help("put everything in one pair of braces"));
            }
            _ => {}
        }
        if self.blocks.len() == MAX_DEPTH {
            let label = "this block is inside 32 others";
            self.errors
                .push(scan::too_deep("braces", token.span.clone(), label));
            self.cut_short = true;
            return;
        }
        self.blocks.push(Block {
            open: token.span.clone(),
            indent: self.indent(token.span.start),
            node_drop: self.node_drop.take(),
            counts: self.has_block || self.drop.is_none(),
            drop: self.drop.take(),
        });
        self.state = State::Name;
        self.has_block = false;
    }

    fn close(&mut self, token: &Token) {
        self.dangling_drop();
        self.end_node();
        let Some(block) = self.blocks.pop() else {
            let message = "a `}` that closes nothing";
            let error = Diagnostic::error(message, token.span.clone(), "no block is open here");
            let help = "remove it, or look for a block above that was closed too early";
            self.errors.push(error.help(help));
            return;
        };
        if let Some(start) = block.drop {
            self.dropped.push(start..token.span.end);
        }
        self.node_drop = block.node_drop;
        self.has_block = block.counts;
        self.state = if block.counts {
            State::End
        } else {
            State::Values
        };
    }

    fn equals(&mut self, token: &Token) {
        let before = self.next.checked_sub(2).and_then(|at| self.tokens.get(at));
        if let Some(name) = before.filter(|name| matches!(name.kind, Kind::Word | Kind::Text)) {
            let word = self.text.get(name.span.clone()).unwrap_or_default();
            let message = format!("`{word}=` where a node should begin");
            let span = name.span.start..token.span.end;
            let error = Diagnostic::error(message, span, "a property follows the name of its node");
            self.errors.push(
                error.help("if it belongs to the node above, end the line before this with `\\`"),
            );
            return;
        }
        let message = "a `=` without a name before it";
        let error = Diagnostic::error(message, token.span.clone(), "whose value is this?");
        self.errors
            .push(error.help("a property is written `name=value`"));
    }

    /// Takes in a name, an argument or a property.
    fn value(&mut self, token: &Token) {
        let drop = self.drop.take();
        self.adjacent(token);
        match self.state {
            State::Name => {
                self.name(token, "a node");
                self.node_drop = drop;
                self.state = State::Values;
                self.compare_indent(token);
            }
            State::Values => {
                let property = self
                    .tokens
                    .get(self.next)
                    .filter(|t| t.kind == Kind::Equals);
                let end = match property {
                    Some(equals) => self.property(token, equals),
                    None => token.span.end,
                };
                if let Some(start) = drop {
                    self.dropped.push(start..end);
                }
            }
            State::End => {
                let message = "something follows a block on its line";
                let label = "a node ends with its block";
                let error = Diagnostic::error(message, token.span.clone(), label);
                self.errors
                    .push(error.help("break the line after the `}`, or write `;`"));
                self.end_node();
                self.state = State::Values;
            }
        }
    }

    /// Checks that a word can be a name.
    fn name(&mut self, token: &Token, what: &str) {
        let word = self.text.get(token.span.clone()).unwrap_or_default();
        if token.kind == Kind::Word && !word::is_name(word) {
            let message = format!("`{word}` cannot be the name of {what}");
            let label = "a number or a keyword";
            let error = Diagnostic::error(message, token.span.clone(), label);
            self.errors
                .push(error.help("a name starts with a letter; a value follows a name"));
        }
    }

    /// Takes in `=` and the value after it; returns the end of the property.
    fn property(&mut self, name: &Token, equals: &Token) -> usize {
        self.next += 1;
        self.name(name, "a property");
        let value = self.tokens.get(self.next);
        match value.filter(|token| matches!(token.kind, Kind::Word | Kind::Text)) {
            Some(value) => {
                self.next += 1;
                value.span.end
            }
            None => {
                let span = name.span.start..equals.span.end;
                let word = self.text.get(name.span.clone()).unwrap_or_default();
                let message = format!("`{word}=` has no value");
                let error = Diagnostic::error(message, span, "nothing follows the `=`");
                let help = format!("write `{word}=\"..\"` for a text, `{word}=1` for a number");
                self.errors.push(error.help(help));
                equals.span.end
            }
        }
    }

    /// Checks that there is a space between this value and what stands before it.
    fn adjacent(&mut self, token: &Token) {
        let before = self.next.checked_sub(2).and_then(|at| self.tokens.get(at));
        let Some(before) = before.filter(|before| before.span.end == token.span.start) else {
            return;
        };
        // `r"..."` and `(type)"..."` have got their own error.
        let told = self.text.get(before.span.clone());
        let told = told.is_some_and(|text| text == "r" || word::is_annotation(text));
        if !matches!(before.kind, Kind::Word | Kind::Text) || told || self.crowded {
            return;
        }
        self.crowded = true;
        let word = self.text.get(token.span.clone()).unwrap_or_default();
        let help = if word.starts_with(',') {
            "values are separated by spaces, without commas"
        } else if matches!((before.kind, token.kind), (Kind::Word, Kind::Text)) {
            "put a space between them, or the whole in one pair of quotes"
        } else {
            "put a space between them; a quote inside a text is written `\\\"`"
        };
        let message = "no space between two values";
        let error = Diagnostic::error(message, token.span.clone(), "this starts a new value");
        let text = self.text.get(before.span.clone()).unwrap_or_default();
        let last = text.chars().next_back().map_or(0, char::len_utf8);
        let end = before.span.end - last..before.span.end;
        self.errors
            .push(error.and(end, "the value before ends here").help(help));
    }

    fn dangling_drop(&mut self) {
        if let Some(start) = self.drop.take() {
            let error = Diagnostic::error(
                "a `/-` with nothing after it",
                start..start + 2,
                "takes out the node or value that follows it",
            );
            self.errors
                .push(error.help("remove it; a comment starts with `//`"));
        }
    }

    /// Returns the number of the line of an offset, from 0.
    fn line(&self, at: usize) -> usize {
        self.lines
            .partition_point(|start| *start <= at)
            .saturating_sub(1)
    }

    /// Returns the width of the white space that starts the line of an offset.
    fn indent(&self, at: usize) -> usize {
        let start = self.lines.get(self.line(at)).copied().unwrap_or_default();
        let line = self.text.get(start..at).unwrap_or_default();
        line.find(|c| !scan::is_space(c)).unwrap_or(line.len())
    }

    /// Remembers where a `}` is perhaps missing.
    fn compare_indent(&mut self, token: &Token) {
        let Some(block) = self.blocks.last().filter(|_| self.suspect.is_none()) else {
            return;
        };
        let (start, open) = (token.span.start, block.open.clone());
        if self.line(start) > self.line(open.start) && self.indent(start) <= block.indent {
            self.suspect = Some((open, token.span.clone()));
        }
    }

    fn finish(&mut self) {
        self.next += 1;
        self.dangling_drop();
        self.end_node();
        let Some(block) = self.blocks.first() else {
            return;
        };
        let message = match self.blocks.len() {
            1 => "a block is not closed".to_owned(),
            count => format!("{count} blocks are not closed"),
        };
        let error = match self.suspect.take() {
            Some((open, node)) => Diagnostic::error(message, open, "this brace is not closed")
                .and(node, "a `}` is perhaps missing before this"),
            None => Diagnostic::error(message, block.open.clone(), "this brace is not closed"),
        };
        self.errors
            .push(error.help("write `}` where the block ends"));
    }
}
