//! `mkimg help`: of a verb, about the recipe language, about the options of every verb.

use super::args::Help;
use super::command;
use super::failure::Failure;
use super::output;

/// The reference of the recipe language.
pub(super) const RECIPE: &str = include_str!("../../docs/recipe.md");

pub(super) fn run(args: &Help) -> Result<(), Failure> {
    let mut shown = command::shown();
    let topic = match args.topic.as_deref() {
        None => return output::print(&shown.render_long_help().to_string()),
        Some("recipe") => return output::print(RECIPE),
        Some("options") => {
            return output::print(&command::options().render_long_help().to_string());
        }
        Some(topic) => topic,
    };
    // Verbs know the options of all only once the command was built.
    shown.build();
    match shown.find_subcommand_mut(topic) {
        Some(verb) => output::print(&verb.render_long_help().to_string()),
        None => Err(Failure::usage(
            format!("there is no help about `{}`", topic.escape_debug()),
            "name a verb (`mkimg help` lists them), `recipe` or `options`",
        )),
    }
}
