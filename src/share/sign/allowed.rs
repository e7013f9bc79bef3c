//! OpenSSH's `allowed_signers` files (ssh-keygen(1)): whom to trust, for what, and from when until when.

use super::SignError;
use super::key::PublicKey;
use super::sshsig::NAMESPACE;
use crate::share::text::fit;

/// The most bytes that such a file may have.
pub const MAX_ALLOWED: u64 = 1 << 20;

/// The keys that are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedSigners {
    signers: Vec<Signer>,
}

/// One line: a key, whose it is, and when it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Whose key it is, in the file's words.
    pub principals: String,
    /// The key.
    pub key: PublicKey,
    options: Options,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Options {
    /// The namespaces that the key may sign in, as patterns; none is all.
    namespaces: Option<String>,
    /// From when on it counts: seconds since 1970, and the file's words.
    after: Option<(u64, String)>,
    /// From when on it counts no more.
    before: Option<(u64, String)>,
}

impl AllowedSigners {
    /// Reads the file.
    ///
    /// # Errors
    /// [`SignError`] with the line's number. A line that cannot be used is an error and not passed over: whoever wrote it
    /// meant to trust somebody.
    pub fn parse(text: &str) -> Result<AllowedSigners, SignError> {
        let mut signers = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = Signer::parse(line)
                .map_err(|error| SignError::new(format!("line {}: {error}", number + 1)))?;
            signers.push(signer);
        }
        match signers.is_empty() {
            true => Err(SignError::new("it trusts nobody: no line has a key")),
            false => Ok(AllowedSigners { signers }),
        }
    }

    /// Trusts those of another file too.
    pub fn extend(&mut self, other: AllowedSigners) {
        self.signers.extend(other.signers);
    }

    /// Returns the line that lets a key sign images at a time, in seconds since 1970.
    ///
    /// # Errors
    /// [`SignError`] with why none does.
    pub fn find(&self, key: &PublicKey, now: u64) -> Result<&Signer, SignError> {
        let mut why = None;
        for signer in self.signers.iter().filter(|signer| signer.key == *key) {
            match signer.check(now) {
                Ok(()) => return Ok(signer),
                Err(error) => why = Some(error),
            }
        }
        Err(why.unwrap_or_else(|| SignError::new("its key is not a trusted one")))
    }
}

impl Signer {
    fn parse(line: &str) -> Result<Signer, SignError> {
        let (principals, rest) = word(line);
        let (mut kind, mut rest) = word(rest);
        let mut options = Options::default();
        if !is_key_type(kind) && is_key_type(word(rest).0) {
            options = Options::parse(kind)?;
            (kind, rest) = word(rest);
        }
        if !is_key_type(kind) {
            let kind = fit(kind);
            let problem = format!(
                "expected PRINCIPALS [OPTIONS] TYPE KEY, found `{kind}` where the type belongs"
            );
            return Err(SignError::new(problem));
        }
        Ok(Signer {
            principals: fit(&principals.replace('"', "")),
            key: PublicKey::parse(kind, word(rest).0)?,
            options,
        })
    }

    fn check(&self, now: u64) -> Result<(), SignError> {
        let options = &self.options;
        let whose = &self.principals;
        if let Some(patterns) = &options.namespaces
            && !matches_list(patterns, NAMESPACE)
        {
            return Err(SignError::new(format!(
                "the key of `{whose}` is trusted for the namespaces `{}`, not for `{NAMESPACE}`",
                fit(patterns)
            )));
        }
        match (&options.after, &options.before) {
            (Some((after, text)), _) if now < *after => Err(SignError::new(format!(
                "the key of `{whose}` is valid from {text} on only"
            ))),
            (_, Some((before, text))) if now >= *before => Err(SignError::new(format!(
                "the key of `{whose}` has expired: it was valid until {text}"
            ))),
            _ => Ok(()),
        }
    }
}

impl Options {
    fn parse(text: &str) -> Result<Options, SignError> {
        let mut options = Options::default();
        let mut seen = Vec::new();
        for option in split_quoted(text, ',') {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, value.trim_matches('"')),
                None => (option, ""),
            };
            let name = name.to_ascii_lowercase();
            // The last one would silently lift what the first one says.
            if seen.contains(&name) {
                let problem = format!("`{}` is there twice", fit(&name));
                return Err(SignError::new(problem));
            }
            seen.push(name.clone());
            match name.as_str() {
                "namespaces" => options.namespaces = Some(value.to_owned()),
                "valid-after" => options.after = Some((seconds(value)?, value.to_owned())),
                "valid-before" => options.before = Some((seconds(value)?, value.to_owned())),
                "cert-authority" => {
                    return Err(SignError::new(
                        "`cert-authority`: certificates are not known here, name the signer's own key",
                    ));
                }
                _ => {
                    let problem = format!("`{}` is no option that is known here", fit(&name));
                    return Err(SignError::new(problem));
                }
            }
        }
        Ok(options)
    }
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|prefix| word.starts_with(prefix))
}

/// Returns the first word of a line, in which quotes hold blanks together, and the rest.
fn word(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return line.split_at(at),
            _ => {}
        }
    }
    (line, "")
}

/// Splits a text where a separator is not quoted.
fn split_quoted(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    let split = |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    };
    text.split(split).collect()
}

/// Returns the seconds since 1970 of `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, each with a `Z`: without it the time
/// would be another one on each machine.
fn seconds(text: &str) -> Result<u64, SignError> {
    let shown = fit(text);
    let wrong = || {
        SignError::new(format!(
            "`{shown}` is no time such as 20270131Z or 202701311200Z"
        ))
    };
    let Some(digits) = text.strip_suffix(['Z', 'z']) else {
        return Err(match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => SignError::new(format!(
                "`{shown}` means another time in each time zone: write `{shown}Z`, which is UTC"
            )),
            false => wrong(),
        });
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || ![8, 12, 14].contains(&digits.len()) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| -> u64 {
        let digits = digits.get(from..to).unwrap_or("0");
        digits.parse().unwrap_or_default()
    };
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let fine = year >= 1970
        && (1..=12).contains(&month)
        && (1..=months[month as usize - 1]).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !fine {
        return Err(wrong());
    }
    let before = year - 1;
    let leaps = |years: u64| years / 4 - years / 100 + years / 400;
    let days = (year - 1970) * 365 + leaps(before) - leaps(1969)
        + months[..month as usize - 1].iter().sum::<u64>()
        + day
        - 1;
    Ok(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Says whether a list of patterns lets a word through: one fits, and none with a `!` does.
fn matches_list(patterns: &str, word: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern.as_bytes(), word.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(pattern.as_bytes(), word.as_bytes()),
        }
    }
    found
}

/// Says whether a pattern of `*` and `?` fits a whole word, in time that grows with the product of the two alone.
fn matches(pattern: &[u8], word: &[u8]) -> bool {
    let mut fits = vec![false; word.len() + 1];
    fits[0] = true;
    for part in pattern {
        let before = fits.clone();
        for at in 0..=word.len() {
            fits[at] = match (part, at) {
                (b'*', 0) => before[0],
                (b'*', at) => before[at] || fits[at - 1],
                (_, 0) => false,
                (b'?', at) => before[at - 1],
                (byte, at) => before[at - 1] && word[at - 1] == *byte,
            };
        }
    }
    fits[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn times_are_those_of_date() {
        // `date -u -d 2027-01-31T12:34:56Z +%s`, and its like.
        for (text, expected) in [
            ("19700101Z", 0),
            ("20240229Z", 1_709_164_800),
            ("202701311234Z", 1_801_398_840),
            ("20270131123456Z", 1_801_398_896),
            ("21000301Z", 4_107_542_400),
        ] {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
        }
        for text in [
            "20230229Z",
            "20271301Z",
            "2027Z",
            "202701312400Z",
            "",
            "x",
            "+2270101Z",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
        let error = seconds("20270131").unwrap_err().to_string();
        assert!(error.contains("write `20270131Z`"), "{error}");
    }

    #[test]
    fn a_key_counts_for_its_namespaces_and_in_its_time() {
        for (options, now, fits) in [
            ("", 0, true),
            ("namespaces=\"git,mkimg-image-v1\" ", 0, true),
            ("namespaces=\"mkimg-*\" ", 0, true),
            ("namespaces=\"git\" ", 0, false),
            ("namespaces=\"*,!mkimg-image-v?\" ", 0, false),
            ("valid-after=\"19700102Z\" ", 86_399, false),
            ("valid-after=\"19700102Z\" ", 86_400, true),
            ("valid-before=\"19700102Z\" ", 86_399, true),
            ("valid-before=19700102Z ", 86_400, false),
            (
                "valid-after=\"19700101Z\",valid-before=\"19700102Z\",namespaces=\"*\" ",
                5,
                true,
            ),
        ] {
            let text = format!("# whom\n\nann@example.org,bob {options}{KEY} a comment\n");
            let allowed = AllowedSigners::parse(&text).unwrap();
            let key = allowed.signers[0].key.clone();
            assert_eq!(allowed.find(&key, now).is_ok(), fits, "{options}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named() {
        for (line, problem) in [
            (
                format!("ann cert-authority {KEY}"),
                "certificates are not known",
            ),
            (format!("ann shiny {KEY}"), "`shiny` is no option"),
            (
                format!("ann valid-before=19800101Z,Valid-Before=20800101Z {KEY}"),
                "`valid-before` is there twice",
            ),
            (KEY.to_owned(), "where the type belongs"),
            ("ann ssh-dss AAAA".to_owned(), "it is cut off"),
            ("ann ssh-ed25519 %%".to_owned(), "no base64"),
            (
                format!("ann valid-before=20270131 {KEY}"),
                "write `20270131Z`",
            ),
            (KEY.replace("ssh-ed25519", "ann ssh-rsa"), "of another type"),
        ] {
            let error = AllowedSigners::parse(&format!("# one\n{line}\n")).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("line 2: "), "{error}");
            assert!(error.contains(problem), "{error}");
        }
        assert!(AllowedSigners::parse("# nobody\n").is_err());
    }
}
