//! Rust's tokens, without comments and without what is in literals.

/// A token: a name, `::`, one other character, or `"` for a literal.
#[derive(Debug, Clone)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is_name(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Returns the tokens of a text.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let size = comment(rest).or_else(|| literal(rest));
        let name = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let (size, token) = match size {
            Some(size) if rest.starts_with("//") || rest.starts_with("/*") => (size, None),
            Some(size) => (size, Some("\"")),
            None if first.is_whitespace() => (first.len_utf8(), None),
            // A raw name is that name.
            None if rest.starts_with("r#") => (2, None),
            None if rest.starts_with("::") => (2, Some("::")),
            None if first.is_alphanumeric() || first == '_' => (name, Some(&rest[..name])),
            // A lifetime is no name.
            None if first == '\'' => {
                let end = rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_');
                (end.map_or(rest.len(), |end| end + 1), Some("'"))
            }
            None => (first.len_utf8(), Some(&rest[..first.len_utf8()])),
        };
        if let Some(text) = token {
            let text = text.to_owned();
            tokens.push(Token { text, line });
        }
        line += rest[..size].matches('\n').count();
        rest = &rest[size..];
    }
    tokens
}

/// Returns the length of the comment at the beginning.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        let step = rest.chars().next()?.len_utf8();
        at += match (rest.starts_with("/*"), rest.starts_with("*/")) {
            (true, _) => {
                depth += 1;
                2
            }
            (_, true) => {
                depth -= 1;
                2
            }
            _ => step,
        };
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Returns the length of the literal at the beginning: text, bytes, raw text or a character.
fn literal(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c']);
    let before = text.len() - body.len();
    if before > 1 {
        return None;
    }
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inside = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let size = inside.find(&end)? + end.len();
        return Some(text.len() - inside.len() + size);
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut characters = body.char_indices().skip(1);
    let mut count = 0;
    while let Some((at, c)) = characters.next() {
        count += 1;
        match c {
            '\\' => {
                characters.next();
            }
            c if c == quote => return Some(before + at + 1),
            // `'a` without a quote behind it is a lifetime.
            _ if quote == '\'' && count == 1 && !body[at + c.len_utf8()..].starts_with('\'') => {
                return None;
            }
            _ => {}
        }
    }
    None
}
