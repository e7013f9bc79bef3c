//! A package's `copyright` file to an SPDX licence expression.
//!
//! The machine-readable form (DEP 5, copyright-format 1.0) names licences in `License:` fields of paragraphs with `Files:`; the
//! older form names files below `/usr/share/common-licenses`. Short names that SPDX has are translated (SPDX 2.3, annex D);
//! any other becomes a `LicenseRef-Debian-NAME` with the text that the file has for it.
//!
//! The operands of `AND` and `OR` are sorted, each once, by their own text: without the parentheses, which only the company of
//! others makes necessary. So an expression depends on what is named, and not on where in the file.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Control;

/// The most characters of a licence's text that are taken over.
const LONGEST: usize = 16 * 1024;

/// What a package's copyright file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Licence {
    /// The SPDX expression; `None` where the file names no licence that could be told.
    pub expression: Option<String>,
    /// The texts of the licences that SPDX does not have, by their `LicenseRef-..`.
    pub texts: BTreeMap<String, String>,
}

/// Debian's short names, in lower case, and what SPDX calls them.
const NAMES: [(&str, &str); 36] = [
    ("0bsd", "0BSD"),
    ("agpl-3", "AGPL-3.0-only"),
    ("agpl-3+", "AGPL-3.0-or-later"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsl-1.0", "BSL-1.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("expat", "MIT"),
    ("gfdl-1.2", "GFDL-1.2-only"),
    ("gfdl-1.2+", "GFDL-1.2-or-later"),
    ("gfdl-1.3", "GFDL-1.3-only"),
    ("gfdl-1.3+", "GFDL-1.3-or-later"),
    ("gpl-1", "GPL-1.0-only"),
    ("gpl-1+", "GPL-1.0-or-later"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("isc", "ISC"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2+", "LGPL-2.0-or-later"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-2.1+", "LGPL-2.1-or-later"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("mit", "MIT"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("openssl", "OpenSSL"),
    ("python-2.0", "Python-2.0"),
    ("unlicense", "Unlicense"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
];

impl Licence {
    /// Reads a copyright file.
    pub fn parse(text: &str) -> Licence {
        let first = Control::parse(text);
        if first
            .get("format")
            .is_some_and(|format| format.contains("copyright-format"))
        {
            Licence::machine_readable(text)
        } else {
            Licence::common(text)
        }
    }

    fn machine_readable(text: &str) -> Licence {
        let mut licence = Licence::default();
        let mut named: BTreeSet<String> = BTreeSet::new();
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for paragraph in paragraphs(text) {
            let paragraph = Control::parse(&paragraph);
            let Some(value) = paragraph.get("license") else {
                continue;
            };
            let (name, rest) = value.split_once('\n').unwrap_or((value, ""));
            let name = name.trim();
            if !rest.is_empty() {
                let text = texts.entry(name.to_lowercase()).or_default();
                if text.is_empty() {
                    // A line with a dot alone stands for an empty one (deb822(5)).
                    let lines = rest.lines().map(|line| if line == "." { "" } else { line });
                    let rest = lines.collect::<Vec<_>>().join("\n");
                    *text = rest.chars().take(LONGEST).collect();
                }
            }
            if paragraph.get("files").is_some() && !name.is_empty() {
                named.insert(name.to_owned());
            }
        }
        let parts: BTreeSet<String> = named
            .iter()
            .map(|name| licence.expression_of(name, &texts))
            .collect();
        let several = parts.len() > 1;
        let shown = parts.into_iter().map(|part| match several {
            true if part.contains(" OR ") => format!("({part})"),
            _ => part,
        });
        let expression = shown.collect::<Vec<_>>().join(" AND ");
        licence.expression = Some(expression).filter(|expression| !expression.is_empty());
        licence
    }

    /// Returns the expression of a DEP 5 licence specification: short names with `or`, `and` and commas.
    fn expression_of(&mut self, name: &str, texts: &BTreeMap<String, String>) -> String {
        let mut choices = BTreeSet::new();
        for choice in split(name, " or ") {
            let mut all = BTreeSet::new();
            for one in split(&choice, " and ") {
                all.insert(self.identifier(one.trim_matches([',', ' ']), texts));
            }
            choices.insert(all.into_iter().collect::<Vec<_>>().join(" AND "));
        }
        let several = choices.len() > 1;
        let shown = choices.into_iter().map(|choice| match several {
            true if choice.contains(" AND ") => format!("({choice})"),
            _ => choice,
        });
        shown.collect::<Vec<_>>().join(" OR ")
    }

    fn identifier(&mut self, name: &str, texts: &BTreeMap<String, String>) -> String {
        let lower = name.to_lowercase();
        // `GPL-2.0` is written for `GPL-2` by many.
        let short = lower.replace(".0+", "+");
        let short = short.strip_suffix(".0").unwrap_or(&short);
        for candidate in [lower.as_str(), short] {
            if let Ok(at) = NAMES.binary_search_by(|(debian, _)| (*debian).cmp(candidate)) {
                return NAMES[at].1.to_owned();
            }
        }
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let plain: String = name
            .chars()
            .map(|c| if known(c) { c } else { '-' })
            .take(64)
            .collect();
        let reference = format!("LicenseRef-Debian-{}", plain.trim_matches('-'));
        let text = texts.get(&lower).cloned();
        let text = text.unwrap_or_else(|| format!("Debian's copyright file names it `{name}`"));
        self.texts.entry(reference.clone()).or_insert(text);
        reference
    }

    /// Reads a file of the older form: which of Debian's common licences it points to.
    fn common(text: &str) -> Licence {
        const PLACE: &str = "/usr/share/common-licenses/";
        let later = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let later = later.contains("any later version");
        let mut found = BTreeSet::new();
        for (at, _) in text.match_indices(PLACE) {
            let rest = &text[at + PLACE.len()..];
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
                .collect();
            let name = name.trim_end_matches(['.', '-']).to_owned();
            let versioned = name.contains("GPL-") && later;
            found.insert(if versioned { format!("{name}+") } else { name });
        }
        let mut licence = Licence::default();
        let names: BTreeSet<String> = found
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| licence.identifier(name, &BTreeMap::new()))
            .collect();
        let expression = names.into_iter().collect::<Vec<_>>().join(" AND ");
        licence.expression = Some(expression).filter(|expression| !expression.is_empty());
        licence
    }
}

/// Splits a text at a word between blanks, in any case.
fn split(text: &str, word: &str) -> Vec<String> {
    let mut parts = vec![Vec::new()];
    for token in text.split_whitespace() {
        if token.eq_ignore_ascii_case(word.trim()) {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    let joined = parts.into_iter().map(|part| part.join(" "));
    joined.filter(|part| !part.is_empty()).collect()
}

/// Returns the paragraphs of a text: what stands between lines without anything but blanks.
fn paragraphs(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        match all.last_mut() {
            Some(last) if !line.trim().is_empty() => {
                last.push_str(line);
                last.push('\n');
            }
            Some(last) if last.is_empty() => {}
            _ => all.push(String::new()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_names_is_sorted() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn copyright_files_become_spdx_expressions() {
        const FORMAT: &str =
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";
        let old = "This is free software; version 2 dated June, 1991.\n\nsee `/usr/share/common-licenses/GPL-2'.\n";
        let later = "either version 2, or (at your option) any\n later version.\n/usr/share/common-licenses/GPL-2.\n";
        let cases = [
            (old.to_owned(), Some("GPL-2.0-only")),
            (later.to_owned(), Some("GPL-2.0-or-later")),
            ("nothing is said".to_owned(), None),
            (String::new(), None),
            (
                format!("{FORMAT}Files: *\nLicense: GPL-2\n"),
                Some("GPL-2.0-only"),
            ),
            (
                format!(
                    "{FORMAT}Files: *\nLicense: GPL-2+ or MIT\n\nFiles: x\nLicense: BSD-3-clause\n text\n"
                ),
                Some("BSD-3-Clause AND (GPL-2.0-or-later OR MIT)"),
            ),
            // In another order, and once more: the same.
            (
                format!(
                    "{FORMAT}Files: x\nLicense: BSD-3-clause\n text\n\nFiles: *\nLicense: MIT or GPL-2+\n\nFiles: y\nLicense: Expat or GPL-2+\n"
                ),
                Some("BSD-3-Clause AND (GPL-2.0-or-later OR MIT)"),
            ),
            (
                format!(
                    "{FORMAT}Files: *\nLicense: LGPL-2.1+, and Unicode-X\n\nLicense: Unicode-X\n The words.\n"
                ),
                Some("LGPL-2.1-or-later AND LicenseRef-Debian-Unicode-X"),
            ),
            // A paragraph without `Files` is only a text.
            (format!("{FORMAT}License: GPL-3\n the text\n"), None),
        ];
        for (text, expression) in cases {
            let licence = Licence::parse(&text);
            assert_eq!(licence.expression.as_deref(), expression, "{text}");
        }
        let text =
            format!("{FORMAT}Files: *\nLicense: Odd/Name\n\nLicense: Odd/Name\n The words.\n");
        let texts = Licence::parse(&text).texts;
        assert_eq!(texts["LicenseRef-Debian-Odd-Name"], "The words.");
    }
}
