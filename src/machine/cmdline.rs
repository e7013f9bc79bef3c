//! The kernel's command line, as words: which parameters it names, and what mkimg puts before it.

use crate::arch::Arch;

/// Returns the words of a command line; as the kernel reads it, white space inside double quotes splits nothing
/// (`lib/cmdline.c`, `next_arg`).
pub(super) fn words(cmdline: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut quoted, mut start) = (false, None);
    for (at, c) in cmdline.char_indices() {
        if c == '"' {
            quoted = !quoted;
        }
        match (c.is_ascii_whitespace() && !quoted, start) {
            (true, Some(from)) => {
                words.extend(cmdline.get(from..at));
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    words.extend(start.and_then(|from| cmdline.get(from..)));
    words
}

/// Returns the name of a parameter, in one spelling: the kernel takes `-` and `_` as the same (`kernel/params.c`).
fn name(word: &str) -> String {
    word.trim_matches('"')
        .split('=')
        .next()
        .unwrap_or_default()
        .replace('-', "_")
}

/// Says whether a parameter is one of the words without a value that mkimg may add. The kernel would read `WORD=off` as the word
/// itself.
fn is_bare(parameter: &str) -> bool {
    let mut words = Arch::ALL.iter().flat_map(|arch| arch.facts().one_cpu_words);
    words.any(|(word, _)| name(word) == parameter)
}

/// Returns the kernel's part of the recipe's words, and the rest from `--` on, which belongs to `/init`.
fn parts<'a, 'b>(words: &'a [&'b str]) -> (&'a [&'b str], &'a [&'b str]) {
    let count = words.iter().take_while(|word| **word != "--").count();
    words.split_at(count)
}

/// Returns the words of `added` that `joined` gives to the kernel.
pub(super) fn taken(added: &[String], recipe: &str) -> Vec<String> {
    let words = words(recipe);
    let named: Vec<String> = parts(&words).0.iter().map(|word| name(word)).collect();
    let free = added.iter().filter(|word| !named.contains(&name(word)));
    free.cloned().collect()
}

/// Joins what mkimg adds with what the recipe says.
///
/// A parameter that the recipe names is not added. A word without a value is kept away by `WORD=off`, which is taken out then.
pub(super) fn joined(added: &[String], recipe: &str) -> String {
    let words = words(recipe);
    let (kernel, init) = parts(&words);
    let refusal = |word: &str| {
        let bare = word.strip_suffix("=off").map(name);
        bare.is_some_and(|bare| is_bare(&bare))
    };
    let mut all = taken(added, recipe);
    let kept = kernel.iter().filter(|word| !refusal(word)).chain(init);
    all.extend(kept.map(|word| (*word).to_owned()));
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_a_word_together_as_in_the_kernel() {
        // pitfall 69
        let cases: [(&str, &[&str]); 4] = [
            ("", &[]),
            ("  quiet  a=b ", &["quiet", "a=b"]),
            (r#"x="a b" y"#, &[r#"x="a b""#, "y"]),
            (r#"x="a b"#, &[r#"x="a b"#]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn a_parameter_of_the_recipe_is_not_added_and_a_word_can_be_refused() {
        let added = ["console=ttyS0", "panic=-1", "noreplace-smp"].map(str::to_owned);
        let cases = [
            ("quiet", "console=ttyS0 panic=-1 noreplace-smp quiet"),
            ("", "console=ttyS0 panic=-1 noreplace-smp"),
            ("console=tty0 panic=5", "noreplace-smp console=tty0 panic=5"),
            ("noreplace_smp", "console=ttyS0 panic=-1 noreplace_smp"),
            ("noreplace-smp=off quiet", "console=ttyS0 panic=-1 quiet"),
            (
                "quiet -- panic=5 noreplace-smp=off",
                "console=ttyS0 panic=-1 noreplace-smp quiet -- panic=5 noreplace-smp=off",
            ),
            (
                r#"dyndbg="file a.c +p""#,
                r#"console=ttyS0 panic=-1 noreplace-smp dyndbg="file a.c +p""#,
            ),
        ];
        for (recipe, expected) in cases {
            assert_eq!(joined(&added, recipe), expected, "{recipe}");
        }
    }
}
