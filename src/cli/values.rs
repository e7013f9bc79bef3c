//! Values of options: how each kind is read, and which words there are, for error messages and completions.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::arch::Arch;
use crate::machine::{Choice, MachineKind, Net};
use crate::share::Place;

/// Returns the parser of an architecture, which also takes the names that others use, and explains words that are no names.
pub(super) fn arch() -> impl TypedValueParser<Value = Arch> {
    let names = Arch::ALL.map(|arch| {
        let others = arch.aliases().into_iter();
        let others = others.chain(arch.facts().near_names.iter().copied());
        PossibleValue::new(arch.name()).aliases(others)
    });
    PossibleValuesParser::new(names).try_map(|text| Arch::by_any_name(&text))
}

/// Returns the help of an option that takes an architecture; `default` says which one is taken without it.
pub(super) fn arch_help(default: &str) -> String {
    format!("The architecture, {} [default: {default}]", Arch::list(""))
}

/// Returns the parser of an accelerator.
pub(super) fn accelerator() -> impl TypedValueParser<Value = Choice> {
    PossibleValuesParser::new(["auto", "kvm", "hvf", "tcg"]).try_map(|text| text.parse::<Choice>())
}

/// Returns the parser of a board.
pub(super) fn machine() -> impl TypedValueParser<Value = MachineKind> {
    let names = MachineKind::NAMES.map(|(_, name)| name);
    PossibleValuesParser::new(names).try_map(|text| text.parse::<MachineKind>())
}

/// Returns the parser of a network.
pub(super) fn net() -> impl TypedValueParser<Value = Net> {
    PossibleValuesParser::new(["none", "user"]).try_map(|text| text.parse::<Net>())
}

/// Reads a place that images may come from: the shell knows better than we do what `~` is.
pub(super) fn place(text: &str) -> Result<Place, String> {
    Place::parse(text, Path::new(""), None).map_err(|error| error.problem)
}

/// Returns a number of threads.
pub(super) fn parse_jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "expected a number of threads, at least 1".to_owned())
}

/// Returns a number of bytes: as many, or with one of the units of a recipe (K, M and G are KiB, MiB and GiB).
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => {
            return Err(
                "expected a number of bytes, or one with KiB, MiB or GiB, such as 8GiB".to_owned(),
            );
        }
    };
    let size = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift));
    size.ok_or_else(|| "expected a whole number of bytes below 2^64".to_owned())
}

/// Returns a number of bytes that can be a machine's memory: who writes a few hundred means MiB.
pub(super) fn parse_memory(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        small @ ..=0xf_ffff => Err(format!(
            "{small} bytes are no memory for a machine: write the unit, such as 256MiB"
        )),
        size => Ok(size),
    }
}

/// Returns a time: a whole number of ms, s, min or h.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err("expected a time with its unit, such as 500ms, 90s, 2min or 1h".to_owned());
        }
    };
    let time = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor));
    time.map(Duration::from_millis)
        .ok_or_else(|| "expected a whole number before the unit".to_owned())
}
