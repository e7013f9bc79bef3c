//! `mkimg completions`: for the shell.
//!
//! clap's script knows verbs, options and the words that an option takes. What it cannot know is added here: the recipes in
//! `images/`, for the verbs that take one.

use clap::Command;
use clap_complete::Shell;

use super::args::Completions;
use super::command;
use super::failure::Failure;
use super::output;

pub(super) fn run(args: &Completions) -> Result<(), Failure> {
    let mut command = command::documented();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mkimg", &mut text);
    let text = String::from_utf8_lossy(&text);
    let verbs = taking_recipes(&command);
    output::print(&match args.shell {
        Shell::Bash => format!("{text}\n{}", bash(&verbs, &with_values(&command))),
        Shell::Zsh => zsh(&text),
        Shell::Fish => format!("{text}{}", fish(&verbs)),
        _ => text.into_owned(),
    })
}

/// Returns the verbs whose first word is a recipe.
fn taking_recipes(command: &Command) -> Vec<String> {
    let takes = |verb: &&Command| {
        let mut words = verb.get_positionals();
        words.any(|arg| matches!(arg.get_id().as_str(), "recipe" | "recipes"))
    };
    let verbs = command.get_subcommands().filter(takes);
    verbs.map(|verb| verb.get_name().to_owned()).collect()
}

/// Returns the options, of every verb, behind which stands a value.
fn with_values(command: &Command) -> Vec<String> {
    let all = command.get_subcommands().chain([command]);
    let mut names = Vec::new();
    for arg in all.flat_map(Command::get_arguments) {
        if arg.get_action().takes_values() {
            names.extend(arg.get_long().map(|name| format!("--{name}")));
            names.extend(arg.get_short().map(|name| format!("-{name}")));
        }
    }
    names.sort();
    names.dedup();
    names
}

fn bash(verbs: &[String], with_values: &[String]) -> String {
    format!(
        r#"_mkimg_recipes() {{
    _mkimg "$@"
    local word file
    local -a kept=()
    # Placeholders such as [RECIPE] are no words to type.
    for word in "${{COMPREPLY[@]}}"; do
        [[ $word == [\[\<]* ]] || kept+=("$word")
    done
    COMPREPLY=("${{kept[@]}}")
    [[ $2 == -* ]] && return 0
    case "$3" in {values}) return 0 ;; esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$word" in {verbs})
            COMPREPLY=()
            for file in images/*.kdl; do
                file=${{file##*/}} file=${{file%.kdl}}
                [[ $file != "*" && $file == "$2"* ]] && COMPREPLY+=("$file")
            done
            compopt -o filenames 2>/dev/null
            while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$2")
            return 0 ;;
        esac
    done
}}
complete -F _mkimg_recipes -o bashdefault -o default mkimg
"#,
        verbs = verbs.join("|"),
        values = with_values.join("|"),
    )
}

/// Returns the script with another action for recipes.
fn zsh(text: &str) -> String {
    const ACTION: &str = r#"_mkimg_recipes() {
    local -a recipes
    recipes=(images/*.kdl(N:t:r))
    compadd -a recipes
    _files
}

"#;
    let mut out = String::new();
    for line in text.lines() {
        let is_recipe = ["':recipe -- ", "'::recipe -- ", "'*::recipes -- "]
            .iter()
            .any(|start| line.starts_with(start));
        if is_recipe && let Some((head, _)) = line.rsplit_once(":_") {
            out.push_str(&format!("{head}:_mkimg_recipes' \\\n"));
            continue;
        }
        // Before the first function: the file may be loaded by its name, and what ends it calls `_mkimg`.
        if line.starts_with("_mkimg() {") {
            out.push_str(ACTION);
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn fish(verbs: &[String]) -> String {
    format!(
        "complete -c mkimg -n \"__fish_seen_subcommand_from {}\" -a \"(string replace -r '^images/(.*)\\.kdl\\$' '\\$1' -- images/*.kdl)\"\n",
        verbs.join(" ")
    )
}
