//! The text of a lock as mkimg writes it, read without a parser of KDL: most runs under a lock read no other.
//!
//! What was read is printed again and compared. A text that differs in a single byte goes to the parser that can say what is wrong
//! with it.

use serde_json::Deserializer;

use super::{Lock, Locked};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::FORMAT;
use crate::text::is_unsafe;

/// Returns the lock; nothing where the text is not exactly what mkimg writes.
pub(super) fn read(bytes: &[u8]) -> Option<Lock> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines().skip_while(|line| line.starts_with("// "));
    let (name, rest) = quoted(lines.next()?.strip_prefix("lock ")?)?;
    let (format, recipe) = rest.strip_prefix(" format=")?.split_once(" recipe=")?;
    let mut lock = Lock {
        name,
        format: format.parse().ok()?,
        recipe: digest(recipe)?.0,
        images: Default::default(),
        statements: Default::default(),
        files: Default::default(),
    };
    while let Some(line) = lines.next() {
        let (kind, rest) = line.split_once(' ')?;
        let (name, rest) = quoted(rest)?;
        match kind {
            "image" if rest == " {" => {
                let own = lines.by_ref().take_while(|line| *line != "}");
                lock.images.insert(name.parse::<Arch>().ok()?, locked(own)?);
            }
            "statement" => drop(lock.statements.insert(name, pair(rest)?)),
            "file" => drop(lock.files.insert(name, pair(rest)?)),
            _ => return None,
        }
    }
    (lock.format == FORMAT && lock.to_string().as_bytes() == bytes).then_some(lock)
}

fn locked<'l>(lines: impl Iterator<Item = &'l str>) -> Option<Locked> {
    let mut compressor = None;
    let mut inputs = std::collections::BTreeMap::new();
    let [mut initramfs, mut kernel, mut tree] = [None; 3];
    let [mut plan, mut sources] = [None; 2];
    for line in lines {
        let (kind, rest) = line.strip_prefix("    ")?.split_once(' ')?;
        match kind {
            "compressor" => compressor = Some(quoted(rest)?.0),
            "source" => {
                let (name, rest) = quoted(rest)?;
                inputs.insert(name, digest(rest.strip_prefix(' ')?)?.0);
            }
            "plan" => plan = Some(digest(rest)?.0),
            "sources" => sources = Some(digest(rest)?.0),
            "initramfs" => initramfs = Some(sized(rest)?),
            "kernel" => kernel = Some(sized(rest)?),
            "tree" => tree = Some(sized(rest)?),
            _ => return None,
        }
    }
    let (tree, archive_size) = tree?;
    Some(Locked {
        plan: plan?,
        sources: sources?,
        inputs,
        tree,
        archive_size,
        kernel: kernel?,
        initramfs: initramfs?,
        compressor: compressor?,
    })
}

/// Returns the text in the quotes at the beginning, and what is behind them.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let mut texts = Deserializer::from_str(rest).into_iter::<String>();
    let text = texts.next()?.ok()?;
    let rest = rest.get(texts.byte_offset()..)?;
    (!text.contains(is_unsafe)).then_some((text, rest))
}

fn digest(rest: &str) -> Option<(Digest, &str)> {
    let (text, rest) = quoted(rest)?;
    Some((text.parse().ok()?, rest))
}

fn sized(rest: &str) -> Option<(Digest, u64)> {
    let (digest, rest) = digest(rest)?;
    Some((digest, rest.strip_prefix(" size=")?.parse().ok()?))
}

fn pair(rest: &str) -> Option<String> {
    Some(quoted(rest.strip_prefix(' ')?)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../images/minimal.lock");

    #[test]
    fn what_mkimg_wrote_reads_as_the_parser_reads_it_and_nothing_else_does() {
        let lock = read(TEXT.as_bytes()).unwrap();
        // The parser does not take this way when a comment is added.
        let slow = Lock::parse("x.lock", format!("{TEXT}// more\n").as_bytes()).unwrap();
        assert!(read(format!("{TEXT}// more\n").as_bytes()).is_none());
        assert_eq!(lock, slow);
        for end in 0..TEXT.len() {
            let text = &TEXT[..end];
            if let Some(lock) = read(text.as_bytes()) {
                let slow = Lock::parse("x.lock", format!("{text}// more\n").as_bytes());
                assert_eq!(lock, slow.unwrap(), "first {end} bytes");
            }
        }
        for (from, to) in [
            ("format=1", "format=2"),
            ("\"busybox\"", "\"busy\\u001bbox\""),
            ("    plan", "   plan"),
            ("size=980973", "size=0980973"),
            ("\"aarch64\"", "\"x86_64\""),
            ("\n", "\r\n"),
            ("}", ""),
        ] {
            assert!(TEXT.contains(from), "{from}");
            assert!(read(TEXT.replace(from, to).as_bytes()).is_none(), "{to}");
        }
    }
}
