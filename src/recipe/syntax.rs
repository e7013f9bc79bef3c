//! Text to the nodes of the kdl crate.

use kdl::{KdlDiagnostic, KdlDocument};

use super::diagnostic::Diagnostic;
use super::{plain, shape};

/// Returns the nodes of a text.
///
/// # Errors
/// All mistakes of spelling and structure.
pub(crate) fn document(text: &str) -> Result<KdlDocument, Vec<Diagnostic>> {
    let checked = shape::check(text)?;
    if let Some(document) = plain::document(text, &checked.tokens) {
        return Ok(document);
    }
    KdlDocument::parse_v2(&checked.seen(text)).map_err(|error| {
        let length = text.len();
        error
            .diagnostics
            .iter()
            .map(|found| rewrite(found, length))
            .collect()
    })
}

/// Returns our form of what kdl found. Few mistakes come this far: a number that is too large, say.
fn rewrite(found: &KdlDiagnostic, length: usize) -> Diagnostic {
    let start = found.span.offset().min(length);
    let end = (start + found.span.len()).min(length);
    let message = found.message.as_deref().unwrap_or("this is not KDL 2");
    let mut letters = message.chars();
    let message = match letters.next() {
        Some(first) => format!("{}{}", first.to_lowercase(), letters.as_str()),
        None => String::new(),
    };
    let label = found.label.as_deref().unwrap_or("here");
    let help = found
        .help
        .as_deref()
        .unwrap_or("put a text in quotes: `\"..\"`");
    Diagnostic::error(message.trim_end_matches('.'), start..end, label).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the nodes without places and layout.
    fn bare(document: &KdlDocument) -> String {
        let mut document = document.clone();
        document.clear_format_recursive();
        document.to_string()
    }

    #[test]
    fn what_kdl_reads_is_read_the_same_without_comments_and_dropped_parts() {
        let texts = [
            "a 1 b=2 \"c\" #true -1.5e+3 0x1_F 0o7 0b1 #null #-inf +5 1_000",
            "a;b; c {d;e}\nf{}\n",
            "/- a 1 {\n b\n}\nc /-1 2 /-x=3 y=4 /-{ z; } { w }",
            "/-\n\na\nb /- \\\n c d",
            "a /* { \" */ 1 /* /* } */ */ {\n b // }{\"\n}",
            "a \\ // x\n  b \\\n  c=1\n\"quoted name\" \"p q\"=1 r = 2",
            "a \"\"\"\n    x { \\\" \"\" }\n\n      y\\t\\u{e9}\\\n   z\n    \"\"\"",
            "a #\"x \\ \"y\" {\"# ##\"\"\"\n  {\n  \"\"\"# \\d\n  \"\"\"##\n",
            "a \"é😀\" b=\"\\s\\b\\f\\n\\r\\t\\\\\\\"\"\u{a0}1\nc",
            "a \"x \\\n   y\"\r\nb\r\n",
            "- + . .a -a +.b $ é , <x> a:b a.b ~ ! %",
            "/- kdl-version 2\na",
        ];
        for text in texts {
            let direct = KdlDocument::parse_v2(text);
            let direct = direct.unwrap_or_else(|error| panic!("{text}: {error:?}"));
            let ours = document(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(bare(&ours), bare(&direct), "{text}");
        }
    }

    #[test]
    fn what_kdl_refuses_is_refused() {
        let texts = [
            "a \"",
            "a \"\"\"",
            "a \"\"\"x\"\"\"",
            "a {",
            "}",
            "a }",
            "a=1",
            "a b=",
            "a {} b",
            "{}",
            "a {} {}",
            "a\"b\"",
            "a 1b",
            "a \"\\q\"",
            "a \"\\u{110000}\"",
            "a \"\\u{}\"",
            "a \"\\u{1234567}\"",
            "a #tru",
            "a true",
            "a [1]",
            "a b)",
            "a /",
            "a \\ b",
            "a /*",
            "/-",
            "a /-",
            "a #\"x",
            "a \"\"\"\n x\n  \"\"\"",
            "a \"\"\"\n x\"\"\"",
            "a 0x",
            "a 1.",
            "a 1e",
            "a .5",
            "a 0o8",
            "a =1",
            "a b#",
            "a \"x\ny\"",
            "a 9999999999999999999999999999999999999999999",
        ];
        for text in texts {
            assert!(KdlDocument::parse_v2(text).is_err(), "kdl takes {text:?}");
            let errors = document(text)
                .err()
                .unwrap_or_else(|| panic!("we take {text:?}"));
            assert!(errors.iter().all(|error| error.help.is_some()), "{text:?}");
        }
    }

    #[test]
    fn kdl_finds_nothing_that_was_not_found_before_it() {
        // Bytes of KDL's own alphabet in random order: whatever passes our own checks must pass kdl.
        let alphabet = [
            "a", "b", "1", " ", " ", "\n", "\"", "\"\"\"\n", "\n\"\"\"", "{", "}", "=", ";", "/-",
            "/*", "*/", "//", "#", "\\", "\\\n", ".", "-", "0x", "e", "#true", "é", "\r\n", "\t",
            "x=1", "#\"", "\"#",
        ];
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut next = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound as u64) as usize
        };
        let (mut passed, mut same) = (0, 0);
        for _ in 0..60_000 {
            let length = 1 + next(12);
            let text: String = (0..length)
                .map(|_| alphabet[next(alphabet.len())])
                .collect();
            let Ok(checked) = shape::check(&text) else {
                continue;
            };
            passed += 1;
            let found = KdlDocument::parse_v2(&checked.seen(&text));
            let found = found.unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
            if let Some(ours) = plain::document(&text, &checked.tokens) {
                same += 1;
                assert_eq!(places(&text, &ours), places(&text, &found), "{text:?}");
            }
        }
        assert!(passed > 5_000 && same > 3_000, "{passed} {same}");
    }

    /// Returns the nodes with their places, values as they are written and values as they are meant.
    fn places(text: &str, document: &KdlDocument) -> Vec<String> {
        let mut found = Vec::new();
        for node in document.nodes() {
            let (name, start) = (node.name(), node.span().offset());
            found.push(format!("{:?} {:?} {start}", name.value(), name.span()));
            // Where a node ends kdl counts the white space and comments behind it.
            found.extend(node.children().map(|_| {
                let part = &text[start..start + node.span().len()];
                part[..=part.rfind('}').unwrap()].to_owned()
            }));
            for entry in node.entries() {
                let name = entry.name().map(|name| (name.value(), name.span()));
                let written = entry.format().map(|format| &format.value_repr);
                let (value, span) = (entry.value(), entry.span());
                found.push(format!("{name:?} {value:?} {written:?} {span:?}"));
            }
            if let Some(block) = node.children() {
                found.push("{".to_owned());
                found.extend(places(text, block));
                found.push("}".to_owned());
            }
        }
        found
    }

    #[test]
    fn the_recipes_of_the_repository_are_plain_and_read_as_kdl_reads_them() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<_> = std::fs::read_dir(root.join("images")).unwrap().collect();
        paths.extend(std::fs::read_dir(root.join("tests/mistakes")).unwrap());
        let mut plain = 0;
        for path in paths {
            let path = path.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "kdl") {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let Ok(checked) = shape::check(&text) else {
                continue;
            };
            if let Some(ours) = plain::document(&text, &checked.tokens) {
                plain += 1;
                let found = KdlDocument::parse_v2(&checked.seen(&text)).unwrap();
                assert_eq!(places(&text, &ours), places(&text, &found), "{path:?}");
            }
        }
        assert!(plain > 50, "{plain}");
    }
}
