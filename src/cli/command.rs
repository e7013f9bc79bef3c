//! The command line as a whole: how it is parsed, and the help, completions and manual pages that show it.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, Command, CommandFactory as _, FromArgMatches as _, Parser};

use super::args::{Arguments, Verb};
use super::global::Global;

/// The verbs as `--help` lists them.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Make and boot",
        &["new", "realize", "run", "test", "pin", "add"],
    ),
    ("Look", &["show", "ls", "cat", "why", "diff", "sbom"]),
    ("Prove", &["lock", "check"]),
    (
        "Share",
        &[
            "export", "import", "push", "pull", "sign", "verify", "attest",
        ],
    ),
    ("Keep", &["gc", "cache", "completions", "man", "help"]),
];

const EXAMPLES: &str = "\
Examples:
  mkimg new hello                      write images/hello.kdl, a recipe to start from
  mkimg realize images/hello.kdl       make the image, print its path
  mkimg show images/hello.kdl          what it is and what its size is made of

Exit codes: 0 done, 1 failed, 2 wrong usage or recipe, 3 a hash or signature did not match,
4 not reproducible or lock out of date, 5 a boot or test failed, 130 interrupted.

`mkimg VERB --help` describes a verb, `mkimg help recipe` the recipe language, `mkimg help options`
the options of every verb.";

/// What other tools call our verbs.
const HINTS: [(&[&str], &str); 7] = [
    (
        &["build", "make", "create"],
        "`mkimg realize` makes the image of a recipe",
    ),
    (&["init"], "`mkimg new NAME` writes a recipe to start from"),
    (
        &["update", "upgrade", "refresh"],
        "`mkimg pin --refresh` fetches the sources anew, and `mkimg lock` accepts what comes of it",
    ),
    (
        &["clean", "prune", "purge"],
        "`mkimg gc` removes from the cache what nothing needs",
    ),
    (
        &["boot", "start", "exec", "qemu"],
        "`mkimg run` boots the image of a recipe",
    ),
    (
        &["search", "install"],
        "a recipe names each source by its address: `mkimg help recipe`",
    ),
    (
        &["inspect", "info", "list", "tree"],
        "`mkimg show` says what an image is, `mkimg ls` lists its entries",
    ),
];

/// The words behind a verb: its own options, and those of every verb.
#[derive(Debug, Parser)]
struct Words<V: Args> {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    verb: V,
}

impl<V: Args> Words<V> {
    /// Parses them; the first is the verb.
    fn parse(words: &[OsString], make: impl Fn(V) -> Verb) -> Result<Arguments, clap::Error> {
        let Words { global, verb } = Words::<V>::try_parse_from(words)?;
        let verb = make(verb);
        Ok(Arguments { global, verb })
    }
}

/// Parses the words of a command line.
///
/// # Errors
/// What to print, which may also be the help that was asked for.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some(parsed) = direct(&words) {
        return parsed;
    }
    let mut command = shown();
    let parsed = command.try_get_matches_from_mut(words);
    let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| hinted(error, &command).format(&mut command))
}

/// Parses a line that begins with a verb without building all others, which takes longer than a `realize` that has nothing to do.
/// `None` is for the command as a whole: help, and what is wrong.
fn direct(words: &[OsString]) -> Option<Result<Arguments, clap::Error>> {
    let words = words.get(1..)?;
    let parsed = match words.first()?.to_str()? {
        // These two are started by `check` and by QEMU, and typed by nobody: they are in no help.
        "check-round" => {
            return Some(Words::parse(words, |verb| Verb::CheckRound(Box::new(verb))));
        }
        "answer" => return Some(Words::parse(words, Verb::Answer)),
        "realize" => Words::parse(words, Verb::Realize),
        "run" => Words::parse(words, Verb::Run),
        "test" => Words::parse(words, Verb::Test),
        "check" => Words::parse(words, Verb::Check),
        "lock" => Words::parse(words, Verb::Lock),
        "show" => Words::parse(words, Verb::Show),
        _ => return None,
    };
    parsed.ok().map(Ok)
}

/// Adds what is meant to the error for a verb of another tool, in the place of names that only look alike.
fn hinted(mut error: clap::Error, command: &Command) -> clap::Error {
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let hint = HINTS.iter().find(|(verbs, _)| verbs.contains(&&**verb));
    let Some((_, hint)) = hint else {
        return error;
    };
    let text = format!("there is no verb `{verb}`\n\n  tip: {hint}\n");
    error = clap::Error::raw(ErrorKind::InvalidSubcommand, text);
    error.with_cmd(command)
}

/// Returns the command with the help that is printed: verbs in groups, and the options of every verb in one place.
pub(super) fn shown() -> Command {
    let command = Arguments::command();
    let verbs = groups(&command);
    command
        .mut_args(|arg| match arg.is_global_set() {
            true => arg.hide(true),
            false => arg,
        })
        .help_template("{about}\n\n{usage-heading} {usage}{after-help}")
        .after_help(format!("{verbs}\n{EXAMPLES}"))
}

/// Returns the command for completions and manual pages: with all options.
pub(super) fn documented() -> Command {
    Arguments::command().after_help(EXAMPLES)
}

/// Returns the help about the options of every verb.
pub(super) fn options() -> Command {
    let command = Arguments::command();
    let global: Vec<Arg> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .cloned()
        .collect();
    Command::new("mkimg")
        .args(global)
        .disable_help_flag(true)
        .max_term_width(100)
        .help_template("{options}")
}

fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (title, verbs) in GROUPS {
        text.push_str(&format!("{title}:\n"));
        for verb in verbs {
            let about = command.find_subcommand(verb).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let about = textwrap::fill(
                &about,
                textwrap::Options::new(100)
                    .initial_indent(&format!("  {verb:<12} "))
                    .subsequent_indent("               "),
            );
            text.push_str(&about);
            text.push('\n');
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_one_group_and_the_command_is_sound() {
        let (round, answer) = (
            Words::<crate::cli::check_round::CheckRound>::command(),
            Words::<crate::cli::args::Answer>::command(),
        );
        for command in [shown(), round, answer] {
            command.debug_assert();
        }
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, verbs)| *verbs)
            .copied()
            .collect();
        grouped.sort_unstable();
        let command = Arguments::command();
        let mut verbs: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
    }

    #[test]
    fn the_verbs_of_other_tools_lead_to_ours_and_are_none_of_them() {
        let command = Arguments::command();
        for (others, hint) in HINTS {
            for other in others {
                assert!(command.find_subcommand(other).is_none(), "{other}");
                let words = ["mkimg", other].map(OsString::from);
                let error = parse(words).unwrap_err();
                assert_eq!(error.exit_code(), 2);
                assert!(error.to_string().contains(hint), "{error}");
            }
        }
    }

    #[test]
    fn a_line_that_begins_with_a_verb_is_read_as_the_whole_command_reads_it() {
        let lines = [
            "realize",
            "realize minimal --jobs 2 -qq",
            "realize -C x --mirror a --mirror b minimal --locked --arch aarch64",
            "run minimal -v -v --offline -- -vga none",
            "test --cache x a --junit -",
            "check --all images --max-unpacked 1GiB",
            "lock --check",
            "show --max-download 1 a",
            "realize --bad",
            "realize -q -v",
            "realize --help",
            "lock a b",
        ];
        for line in lines {
            let words: Vec<OsString> = format!("mkimg {line}")
                .split(' ')
                .map(OsString::from)
                .collect();
            let whole = shown().try_get_matches_from(&words);
            let whole = whole.and_then(|matches| Arguments::from_arg_matches(&matches));
            let ours = direct(&words).and_then(Result::ok);
            // What is wrong, or asks for help, is left to the whole command.
            assert_eq!(
                ours.map(|read| format!("{read:?}")),
                whole.ok().map(|read| format!("{read:?}")),
                "{line}"
            );
        }
    }
}
