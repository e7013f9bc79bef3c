//! Tokens to the nodes of the kdl crate, where it is plain what they are. The crate itself reads what is not: it takes some
//! thousand instructions for each byte, which a `realize` that has nothing to do would mostly consist of.

use kdl::{KdlDocument, KdlEntry, KdlEntryFormat, KdlIdentifier, KdlNode, KdlValue};

use super::scan::{Kind, Token, is_newline, is_space};
use super::word;

/// Returns the nodes of a text without mistakes; `None` is for the kdl crate.
pub(super) fn document(text: &str, tokens: &[Token]) -> Option<KdlDocument> {
    let mut builder = Builder {
        text,
        blocks: vec![KdlDocument::new()],
        in_node: false,
    };
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        match token.kind {
            Kind::End => builder.in_node = false,
            Kind::Open => {
                builder.blocks.push(KdlDocument::new());
                builder.in_node = false;
            }
            Kind::Close => builder.close(token)?,
            Kind::Word | Kind::Text if !builder.in_node => builder.node(token)?,
            Kind::Word | Kind::Text => {
                let property = tokens.next_if(|next| next.kind == Kind::Equals).is_some();
                let value = if property { tokens.next()? } else { token };
                builder.entry(property.then_some(token), value)?;
            }
            // What `/-` takes out is the crate's to know.
            Kind::Equals | Kind::Drop => return None,
        }
    }
    let document = builder.blocks.pop()?;
    builder.blocks.is_empty().then_some(document)
}

struct Builder<'t> {
    text: &'t str,
    /// The text's nodes, then those of each block that is open.
    blocks: Vec<KdlDocument>,
    /// The last node of the innermost block is not at its end.
    in_node: bool,
}

impl Builder<'_> {
    fn node(&mut self, token: &Token) -> Option<()> {
        let mut node = KdlNode::new(self.name(token)?);
        node.set_span(token.span.clone());
        self.blocks.last_mut()?.nodes_mut().push(node);
        self.in_node = true;
        Some(())
    }

    fn entry(&mut self, name: Option<&Token>, value: &Token) -> Option<()> {
        let written = self.text.get(value.span.clone())?;
        let mut entry = match (value.kind, written) {
            (Kind::Text, _) => KdlEntry::new(string(written)?),
            (Kind::Word, _) => KdlEntry::new(bare(written)?),
            _ => return None,
        };
        let start = name.map_or(value.span.start, |name| name.span.start);
        if let Some(name) = name {
            entry.set_name(Some(self.name(name)?));
        }
        entry.set_span(start..value.span.end);
        entry.set_format(KdlEntryFormat {
            value_repr: written.to_owned(),
            ..KdlEntryFormat::default()
        });
        self.at_hand(value.span.end)?.entries_mut().push(entry);
        Some(())
    }

    fn close(&mut self, token: &Token) -> Option<()> {
        let block = self.blocks.pop()?;
        self.at_hand(token.span.end)?.set_children(block);
        self.in_node = true;
        Some(())
    }

    /// Returns the last node of the innermost block, which goes on to `end`.
    fn at_hand(&mut self, end: usize) -> Option<&mut KdlNode> {
        let node = self.blocks.last_mut()?.nodes_mut().last_mut()?;
        node.set_span(node.span().offset()..end);
        Some(node)
    }

    fn name(&self, token: &Token) -> Option<KdlIdentifier> {
        let written = self.text.get(token.span.clone())?;
        let name = match token.kind {
            Kind::Text => string(written)?,
            _ => written.to_owned(),
        };
        let mut name = KdlIdentifier::from(name);
        name.set_span(token.span.clone());
        Some(name)
    }
}

/// Returns what a word stands for.
fn bare(word: &str) -> Option<KdlValue> {
    match word {
        "#true" => return Some(KdlValue::Bool(true)),
        "#false" => return Some(KdlValue::Bool(false)),
        word if word::is_name(word) => return Some(KdlValue::String(word.to_owned())),
        _ => {}
    }
    let digits = |radix, digits: &str| i128::from_str_radix(&digits.replace('_', ""), radix).ok();
    let number = match word.get(..2) {
        Some("0x") => digits(16, &word[2..]),
        Some("0o") => digits(8, &word[2..]),
        _ if word.bytes().all(|byte| byte.is_ascii_digit()) => digits(10, word),
        _ => return by_crate(word),
    };
    Some(KdlValue::Integer(number?))
}

/// Returns the text between the quotes of a string.
fn string(written: &str) -> Option<String> {
    let quoted = written.trim_matches('#');
    let is_raw = quoted.len() < written.len();
    let plain = match quoted.strip_prefix("\"\"\"") {
        _ if !is_raw && quoted.contains('\\') => None,
        Some(body) => dedented(body.strip_suffix("\"\"\"")?),
        None => Some(quoted.strip_prefix('"')?.strip_suffix('"')?.to_owned()),
    };
    match plain {
        Some(plain) => Some(plain),
        None => by_crate(written)?.as_string().map(str::to_owned),
    }
}

/// Returns the lines of a string of several lines without their indentation, which is what stands before the closing quotes.
fn dedented(body: &str) -> Option<String> {
    if body.contains(|c| is_newline(c) && c != '\n') {
        return None;
    }
    let Some((lines, indent)) = body.strip_prefix('\n')?.rsplit_once('\n') else {
        return Some(String::new());
    };
    let mut text = String::with_capacity(lines.len());
    for (number, line) in lines.split('\n').enumerate() {
        if number > 0 {
            text.push('\n');
        }
        if !line.chars().all(is_space) {
            text.push_str(line.strip_prefix(indent)?);
        }
    }
    Some(text)
}

/// Returns the value of a token as the kdl crate reads it.
fn by_crate(written: &str) -> Option<KdlValue> {
    let alone = KdlDocument::parse_v2(&format!("- {written}")).ok()?;
    Some(alone.nodes().first()?.entries().first()?.value().clone())
}
