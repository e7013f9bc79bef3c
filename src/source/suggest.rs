//! What somebody may have meant who named a member that is not there.

use super::archive_error::shown;
use super::names::{Names, What};

/// Suggestions in one message.
const MOST: usize = 3;

/// Names that are compared, and the longest of them: an error may take a moment, but not minutes.
const COMPARED: usize = 100_000;
const LONGEST: usize = 255;

/// Names below this likeness are noise.
const ALIKE: f64 = 0.75;

/// Returns what a member that is no file is, and what to do about it.
pub(super) fn not_a_file(names: &Names, number: usize) -> (String, String) {
    match names.what(number).unwrap_or(&What::Directory) {
        What::Symlink(target) => {
            let help = match resolved(&names.path(number), target) {
                Some(path) => format!("name `{}` instead", shown(&path)),
                None => "name what it points to instead".to_owned(),
            };
            (format!("a symlink to `{}`", shown(target)), help)
        }
        What::Directory => (
            "a directory".to_owned(),
            "`tree` takes directories".to_owned(),
        ),
        other => (
            other.noun().to_owned(),
            "only files can be taken one by one".to_owned(),
        ),
    }
}

/// Returns what to name instead of `text`, with `; ` in front; empty where there is nothing to say. `symlink` is one that
/// matched.
pub(super) fn instead(names: &Names, text: &str, symlink: Option<usize>) -> String {
    if let Some(number) = symlink.or_else(|| symlink_above(names, text))
        && let Some(What::Symlink(target)) = names.what(number)
    {
        let path = names.path(number);
        let below = text.as_bytes().get(path.len()..).unwrap_or_default();
        let name = resolved(&path, target).map(|mut to| {
            if symlink.is_none() {
                to.extend_from_slice(below);
            }
            format!(": name `{}` instead", shown(&to))
        });
        return format!(
            "; `{}` is a symlink to `{}`{}",
            shown(&path),
            shown(target),
            name.unwrap_or_default()
        );
    }
    let close = closest(names, text);
    match close.is_empty() {
        true => String::new(),
        false => format!("; did you mean {}?", close.join(", ")),
    }
}

/// Returns the number of a symlink that stands where a path has a directory.
fn symlink_above(names: &Names, text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes
        .filter_map(|(at, _)| names.find(&bytes[..at]))
        .find(|number| matches!(names.what(*number), Some(What::Symlink(_))))
}

/// Returns the normal path that a symlink at `path` points to; `None` where it leaves the archive.
fn resolved(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = match target.first() {
        Some(b'/') => Vec::new(),
        _ => path.split(|byte| *byte == b'/').collect(),
    };
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

fn closest(names: &Names, text: &str) -> Vec<String> {
    let plain: String = text.chars().filter(|c| !"*?[]".contains(*c)).collect();
    let base = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let mut found: Vec<(f64, String)> = (0..names.len().min(COMPARED))
        .filter(|number| matches!(names.what(*number), Some(What::File)))
        .map(|number| names.path(number))
        .filter(|path| path.len() <= LONGEST)
        .filter_map(|path| {
            let path = String::from_utf8(path).ok()?;
            let alike = match base(&path) == base(&plain) {
                // The right file in another directory is what is meant most often.
                true => 2.0,
                false => strsim::jaro_winkler(&plain, &path),
            };
            (alike >= ALIKE).then_some((alike, path))
        })
        .collect();
    found.sort_by(|one, other| {
        let order = other.0.total_cmp(&one.0);
        order.then_with(|| one.1.cmp(&other.1))
    });
    let exact = found.iter().filter(|(alike, _)| *alike > 1.0).count();
    let most = if exact > 0 { exact.min(MOST) } else { MOST };
    found
        .into_iter()
        .take(most)
        .map(|(_, path)| format!("`{}`", shown(path.as_bytes())))
        .collect()
}
