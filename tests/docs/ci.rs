//! The workflows of `docs/ci.md` do what the page says: their scripts are run as they stand there, in a project of the test's
//! own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::{self, Project, mirror, repository, run};
use crate::support;

/// A script of a workflow.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    /// The name of its step, or of its list.
    name: String,
    text: String,
}

/// Returns the workflow of a mark: the block of the page that begins with "yaml MARK".
fn workflow(mark: &str) -> String {
    let page = fs::read_to_string(repository().join("docs/ci.md")).unwrap();
    let (_, rest) = page.split_once(&format!("```yaml {mark}\n")).unwrap();
    rest.split_once("```\n").unwrap().0.to_owned()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the lines below the one at `at` that are deeper than `depth`, without what they have in common.
fn block(lines: &[&str], at: usize, depth: usize) -> String {
    let inside = lines[at + 1..]
        .iter()
        .take_while(|line| line.is_empty() || indent(line) > depth);
    let inside: Vec<&str> = inside.copied().collect();
    let common = inside.iter().filter(|line| !line.is_empty());
    let common = common.map(|line| indent(line)).min().unwrap_or(0);
    let text: Vec<&str> = inside
        .iter()
        .map(|line| &line[common.min(line.len())..])
        .collect();
    format!("{}\n", text.join("\n").trim_end())
}

/// Reads as much YAML as workflows of GitHub need: `run:` of each step, which `name:` names.
fn github(text: &str) -> Vec<Script> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut scripts, mut name) = (Vec::new(), String::new());
    for (at, line) in lines.iter().enumerate() {
        let inner = line.trim_start().trim_start_matches("- ");
        if let Some(given) = inner.strip_prefix("name: ") {
            name = given.to_owned();
        } else if let Some(script) = inner.strip_prefix("run: ") {
            let text = match script {
                "|" => block(&lines, at, indent(line)),
                one => format!("{one}\n"),
            };
            let name = name.clone();
            scripts.push(Script { name, text });
        }
    }
    scripts
}

/// Reads as much YAML as workflows of GitLab need: the items of `before_script:`, `script:` and `after_script:`.
fn gitlab(text: &str) -> Vec<Script> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut scripts, mut list): (Vec<Script>, Option<(usize, String)>) = (Vec::new(), None);
    for (at, line) in lines.iter().enumerate() {
        let depth = indent(line);
        if let Some(name) = line.trim().strip_suffix("script:") {
            let name = format!("{name}script");
            scripts.push(Script {
                name: name.clone(),
                text: String::new(),
            });
            list = Some((depth, name));
        } else if list.as_ref().is_some_and(|(outer, _)| depth <= *outer) {
            list = None;
        } else if let (Some((outer, _)), Some(item)) = (&list, line.trim_start().strip_prefix("- "))
            && depth == outer + 2
        {
            let text = match item {
                "|" => block(&lines, at, depth),
                one => format!("{one}\n"),
            };
            scripts.last_mut().unwrap().text.push_str(&text);
        }
    }
    scripts
}

/// A project as CI checks it out, with what an earlier job left in the cache.
struct Checkout {
    project: Project,
}

impl Checkout {
    fn new() -> Checkout {
        let project = Project::with("minimal");
        let lock = repository().join("images/minimal.lock");
        fs::copy(lock, project.path("images/minimal.lock")).unwrap();
        for source in fs::read_dir(mirror()).unwrap() {
            run(project.mkimg(["add"]).arg(source.unwrap().path()));
        }
        // The pinned QEMU, where it is needed, is fetched once for all tests.
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        run(project
            .mkimg(["run", "minimal", "--dry-run", "--cache"])
            .arg(&shared));
        if shared.join("tools-v1").is_dir() {
            // Not the tool itself, which no job believes: what it is unpacked from.
            let mut copy = Command::new("cp");
            run(copy
                .arg("-a")
                .arg(shared.join("blobs-v1"))
                .arg(project.path("cache")));
        }
        let bin = project.path("home/bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_mkimg"), bin.join("mkimg")).unwrap();
        Checkout { project }
    }

    /// Runs a script as the services do: it ends at the first command that fails.
    fn run(&self, shell: &str, script: &str) -> Output {
        let mut command = Command::new(shell);
        self.project.prepare(&mut command);
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            self.project.path("home/bin").display()
        );
        command.env("PATH", path).args(["-e", "-c", script]);
        command.output().unwrap()
    }

    fn done(&self, shell: &str, script: &Script) {
        let output = self.run(shell, &script.text);
        assert!(
            output.status.success(),
            "{script:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn junit(&self) -> String {
        fs::read_to_string(self.project.path("junit/minimal.xml")).unwrap()
    }
}

fn names(scripts: &[Script]) -> Vec<&str> {
    scripts.iter().map(|script| script.name.as_str()).collect()
}

#[test]
fn the_workflow_for_github_passes_and_fails_as_the_page_says() {
    if mkimg::arch::Arch::host() != Some(mkimg::arch::Arch::X86_64) {
        return support::skip("the workflow boots an x86_64 image");
    }
    let scripts = github(&workflow("github"));
    assert_eq!(
        names(&scripts),
        ["mkimg", "cache", "check", "test", "keep the cache small"]
    );
    let checkout = Checkout::new();
    let lock = fs::read(checkout.project.path("images/minimal.lock")).unwrap();
    // Twice: the second job finds the cache of the first.
    for _ in 0..2 {
        for script in &scripts {
            checkout.done("bash", script);
        }
        let junit = checkout.junit();
        assert!(
            junit.contains("<testsuite") && !junit.contains("<failure"),
            "{junit}"
        );
        fs::remove_dir_all(checkout.project.path("junit")).unwrap();
    }
    assert_eq!(
        fs::read(checkout.project.path("images/minimal.lock")).unwrap(),
        lock
    );

    // A test that fails: the report says so, and the job goes red.
    let recipe = cli::repository_recipe("minimal");
    let recipe =
        format!("{recipe}\ntest \"never\" within=\"1s\" {{\n    expect \"never said\"\n}}\n");
    checkout.project.recipe("minimal", &recipe);
    assert_eq!(
        checkout.run("bash", &scripts[2].text).status.code(),
        Some(4),
        "a stale lock"
    );
    run(&mut checkout.project.mkimg(["lock", "minimal"]));
    assert_eq!(
        checkout.run("bash", &scripts[3].text).status.code(),
        Some(5)
    );
    assert!(
        checkout.junit().contains("<failure"),
        "{}",
        checkout.junit()
    );
    // A lock that is missing.
    fs::remove_file(checkout.project.path("images/minimal.lock")).unwrap();
    assert_eq!(
        checkout.run("bash", &scripts[2].text).status.code(),
        Some(4)
    );
}

#[test]
fn the_workflow_for_gitlab_passes_and_keeps_what_the_locks_need() {
    if mkimg::arch::Arch::host() != Some(mkimg::arch::Arch::X86_64) {
        return support::skip("the workflow boots an x86_64 image");
    }
    let scripts = gitlab(&workflow("gitlab"));
    assert_eq!(names(&scripts), ["before_script", "script", "after_script"]);
    let checkout = Checkout::new();
    // `before_script` and `script` are one shell there, `after_script` is another.
    let text = format!("{}{}", scripts[0].text, scripts[1].text);
    let name = "job".to_owned();
    checkout.done("sh", &Script { name, text });
    checkout.done("sh", &scripts[2]);
    assert!(checkout.junit().contains("<testsuite"));
    // With next to no room only what the lock needs is left, and that still realizes without a network.
    run(&mut checkout.project.mkimg(["gc", "--older", "0s"]));
    run(&mut checkout
        .project
        .mkimg(["realize", "minimal", "--locked", "--offline"]));
}

#[test]
fn scripts_are_read_out_of_yaml_whole() {
    let text = "steps:\n  - uses: x\n  - name: a\n    run: one two\n  - name: b\n    if: always()\n    run: |\n      for x; do\n        y\n\n      done\n  - uses: z\n";
    let script = |name: &str, text: &str| Script {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let expected = [
        script("a", "one two\n"),
        script("b", "for x; do\n  y\n\ndone\n"),
    ];
    assert_eq!(github(text), expected);
    let text = "job:\n  paths:\n    - p\n  script:\n    - one\n    - |\n      two\n        three\n    - four\n  artifacts:\n    - x\n";
    assert_eq!(
        gitlab(text),
        [script("script", "one\ntwo\n  three\nfour\n")]
    );
}
