//! The command line as a whole: how it is parsed, and the help, completions and manual pages that show it.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _, Parser};

use super::args::{Answer, Arguments, Global, Verb};
use super::check_round::CheckRound;

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

/// `mkimg check-round`, which `check` starts and nobody types: it is in no help.
#[derive(Debug, Parser)]
struct Round {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    round: CheckRound,
}

/// `mkimg answer`, which QEMU starts for a test's guest.
#[derive(Debug, Parser)]
struct Connection {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    answer: Answer,
}

/// Parses the words of a command line.
///
/// # Errors
/// What to print, which may also be the help that was asked for.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    if words.get(1).is_some_and(|verb| verb == "check-round") {
        let Round { global, round } = Round::try_parse_from(&words[1..])?;
        let verb = Verb::CheckRound(Box::new(round));
        return Ok(Arguments { global, verb });
    }
    if words.get(1).is_some_and(|verb| verb == "answer") {
        let Connection { global, answer } = Connection::try_parse_from(&words[1..])?;
        let verb = Verb::Answer(answer);
        return Ok(Arguments { global, verb });
    }
    let mut command = shown();
    let parsed = command.try_get_matches_from_mut(words);
    let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| hinted(error, &command).format(&mut command))
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
        for command in [shown(), Round::command(), Connection::command()] {
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
}
