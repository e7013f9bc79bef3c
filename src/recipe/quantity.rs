//! Values with a form of their own: names, paths, globs, sizes, times, modes and digests.

use crate::digest::{Digest, DigestError};

use super::model::Spanned;
use super::node::Value;
use super::word::check_name;

/// The longest path in bytes: the kernel's `PATH_MAX` of 4096 counts the NUL (`init/initramfs.c`, `do_header`).
const PATH_BYTES: usize = 4095;

/// The characters of a name, for help lines.
const NAME: &str = "a name has letters, digits, `.`, `_`, `+` and `-`, does not start with `.` or `-`, and has at most 64 bytes";

impl Value<'_> {
    /// Returns the name of an image or a source.
    pub(super) fn name(&self) -> Option<Spanned<String>> {
        let text = self.text()?;
        if let Err(reason) = check_name(&text.value) {
            let message = format!("{} {reason}", self.what);
            self.refuse(message, "not a name", NAME);
            return None;
        }
        Some(text)
    }

    /// Returns a path of the image: absolute and normal. `/` only where it is the place of many entries.
    pub(super) fn image_path(&self, root: bool) -> Option<Spanned<String>> {
        let text = self.line()?;
        let path = text.value.as_str();
        let message = |reason: &str| format!("{} {reason}", self.what);
        let Some(body) = path.strip_prefix('/') else {
            let label = "does not start with `/`";
            self.refuse(
                message("is not absolute"),
                label,
                format!("write `\"/{}\"`", normal(path)),
            );
            return None;
        };
        if body.is_empty() && !root {
            let help =
                "the root directory is always there; name what is in it, such as `\"/init\"`";
            self.refuse(message("is the root"), "has no entry of its own", help);
            return None;
        }
        if path.len() > PATH_BYTES {
            let message = message(&format!("has {} bytes", path.len()));
            let help = format!(
                "the kernel takes at most {PATH_BYTES} and drops longer ones without a word: shorten it"
            );
            self.refuse(message, "too long", help);
            return None;
        }
        if !body.is_empty() && !is_normal(body) {
            let label = "`.`, `..`, `//` or a `/` at the end";
            let help = format!("write `\"/{}\"`", normal(body));
            self.refuse(message("is not normal"), label, help);
            return None;
        }
        if path == "/TRAILER!!!" {
            let help = "every reader of the archive would stop here: take another name";
            self.refuse(
                message("is the mark that ends an archive"),
                "not a usable name",
                help,
            );
            return None;
        }
        Some(text)
    }

    /// Returns a glob over the members of an archive.
    pub(super) fn glob(&self) -> Option<Spanned<String>> {
        let text = self.line()?;
        let glob = text.value.as_str();
        if glob.starts_with('/') || glob.starts_with("./") {
            let mut body = glob;
            while let Some(rest) = body.strip_prefix('/').or(body.strip_prefix("./")) {
                body = rest;
            }
            let message = format!(
                "{} starts with `{}`",
                self.what,
                &glob[..glob.len() - body.len()]
            );
            let label = "members of an archive have relative paths";
            self.refuse(message, label, format!("drop it: write `\"{body}\"`"));
            return None;
        }
        if let Some(directory) = glob.strip_suffix('/') {
            let message = format!("{} ends with `/`", self.what);
            let help = format!(
                "drop it: in a `tree`, `{directory}` is the directory and all that is in it"
            );
            self.refuse(message, "matches nothing", help);
            return None;
        }
        if !is_normal(glob) {
            let message = format!("{} is not normal", self.what);
            let help = format!("write `\"{}\"`", normal(glob));
            self.refuse(message, "`.`, `..` or `//` match nothing", help);
            return None;
        }
        if let Err(error) = glob::Pattern::new(glob) {
            let message = format!("{} is no glob: {}", self.what, error.msg);
            let help = "`*` matches within a name, `?` one character, `[a-z]` one of some, `**` any directories; `[*]` is a plain `*`";
            self.refuse(message, format!("at character {}", error.pos + 1), help);
            return None;
        }
        Some(text)
    }

    /// Returns a number of bytes: a number, or a text such as `128MiB`.
    pub(super) fn bytes(&self) -> Option<u64> {
        if let Some(number) = self.kdl().as_integer() {
            if let Ok(bytes) = u64::try_from(number) {
                return Some(bytes);
            }
            let help = "write a number of bytes, or a text such as `\"128MiB\"`";
            self.refuse(
                format!("{} is out of bounds", self.what),
                "not a number of bytes",
                help,
            );
            return None;
        }
        let text = self.quantity("a number of bytes, or a text such as `\"128MiB\"`")?;
        let (number, unit) = split(&text);
        let shift = match unit {
            "" => Some(0),
            "K" | "KiB" => Some(10),
            "M" | "MiB" => Some(20),
            "G" | "GiB" => Some(30),
            _ => None,
        };
        let Some(shift) = shift else {
            let unit_help = match unit.to_ascii_lowercase().as_str() {
                "k" | "kb" | "kib" => format!("write `\"{number}KiB\"`"),
                "m" | "mb" | "mib" => format!("write `\"{number}MiB\"`"),
                "g" | "gb" | "gib" => format!("write `\"{number}GiB\"`"),
                other if other.starts_with('.') => {
                    "write a whole number of a smaller unit, such as `\"1536MiB\"`".to_owned()
                }
                "b" => format!("write `{number}`"),
                _ => "write a number of bytes, or a text such as `\"128MiB\"`".to_owned(),
            };
            let message = match unit.starts_with('.') {
                true => format!("{} is not a whole number", self.what),
                false => format!("{} has the unknown unit `{unit}`", self.what),
            };
            let label = "the units are KiB, MiB and GiB (or K, M, G), in steps of 1024";
            self.refuse(message, label, unit_help);
            return None;
        };
        let bytes = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(1 << shift));
        if bytes.is_none() {
            let help = "write a whole number, with a unit of KiB, MiB or GiB";
            self.refuse(
                format!("{} is out of bounds", self.what),
                "not a number of bytes",
                help,
            );
        }
        bytes
    }

    /// Returns a time in milliseconds.
    pub(super) fn milliseconds(&self) -> Option<u64> {
        if let Some(number) = self.kdl().as_integer() {
            let message = format!("{} has no unit", self.what);
            let help = format!("write `\"{number}s\"`, `\"{number}ms\"` or `\"{number}min\"`");
            self.refuse(message, "the unit is missing", help);
            return None;
        }
        let text = self.quantity("a text such as `\"60s\"`")?;
        let (number, unit) = split(&text);
        let factor = match unit {
            "ms" => Some(1),
            "s" => Some(1000),
            "min" => Some(60_000),
            _ => None,
        };
        let Some(factor) = factor else {
            let meant = match unit.trim() {
                "" => format!("write `\"{number}s\"`"),
                "m" | "minutes" | "minute" | "mins" => format!("write `\"{number}min\"`"),
                "seconds" | "second" | "sec" | "secs" => format!("write `\"{number}s\"`"),
                _ => "write a time such as `\"60s\"`, `\"500ms\"` or `\"2min\"`".to_owned(),
            };
            let message = match unit {
                "" => format!("{} has no unit", self.what),
                _ => format!("{} has the unknown unit `{unit}`", self.what),
            };
            self.refuse(message, "the units are ms, s and min", meant);
            return None;
        };
        let time = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor));
        // A day: beyond it a time limit is a slip, and its sum with others could overflow.
        let time = time.filter(|time| (1..=86_400_000).contains(time));
        if time.is_none() {
            let help = "write a time from `\"1ms\"` to `\"1440min\"`";
            self.refuse(
                format!("{} is out of bounds", self.what),
                "more than none and at most a day",
                help,
            );
        }
        time
    }

    /// Returns a text that starts with a digit and is otherwise fit for a unit.
    fn quantity(&self, wanted: &str) -> Option<String> {
        let text = self.kdl().as_string().map(str::to_owned);
        let text = text.filter(|text| text.starts_with(|c: char| c.is_ascii_digit()));
        if text.is_none() {
            let message = format!("{} must be {wanted}", self.what);
            self.refuse(
                message,
                "not such a value",
                "write a whole number and its unit, without a space",
            );
        }
        text
    }

    /// Returns permission bits.
    pub(super) fn mode_bits(&self) -> Option<u32> {
        let raw = self.raw();
        let digits = self
            .kdl()
            .as_string()
            .unwrap_or(raw)
            .trim_start_matches("0o");
        let octal = digits.trim_start_matches('0');
        let is_octal = digits.chars().all(|c| ('0'..='7').contains(&c)) && !digits.is_empty();
        let (what, name) = (&self.what, self.assignment());
        let octal = if octal.is_empty() { "0" } else { octal };
        let help = match is_octal && octal.len() <= 4 {
            true => format!("write `{name}0o{octal}`"),
            false => format!("write it in octal, such as `{name}0o755`"),
        };
        let Some(number) = self.kdl().as_integer() else {
            self.refuse(
                format!("{what} must be a number in octal"),
                "not a number",
                help,
            );
            return None;
        };
        let plain = raw.trim_start_matches(['+', '-']);
        let prefixed = plain
            .get(..2)
            .is_some_and(|start| matches!(start.to_ascii_lowercase().as_str(), "0o" | "0x" | "0b"));
        if !prefixed && !self.is_param {
            let label = format!("decimal {number} would be 0o{number:o}");
            self.refuse(format!("{what} is not written in octal"), label, help);
            return None;
        }
        let mode = u32::try_from(number).ok().filter(|mode| *mode <= 0o7777);
        if mode.is_none() {
            let help = format!(
                "the type of the entry is no part of it: write the permission bits alone, such as `{name}0o755`"
            );
            self.refuse(
                format!("{what} is out of bounds"),
                "more than 0o7777, or below 0",
                help,
            );
        }
        mode
    }

    /// Returns a sha256.
    pub(super) fn sha256(&self) -> Option<Spanned<Digest>> {
        let text = self.text()?.value;
        let error = match text.parse::<Digest>() {
            Ok(value) => {
                return Some(Spanned {
                    value,
                    span: self.span.clone(),
                });
            }
            Err(error) => error,
        };
        let lower = text.to_ascii_lowercase();
        if lower.parse::<Digest>().is_ok() {
            let help = format!("write `sha256=\"{lower}\"`");
            self.refuse(
                "`sha256` is in upper case",
                "lower-case digits are wanted",
                help,
            );
            return None;
        }
        let pin = format!("`mkimg pin {}`", self.report.name);
        let bare = lower
            .strip_prefix("sha256")
            .map(|rest| rest.trim_start_matches([':', '-', '=']));
        let (label, help) = match (bare, text.len()) {
            (Some(digits), _) if digits.parse::<Digest>().is_ok() => (
                "64 hexadecimal digits alone are wanted",
                format!("drop the prefix: write `sha256=\"{digits}\"`"),
            ),
            (Some(_), _) => (
                "64 hexadecimal digits are wanted, no base64",
                format!("leave it out and let {pin} write it"),
            ),
            (_, 0) => (
                "empty",
                format!("{pin} fetches the file and writes it here"),
            ),
            (_, 32) => (
                "as long as an MD5",
                "what `sha256sum FILE` prints is wanted".to_owned(),
            ),
            (_, 40) => (
                "as long as a SHA-1",
                "what `sha256sum FILE` prints is wanted".to_owned(),
            ),
            (_, 128) => (
                "as long as a SHA-512",
                "what `sha256sum FILE` prints is wanted".to_owned(),
            ),
            _ => (
                "64 hexadecimal digits are wanted",
                format!(
                    "copy it again from `sha256sum FILE`, or leave it out and let {pin} write it"
                ),
            ),
        };
        let message = match error {
            DigestError::Length(count) => format!("`sha256` has {count} digits, not 64"),
            DigestError::Digit(bad) => {
                format!("`sha256` has the character `{}`", bad.escape_debug())
            }
        };
        self.refuse(message, label, help);
        None
    }
}

/// Splits a quantity into its number and its unit.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Says whether a relative path has no `.`, `..` or empty component.
pub(super) fn is_normal(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Returns a path with what is not normal resolved.
pub(super) fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}
