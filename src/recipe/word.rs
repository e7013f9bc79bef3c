//! Bare words: names, numbers and keywords; and 'did you mean'.

use super::diagnostic::Diagnostic;
use super::scan::{Scanner, is_newline, is_space, raw_hashes};
use crate::arch::Arch;

/// Reads a bare word and reports what is wrong with its spelling.
pub(super) fn read(scanner: &mut Scanner<'_>) {
    let start = scanner.at;
    let rest = scanner.rest();
    let word = rest.get(..end(rest)).unwrap_or(rest);
    scanner.at += word.len();
    let after = rest.get(word.len()..).unwrap_or_default();
    if let Some((message, label, help)) = mistake(word, after) {
        let span = start..scanner.at;
        scanner.error(Diagnostic::error(message, span, label).help(help));
    }
}

/// Returns the length of the word that a text starts with; at least one character.
fn end(rest: &str) -> usize {
    let mut before = None;
    for (at, character) in rest.char_indices() {
        let tail = rest.get(at..).unwrap_or_default();
        let stops = match character {
            '"' | '{' | '}' | ';' | '=' | '\\' => true,
            // An address without quotes: its `//` is no comment to the one who wrote it.
            '/' if tail.starts_with("//") => before != Some(':') && before != Some('/'),
            '/' => tail.starts_with("/*"),
            '#' => before != Some('#') && raw_hashes(tail).is_some(),
            other => is_space(other) || is_newline(other),
        };
        if stops && at > 0 {
            return at;
        }
        before = Some(character);
    }
    rest.len()
}

/// Returns message, label and help for a word that is none.
fn mistake(word: &str, after: &str) -> Option<(String, &'static str, String)> {
    let quoted = || {
        let bare = word.trim_matches(['\'', '`']);
        format!("write it in quotes: `\"{bare}\"`")
    };
    if let Some((_, value)) = word.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        let help = match value {
            "" => "leave it out".to_owned(),
            value => format!("leave it out: write `{value}`"),
        };
        let message = format!("`{word}` has a type annotation");
        return Some((message, "nothing in a recipe takes one", help));
    }
    if word.contains(['(', ')', '[', ']']) {
        let message = format!("`{word}` has brackets that may only stand in quotes");
        return Some((message, "neither a name nor a number", quoted()));
    }
    if word.contains('/') {
        let message = format!("`{word}` is not in quotes");
        return Some((message, "a text with a `/` needs them", quoted()));
    }
    if word.starts_with(['\'', '`']) {
        let message = format!("`{word}` is not in double quotes");
        return Some((message, "a text has `\"` at both ends", quoted()));
    }
    if word == "r" && (after.starts_with('"') || raw_hashes(after).is_some()) {
        let help = "this is KDL 1: in KDL 2 a raw text is `#\"..\"#`, without the `r`".to_owned();
        return Some(("a raw text of KDL 1".to_owned(), "no `r` here", help));
    }
    if let Some(keyword) = word.strip_prefix('#') {
        return hash(word, keyword);
    }
    if word.contains('#') {
        let message = format!("`{word}` has a `#` that may only stand in quotes");
        return Some((message, "neither a name nor a number", quoted()));
    }
    if matches!(word, "true" | "false" | "null" | "inf" | "-inf" | "nan") {
        let message = format!("`{word}` without a `#`");
        let help = format!("write `#{word}`: keywords have a `#` in KDL 2, and a text has quotes");
        return Some((message, "this is KDL 1", help));
    }
    // 38 digits always fit into the 128 bits that kdl has for a number.
    if starts_like_a_number(word) && is_number(word) && word.len() > 38 {
        let help = "write a smaller number, or put a text in quotes".to_owned();
        return Some((
            format!("`{word}` is too large a number"),
            "out of bounds",
            help,
        ));
    }
    if starts_like_a_number(word) && !is_number(word) {
        let message = format!("`{word}` is neither a number nor a text");
        return Some((message, "starts like a number", quoted()));
    }
    None
}

/// Says whether a word is a type annotation alone: its value is a text, which is a token of its own.
pub(super) fn is_annotation(word: &str) -> bool {
    word.starts_with('(') && word.ends_with(')')
}

/// Returns message, label and help for a word with `#` that is no keyword.
fn hash(word: &str, keyword: &str) -> Option<(String, &'static str, String)> {
    match keyword {
        "true" | "false" | "null" | "inf" | "-inf" | "nan" => None,
        "" | "!" => Some((
            format!("`{word}` starts no comment in KDL"),
            "not a keyword",
            "a comment starts with `//`, or stands in `/* */`".to_owned(),
        )),
        _ => {
            let meant = nearest(keyword, &["true", "false"]);
            let meant = meant.map(|word| format!("did you mean `#{word}`?"));
            let all = "the keywords are `#true` and `#false`; a comment starts with `//`";
            let help = join(meant, all);
            Some((format!("unknown keyword `{word}`"), "not a keyword", help))
        }
    }
}

/// Says whether a word can be a name. What has a mistake of its own passes: one error is enough.
pub(super) fn is_name(word: &str) -> bool {
    let number = starts_like_a_number(word) && is_number(word);
    let keyword = word
        .strip_prefix('#')
        .is_some_and(|keyword| hash(word, keyword).is_none());
    !number && !keyword
}

fn starts_like_a_number(word: &str) -> bool {
    let word = word.strip_prefix(['+', '-']).unwrap_or(word);
    let word = word.strip_prefix('.').unwrap_or(word);
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// Says whether a word is a number as KDL 2 writes it.
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix(['+', '-']).unwrap_or(word);
    let run = |text: &str, digit: fn(&char) -> bool| {
        let starts = text.chars().next().is_some_and(|c| digit(&c));
        starts && text.chars().all(|c| digit(&c) || c == '_')
    };
    let decimal = |text: &str| run(text, char::is_ascii_digit);
    match word.get(..2) {
        Some("0x" | "0X") => return run(&word[2..], char::is_ascii_hexdigit),
        Some("0o" | "0O") => return run(&word[2..], |c| ('0'..='7').contains(c)),
        Some("0b" | "0B") => return run(&word[2..], |c| ('0'..='1').contains(c)),
        _ => {}
    }
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    decimal(whole) && fraction.is_none_or(decimal) && exponent.is_none_or(decimal)
}

/// Words that people bring along from other tools, and what they are called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("append", "cmdline"),
    ("args", "cmdline"),
    ("command", "cmdline"),
    ("mem", "memory"),
    ("ram", "memory"),
    ("smp", "cpus"),
    ("cores", "cpus"),
    ("timeout", "within"),
    ("content", "text"),
    ("contents", "text"),
    ("data", "text"),
    ("inline", "text"),
    ("source", "from"),
    ("src", "from"),
    ("from", "of"),
    ("busybox", "of"),
    ("host", "local"),
    ("member", "path"),
    ("permissions", "mode"),
    ("perm", "mode"),
    ("chmod", "mode"),
    ("user", "uid"),
    ("owner", "uid"),
    ("group", "gid"),
    ("replace", "override"),
    ("force", "override"),
    ("to", "target"),
    ("hash", "sha256"),
    ("digest", "sha256"),
    ("checksum", "sha256"),
    ("sha", "sha256"),
    ("length", "size"),
    ("bytes", "size"),
    ("architecture", "arch"),
    ("platform", "arch"),
    ("mtime", "epoch"),
    ("desc", "description"),
    ("compression", "compress"),
    ("skip", "except"),
    ("strip-components", "strip"),
    ("folder", "dir"),
    ("directory", "dir"),
    ("mkdir", "dir"),
    ("link", "symlink"),
    ("ln", "symlink"),
    ("slink", "symlink"),
    ("node", "device"),
    ("nod", "device"),
    ("mknod", "device"),
    ("archive", "tree"),
    ("unpack", "tree"),
    ("extract", "tree"),
    ("http", "url"),
    ("https", "url"),
    ("path", "local"),
    ("deb", "debian"),
    ("initrd", "initramfs"),
    ("rootfs", "initramfs"),
    ("run", "boot"),
    ("machine", "boot"),
    ("limit", "budget"),
    ("limits", "budget"),
    ("max", "budget"),
    ("wait", "expect"),
    ("type", "send"),
    ("input", "send"),
    ("refuse", "absent"),
    ("c", "char"),
    ("character", "char"),
    ("b", "block"),
    ("gz", "gzip"),
    ("off", "none"),
    ("shutdown", "poweroff"),
    ("reboot", "poweroff"),
    ("halt", "poweroff"),
];

/// Returns the allowed word that was most likely meant.
pub(super) fn nearest<'a>(word: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let plain = word
        .trim_matches([':', ',', '\'', '-'])
        .to_ascii_lowercase();
    let same = allowed.iter().find(|candidate| **candidate == plain);
    let known = || {
        ELSEWHERE.iter().find_map(|(elsewhere, here)| {
            let meant = *elsewhere == plain;
            allowed.iter().find(|candidate| meant && *candidate == here)
        })
    };
    let arch = || {
        let mut archs = Arch::ALL
            .into_iter()
            .filter(|arch| arch.is_meant_by(&plain));
        archs.find_map(|arch| allowed.iter().find(|candidate| **candidate == arch.name()))
    };
    let close = || {
        let distance = |candidate: &str| strsim::damerau_levenshtein(&plain, candidate);
        // One slip in a short word, two in a middling one, a third of a long one; half of the candidate at most.
        let slips = 1.max(plain.chars().count().div_ceil(3));
        let best = allowed.iter().min_by_key(|candidate| distance(candidate))?;
        let close = distance(best) <= slips && distance(best) * 2 <= best.chars().count();
        let start = plain.len() >= 3 && (best.starts_with(&plain) || plain.starts_with(*best));
        (close || start).then_some(best)
    };
    same.or_else(known).or_else(arch).or_else(close).copied()
}

/// Returns `did you mean ..?`, where something is near, followed by `rest`.
pub(super) fn suggest(word: &str, allowed: &[&str], rest: &str) -> String {
    join(
        nearest(word, allowed).map(|meant| format!("did you mean `{meant}`?")),
        rest,
    )
}

/// Joins a question, if any, with the sentence that follows it.
fn join(question: Option<String>, rest: &str) -> String {
    let Some(question) = question else {
        return rest.to_owned();
    };
    let mut letters = rest.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let rest: String = first.into_iter().chain(letters).collect();
    format!("{question} {rest}")
}

/// Returns the words in backticks, separated by commas; of many the first ten.
pub(super) fn list(words: &[&str]) -> String {
    let shown: Vec<String> = words
        .iter()
        .take(10)
        .map(|word| format!("`{word}`"))
        .collect();
    match words.len().saturating_sub(10) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Checks the name of an image or a source: 1 to 64 letters, digits, `.`, `_`, `+` and `-` of ASCII, not starting with `.` or `-`
/// (it becomes part of file names and of command lines).
///
/// # Errors
/// What is wrong with it, as the end of a sentence that starts with the name.
pub fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "._+-".contains(*c);
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    if name.len() > 64 {
        return Err(format!("has {} bytes, a name has at most 64", name.len()));
    }
    if name.starts_with(['.', '-']) {
        return Err("starts with `.` or `-`".to_owned());
    }
    match name.chars().find(|c| !allowed(c)) {
        Some(bad) => Err(format!("has the character `{}`", bad.escape_debug())),
        None => Ok(()),
    }
}
