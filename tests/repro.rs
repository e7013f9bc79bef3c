//! The same recipe gives the same bytes whatever the world around it is like. Each test first shows that the disturbance
//! arrived, then that the identities are those of `tests/golden/`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;

use cli::{Project, identities, json, repository, run, stdout};

const RECIPE: &str = "images/minimal.kdl";

/// Returns what `tests/golden/` says of the minimal image.
fn golden() -> String {
    fs::read_to_string(repository().join("tests/golden/minimal.x86_64")).unwrap()
}

/// Realizes the minimal image of a project through a wrapper (a program and its arguments), which a probe goes through, too.
/// Returns what the probe printed.
fn realize_through(project: &Project, wrapper: &[&str], probe: &[&str], more: &[&str]) -> String {
    let through = |inner: Vec<String>| {
        let mut words: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).collect();
        words.extend(inner);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        project.prepare(&mut command);
        command
    };
    let probed = run(&mut through(
        probe.iter().map(|word| (*word).to_owned()).collect(),
    ));
    let mut inner = vec![env!("CARGO_BIN_EXE_mkimg").to_owned()];
    inner.extend(project.realize_args(RECIPE));
    inner.extend(["--arch", "x86_64"].map(str::to_owned));
    inner.extend(more.iter().map(|word| (*word).to_owned()));
    let image = json(&run(&mut through(inner)));
    assert_eq!(image["up_to_date"], false, "the image was made, not found");
    assert_eq!(identities(&image), golden());
    stdout(&probed).trim().to_owned()
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for jobs in ["1", "2", "3", "8"] {
        let project = Project::with("minimal");
        let mut command = project.mkimg(project.realize_args(RECIPE));
        let output = run(command.args(["--arch", "x86_64", "-v", "--jobs", jobs]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains(&format!("compressing on {jobs} thread")),
            "{said}"
        );
        assert_eq!(identities(&json(&output)), golden(), "{jobs} threads");
    }
}

// pitfall 3, 57
#[test]
fn the_umask_changes_no_byte_and_no_mode_of_the_cache() {
    for umask in ["000", "022", "077"] {
        let project = Project::with("minimal");
        let wrapper = ["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"];
        let seen = realize_through(&project, &wrapper, &["sh", "-c", "umask"], &[]);
        assert_eq!(seen, format!("0{umask}"));
        let modes = "find cache -type f ! -name '*.lock' -printf '%m\\n' -o -type d -printf '%m\\n' | sort -u";
        let mut find = Command::new("sh");
        project.prepare(find.args(["-c", modes]));
        // 600 is of the token alone, which is the user's.
        let expected = "444\n600\n644\n755\n";
        assert_eq!(stdout(&run(&mut find)), expected, "umask {umask}");
    }
}

// pitfall 49
#[test]
fn time_zone_language_and_home_change_no_byte() {
    let project = Project::with("minimal");
    // Of the test's own: mkimg keeps its records there.
    let home = format!("HOME={}", project.path("another home").display());
    let set = [
        "env",
        "TZ=Pacific/Kiritimati",
        "LC_ALL=tr_TR.UTF-8",
        "LANG=de_DE",
        &home,
        "SOURCE_DATE_EPOCH=1234567890",
        "USER=mallory",
        "TMPDIR=/nonexistent",
    ];
    let probe = [
        "sh",
        "-c",
        "date -d @0 +%H; echo $LC_ALL $HOME $SOURCE_DATE_EPOCH",
    ];
    let seen = realize_through(&project, &set, &probe, &[]);
    let home = &home["HOME=".len()..];
    assert_eq!(seen, format!("13\ntr_TR.UTF-8 {home} 1234567890"));
}

#[test]
fn the_working_directory_and_the_way_to_the_recipe_change_no_byte() {
    let project = Project::with("minimal");
    let recipe = project.path(RECIPE);
    let mut args = project.realize_args(recipe.to_str().unwrap());
    args.extend(["--arch", "x86_64"].map(str::to_owned));
    let mut command = project.mkimg(args);
    command.current_dir("/");
    assert_eq!(identities(&json(&run(&mut command))), golden());
    // Found as a name, from the directory above, it is the same image: not even looked at again.
    let again = project.realize("minimal", &["--arch", "x86_64"]);
    assert_eq!(again["up_to_date"], true);
}

// pitfall 4
#[test]
fn an_ordinary_user_gets_the_same_bytes() {
    if !support::is_root() {
        return support::skip("needs root to become another user");
    }
    let project = Project::with("minimal");
    let mut chown = Command::new("chown");
    run(chown.args(["-R", "65534:65534"]).arg(project.path("")));
    let wrapper = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    assert_eq!(
        realize_through(&project, &wrapper, &["id", "-u"], &[]),
        "65534"
    );
}

// pitfall 7, 18
#[test]
fn a_clock_that_is_a_year_ahead_changes_no_byte() {
    let Some(faketime) = support::tool("faketime") else {
        return;
    };
    let project = Project::with("minimal");
    let year: u32 = stdout(&run(Command::new("date").arg("+%Y")))
        .trim()
        .parse()
        .unwrap();
    let wrapper = [faketime.to_str().unwrap(), "-f", "+366d"];
    let seen = realize_through(&project, &wrapper, &["date", "+%Y"], &[]);
    assert_eq!(seen, (year + 1).to_string());
}

// pitfall 5, 8
#[test]
fn the_file_system_of_the_cache_changes_no_byte() {
    if !support::is_root() {
        return support::skip("needs root to mount tmpfs and ext4");
    }
    let Some(mkfs) = support::tool("mkfs.ext4") else {
        return;
    };
    for (kind, magic) in [("tmpfs", "tmpfs"), ("ext4", "ext2/ext3")] {
        let project = Project::with("minimal");
        let disk = project.path("disk");
        let setup = match kind {
            "tmpfs" => "mount -t tmpfs none cache".to_owned(),
            _ => {
                fs::File::create(&disk).unwrap().set_len(256 << 20).unwrap();
                run(Command::new(&mkfs).arg("-q").arg(&disk));
                "mount -o loop disk cache".to_owned()
            }
        };
        // In a mount namespace of its own: nothing is left mounted, whatever happens.
        let script = format!("{setup} && \"$@\"");
        let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        let seen = realize_through(
            &project,
            &wrapper,
            &["stat", "-f", "-c", "%T", "cache"],
            &[],
        );
        assert_eq!(seen, magic);
    }
}

#[test]
fn a_cache_path_of_200_characters_changes_no_byte() {
    let project = Project::with("minimal");
    let short = project.path("").display().to_string().len();
    let long = format!("{}/c", "d".repeat(200 - short - 2));
    let cache = project.path(&long);
    assert_eq!(cache.display().to_string().len(), 200);
    realize_through(
        &project,
        &["env"],
        &["true"],
        &["--cache", cache.to_str().unwrap()],
    );
    assert!(cache.join("images-v1").is_dir());
}

// pitfall 41
#[test]
fn a_warm_cache_gives_the_bytes_of_a_cold_one() {
    let project = Project::with("minimal");
    realize_through(&project, &["env"], &["true"], &[]);
    fs::remove_dir_all(project.path("cache/images-v1")).unwrap();
    // No source can be fetched now: the bytes come from what the cache kept.
    let args = ["realize", RECIPE, "--json", "--offline", "--arch", "x86_64"];
    let image = json(&run(&mut project.mkimg(args)));
    assert_eq!(image["up_to_date"], false);
    assert_eq!(identities(&image), golden());
}

#[test]
fn a_recipe_with_crlf_or_a_byte_order_mark_gives_the_same_image() {
    let unix = cli::repository_recipe("minimal");
    let dos = unix.replace('\n', "\r\n");
    let marked = format!("\u{feff}{unix}");
    let mut plans = Vec::new();
    for text in [unix, dos, marked] {
        let project = Project::new();
        let path = project.recipe("minimal", &text);
        assert_eq!(fs::read(path).unwrap(), text.as_bytes());
        let image = project.realize(RECIPE, &["--arch", "x86_64"]);
        assert_eq!(identities(&image), golden());
        plans.push(image["plan"].clone());
    }
    assert_eq!((&plans[0], &plans[0]), (&plans[1], &plans[2]));
}

#[test]
fn every_recipe_of_the_repository_gives_its_golden_identities() {
    let mut checked = Vec::new();
    for (name, arch) in [
        ("minimal", "x86_64"),
        ("minimal", "aarch64"),
        ("minimal-riscv64", "riscv64"),
        ("modules", "x86_64"),
        ("modules", "aarch64"),
        ("net", "x86_64"),
        ("net", "aarch64"),
    ] {
        let path = format!("tests/golden/{name}.{arch}");
        let golden = fs::read_to_string(repository().join(&path)).unwrap_or_default();
        checked.push(format!("{name}.{arch}"));
        if (name, arch) == ("modules", "aarch64") {
            // The same of another architecture takes as long again: CI makes it, and holds it to the lock.
            let lock = fs::read_to_string(repository().join("images/modules.lock")).unwrap();
            let digests = golden
                .lines()
                .map(|line| line.split_whitespace().nth(1).unwrap());
            assert_eq!(golden.lines().count(), 4);
            for digest in digests {
                assert!(lock.contains(digest), "{path}: {digest}");
            }
            continue;
        }
        let project = Project::with(name);
        let image = project.realize(name, &["--arch", arch]);
        assert_eq!(identities(&image), golden, "{path}");
    }
    let mut there: Vec<String> = fs::read_dir(repository().join("tests/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    checked.sort();
    assert_eq!(
        there, checked,
        "each golden file is checked, and nothing else lies there"
    );
    // `article` needs a file from a server that CI does not reach; tests/article.rs realizes it from a stand-in.
    let known = ["article", "minimal", "minimal-riscv64", "modules", "net"];
    for entry in fs::read_dir(repository().join("images")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "kdl") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(
                known.contains(&name.as_str()),
                "give `{name}` a golden file and a line here"
            );
        }
    }
}
