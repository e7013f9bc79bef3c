//! How a recipe is named on the command line, where `new` puts one, and where the cache is then.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::fs;

use cli::{Project, fails, run, stdout};
use tiny::Tiny;

#[test]
fn new_writes_where_the_other_verbs_look() {
    let project = Project::new();
    fs::remove_dir(project.path("images")).unwrap();
    let written = stdout(&run(&mut project.mkimg(["new", "hello"])));
    assert_eq!(written, "images/hello.kdl\n");
    let text = fs::read_to_string(project.path("images/hello.kdl")).unwrap();
    assert!(text.contains("image \"hello\""), "{text}");
    // Who stands in `images` gets no second one inside; and nothing is written over.
    let mut inside = project.mkimg(["new", "there"]);
    inside.current_dir(project.path("images"));
    assert_eq!(stdout(&run(&mut inside)), "there.kdl\n");
    let said = fails(&mut project.mkimg(["new", "hello"]), 2);
    assert!(
        said.contains("`images/hello.kdl` is there already"),
        "{said}"
    );
}

#[test]
fn a_recipe_is_found_by_its_path_its_name_or_its_file_name() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    fs::copy(tiny.path("images/tiny.kdl"), tiny.path("images/v1.2.kdl")).unwrap();
    // A directory of the same name is no recipe.
    fs::create_dir(tiny.path("tiny")).unwrap();
    let mut images = Vec::new();
    for name in [
        "images/tiny.kdl",
        "tiny",
        "tiny.kdl",
        "v1.2",
        "v1.2.kdl",
        "./images/v1.2.kdl",
    ] {
        images.push(stdout(&run(&mut tiny.project.mkimg(["realize", name]))));
    }
    images.dedup();
    assert_eq!(images.len(), 1, "{images:?}");
    let said = fails(&mut tiny.project.mkimg(["realize", "images"]), 2);
    assert!(
        said.contains("`images` is a directory, not a recipe"),
        "{said}"
    );
}

#[test]
fn an_empty_cache_variable_names_no_cache() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    for (cache, expected) in [("", "cache"), ("other", "other")] {
        let mut realize = tiny.realize(&[]);
        realize.env("MKIMG_CACHE", cache);
        let path = stdout(&run(&mut realize));
        let path = fs::canonicalize(tiny.path(path.trim())).unwrap();
        let expected = fs::canonicalize(tiny.path(expected)).unwrap();
        assert!(path.starts_with(&expected), "{path:?} {expected:?}");
    }
}
