//! What was varied, and whether it was: one row for each variation.

use super::variation::{Seen, VARIATIONS};
use super::world::{Ground, World};

/// One variation over all rounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What this process sees.
    pub here: String,
    /// What each round saw.
    pub rounds: Vec<String>,
    /// Did a round see what was meant, and other than here or the other rounds?
    pub applied: bool,
    /// Why it was not.
    pub why: Option<String>,
}

/// Judges the variations of rounds, each with its world, what was meant beside that, what was seen, and the seconds since
/// 1970 when it ended.
pub fn rows(ground: &Ground, rounds: &[(World, Seen, Seen, i64)]) -> Vec<Row> {
    VARIATIONS
        .iter()
        .map(|name| row(name, ground, rounds))
        .collect()
}

fn row(name: &'static str, ground: &Ground, rounds: &[(World, Seen, Seen, i64)]) -> Row {
    let here = ground.seen.get(name).cloned().unwrap_or_default();
    let of = |seen: &Seen| {
        seen.get(name)
            .cloned()
            .unwrap_or_else(|| "not told".to_owned())
    };
    let mut seen: Vec<String> = rounds.iter().map(|(_, _, seen, _)| of(seen)).collect();
    let mut meant = 0;
    let mut wrong = None;
    let mut other = false;
    for ((world, place, _, now), seen) in rounds.iter().zip(&seen) {
        let wanted = world.meant.get(name).or_else(|| place.get(name));
        let fits = match (name, world.shift, wanted) {
            ("clock", Some(shift), _) => {
                let off = seen.parse::<i64>().unwrap_or(0) - (now + shift);
                Some(off.abs() < 3600)
            }
            (_, _, Some(wanted)) => Some(wanted == seen),
            _ => None,
        };
        match fits {
            Some(true) => {
                meant += 1;
                other |= *seen != here;
            }
            Some(false) => wrong = Some(format!("round {} saw `{seen}`", world.number + 1)),
            None => {}
        }
    }
    // Files were made here in one of two orders, and nobody knows in which: both have to be seen.
    if name == "creation order" {
        other = seen.iter().any(|order| *order != seen[0]);
    }
    let missing = rounds
        .iter()
        .find_map(|(world, ..)| world.missing.get(name).cloned());
    let applied = meant > 0 && other && wrong.is_none();
    let why = (!applied).then(|| {
        let same = || match name {
            "creation order" => "one round sees one order: `--rounds 2` sees both".to_owned(),
            _ => format!("it is `{here}` here too"),
        };
        missing.or(wrong).unwrap_or_else(same)
    });
    // Not all of another user: what the kernel writes on disk is still this one's.
    if name == "user" && applied && !ground.root {
        for user in &mut seen {
            user.push_str(&format!(" in a user namespace, on disk {here}"));
        }
    }
    Row {
        name,
        here,
        rounds: seen,
        applied,
        why,
    }
}
