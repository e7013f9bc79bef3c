//! Configuration files, as a user has them.

use std::fs;

use serde_json::Value;

use crate::cli::{fails, run};
use crate::team::{Team, realize, repository, tiny};
use crate::tiny::Tiny;

/// Writes the user's configuration.
fn user(taker: &Tiny, text: &str) {
    let directory = taker.path("home/.config/mkimg");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("config.kdl"), text).unwrap();
}

#[test]
fn the_users_file_names_places_and_trust_and_the_projects_names_places() {
    let Some(team) = Team::new() else { return };
    let server = team.fake(Some("trusted")).serve();
    let place = repository(&server);
    let keys = team.path("signers");
    let from = format!("from \"{place}\"\n");
    let trust = format!("trust \"{keys}\"\n");
    let cases = [
        ("all in the user's file", format!("{from}{trust}"), "", true),
        (
            "the place in the project's",
            trust.clone(),
            from.as_str(),
            true,
        ),
        ("the place in both", format!("{from}{trust}"), &from, true),
        ("no trust", from.clone(), "", false),
        (
            "no trust for the project's place",
            String::new(),
            &from,
            false,
        ),
        ("no place", trust.clone(), "", false),
    ];
    for (what, mine, projects, taken) in cases {
        let taker = tiny();
        user(&taker, &mine);
        fs::write(taker.path("mkimg.kdl"), projects).unwrap();
        let before = server.connections();
        let (found, said) = realize(&taker, &[]);
        assert_eq!(found["from"] != Value::Null, taken, "{what}: {said}");
        assert_eq!(
            server.connections() > before,
            taken,
            "{what}: nobody may be asked"
        );
        // Who named a place is told why nobody is asked; who cloned a project is not bothered.
        assert_eq!(
            said.contains("nobody is trusted"),
            what == "no trust",
            "{what}: {said}"
        );
        team.assert_same(&found, what);
    }
    // A verb that only looks takes it too; one that answers for this machine makes it.
    for (verb, asks) in [
        ("show", true),
        ("ls", true),
        ("lock", false),
        ("export", false),
    ] {
        let taker = tiny();
        user(&taker, &format!("{from}{trust}"));
        let before = server.connections();
        run(&mut taker.project.mkimg([verb, "images/tiny.kdl"]));
        assert_eq!(server.connections() > before, asks, "{verb}");
    }
    // `$XDG_CONFIG_HOME` moves it, and paths in it start there.
    let taker = tiny();
    let directory = taker.path("xdg/mkimg");
    fs::create_dir_all(&directory).unwrap();
    fs::copy(&keys, directory.join("keys")).unwrap();
    fs::write(directory.join("config.kdl"), format!("{from}trust keys\n")).unwrap();
    let mut command = taker.realize(&[]);
    let output = run(command.env("XDG_CONFIG_HOME", taker.path("xdg")));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("signed by ci@example"), "{said}");
}

#[test]
fn a_project_cannot_say_whom_to_trust() {
    let taker = tiny();
    fs::write(taker.path("mkimg.kdl"), "from \"/srv/x\"\ntrust \"keys\"\n").unwrap();
    let said = fails(&mut taker.realize(&[]), 2);
    for words in [
        "a project cannot say whom to trust",
        "mkimg.kdl:2:1",
        "your own `~/.config/mkimg/config.kdl`",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Not read where it would not be used.
    run(&mut taker.realize(&["--no-substitutes"]));
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let taker = tiny();
    user(&taker, "form \"/srv/x\"\n");
    let said = fails(&mut taker.realize(&[]), 2);
    assert!(said.contains("did you mean `from`?"), "{said}");
    user(&taker, "");
    let cases: [(&[&str], &str); 5] = [
        (&["--from", "ftp://x/"], "neither http nor https"),
        (
            &["--from", "registry.example/x:1"],
            "write `registry.example/x`",
        ),
        (&["--from", ""], "it is empty"),
        (
            &["--from", "/srv/x", "--no-substitutes"],
            "cannot be used with",
        ),
        (&["--from", "/srv/x", "--trust", "gone"], "gone"),
    ];
    for (args, words) in cases {
        let said = fails(&mut taker.realize(args), 2);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    fs::remove_file(taker.path("home/.config/mkimg/config.kdl")).unwrap();
    fs::create_dir(taker.path("home/.config/mkimg/config.kdl")).unwrap();
    let said = fails(&mut taker.realize(&[]), 2);
    assert!(said.contains("is no file"), "{said}");
}
