//! Outside programs judge the images: GNU cpio writes the same bytes for the same tree, and every reader reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/gnu_cpio.rs"]
mod gnu_cpio;
#[path = "support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use cli::{Project, mirror, run, stdout};
use mkimg::digest::{self, Digest};

/// The minimal image made by hand, with Debian's and GNU's own tools, in the directory `root`; nothing of mkimg takes part.
const BY_HAND: &str = r#"
set -eu
umask 022
mkdir root && cd root
dpkg-deb --fsys-tarfile "$BUSYBOX" | tar -x ./bin/busybox
chmod 755 bin/busybox
for applet in $(bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s /bin/busybox "bin/$applet"
done
if [ "$1" = modules ]; then
    dpkg-deb --fsys-tarfile "$LINUX" | tar -x --wildcards './lib/modules/*/kernel/fs/*'
fi
mkdir proc sys dev
mkdir -m 1777 tmp
mknod -m 600 dev/console c 5 1
cat > init
chmod 755 init
find . -exec touch -h -d @0 {} +
find . -mindepth 1 -printf '%P\0' | LC_ALL=C sort -z |
    cpio --quiet --null -o -H newc --reproducible --owner=0:0 > ../by-hand.cpio
"#;

/// Returns a file of a project whose sha256 is one of the recipe's.
fn source(text: &str, after: &str) -> PathBuf {
    let rest = &text[text.find(after).unwrap()..];
    let start = rest.find("sha256=\"").unwrap() + 8;
    mirror().join(&rest[start..start + 64])
}

/// Returns the text of `/init` as the image has it.
fn init_of(project: &Project, recipe: &str) -> Vec<u8> {
    let args = ["cat", recipe, "/init", "--arch", "x86_64", "--offline"];
    run(&mut project.mkimg(args)).stdout
}

fn unpacked(project: &Project, initramfs: &Path) -> PathBuf {
    let path = project.path("archive.cpio");
    let mut zcat = Command::new("gzip");
    zcat.arg("-dc")
        .arg(initramfs)
        .stdout(File::create(&path).unwrap());
    assert!(zcat.status().unwrap().success());
    path
}

fn sha256(path: &Path) -> Digest {
    digest::of_reader(&mut File::open(path).unwrap()).unwrap().0
}

// pitfall 2, 4, 6, 7, 15, 16, 17, 18, 20, 21, 22, 23
#[test]
fn gnu_cpio_writes_the_same_bytes_for_the_tree_made_by_hand() {
    if !support::is_root() {
        return support::skip("needs root to make a device node");
    }
    if ["dpkg-deb", "tar"]
        .iter()
        .any(|name| support::tool(name).is_none())
    {
        return;
    }
    let Some(cpio) = support::tool("cpio") else {
        return;
    };
    for recipe in ["minimal", "modules"] {
        let project = Project::new();
        // Of the modules a quarter: the rest lies no deeper, and is packed no other way.
        let text = cli::repository_recipe(recipe);
        let text = text.replace("lib/modules/**", "lib/modules/*/kernel/fs/**");
        project.recipe(recipe, &text);
        let image = project.realize(recipe, &["--arch", "x86_64"]);
        fs::write(project.path("init"), init_of(&project, recipe)).unwrap();
        let mut by_hand = Command::new("bash");
        project.prepare(&mut by_hand);
        by_hand.args(["-c", BY_HAND, "bash", recipe]);
        by_hand.env("BUSYBOX", source(&text, "source \"busybox\""));
        by_hand.env("LINUX", source(&text, "source \"linux\""));
        by_hand.stdin(File::open(project.path("init")).unwrap());
        run(&mut by_hand);
        let initramfs = PathBuf::from(image["path"].as_str().unwrap()).join("initramfs.cpio.gz");
        let ours = unpacked(&project, &initramfs);
        let mut theirs = fs::read(project.path("by-hand.cpio")).unwrap();
        if gnu_cpio::counts_links(&cpio) {
            let changed = gnu_cpio::two_links(&mut theirs);
            // The minimal image has no directory in a directory: nothing of GNU cpio's bytes was touched.
            assert!(recipe != "minimal" || changed == 0, "{changed}");
        }
        assert!(
            fs::read(&ours).unwrap() == theirs,
            "{recipe}: the archives differ"
        );
        assert_eq!(
            sha256(&ours).to_string(),
            image["identities"]["tree"].as_str().unwrap()
        );
    }
}

#[test]
fn every_reader_reads_the_image() {
    let project = Project::with("minimal");
    let image = project.realize("minimal", &["--arch", "x86_64"]);
    let initramfs = PathBuf::from(image["path"].as_str().unwrap()).join("initramfs.cpio.gz");
    let archive = unpacked(&project, &initramfs);
    run(Command::new("gzip").arg("-t").arg(&initramfs));
    let mut expected: Vec<String> = stdout(&run(&mut project.mkimg([
        "ls",
        "minimal",
        "--arch",
        "x86_64",
        "--offline",
    ])))
    .lines()
    .map(|line| {
        line.split(" /")
            .nth(1)
            .unwrap()
            .trim_end_matches(" ->")
            .to_owned()
    })
    .collect();
    expected.sort();
    let readers = [
        ("cpio", "cpio -it --quiet"),
        ("bsdcpio", "bsdcpio -it --quiet"),
        ("lsinitramfs", "cat > /dev/null; lsinitramfs \"$0\""),
    ];
    for (program, script) in readers {
        if support::tool(program).is_none() {
            continue;
        }
        let mut reader = Command::new("sh");
        reader
            .args(["-c", script])
            .arg(&initramfs)
            .stdin(File::open(&archive).unwrap());
        let mut names: Vec<String> = stdout(&run(&mut reader))
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        assert_eq!(names, expected, "{program}");
    }
}

// pitfall 52
#[test]
fn the_applets_are_those_that_busybox_itself_lists() {
    let project = Project::with("minimal");
    let mut names = Vec::new();
    for arch in ["x86_64", "aarch64"] {
        project.realize("minimal", &["--arch", arch]);
        let args = [
            "ls",
            "minimal",
            "/bin",
            "--arch",
            arch,
            "--offline",
            "--json",
        ];
        let listed = cli::json(&run(&mut project.mkimg(args)));
        let links = listed
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["type"] == "symlink");
        let mut links: Vec<String> = links
            .map(|entry| {
                entry["path"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("/bin/")
                    .to_owned()
            })
            .collect();
        links.push("busybox".to_owned());
        links.sort();
        names.push(links);
    }
    let busybox = project.path("busybox");
    let bytes = run(&mut project.mkimg([
        "cat",
        "minimal",
        "/bin/busybox",
        "--arch",
        "x86_64",
        "--offline",
    ]))
    .stdout;
    fs::write(&busybox, bytes).unwrap();
    run(Command::new("chmod").arg("+x").arg(&busybox));
    let mut listed: Vec<String> = stdout(&run(Command::new(&busybox).arg("--list")))
        .lines()
        .map(str::to_owned)
        .collect();
    listed.sort();
    assert_eq!(listed.len(), 269);
    assert_eq!(names[0], listed);
    // Debian builds both architectures from one configuration.
    assert_eq!(names[1], listed);
}

#[test]
fn other_processors_compress_to_the_same_bytes() {
    for program in [
        "aarch64-linux-gnu-gcc",
        "i686-linux-gnu-gcc",
        "s390x-linux-gnu-gcc",
        "riscv64-linux-gnu-gcc",
        "qemu-aarch64",
        "qemu-i386",
        "qemu-s390x",
        "qemu-riscv64",
        "python3",
    ] {
        if support::tool(program).is_none() {
            return;
        }
    }
    // The sources of the recipes are in the cache beside the mirror.
    let cache = mirror().with_file_name("cache");
    let mut script = Command::new("tests/other-arch.sh");
    script
        .current_dir(cli::repository())
        .arg(env!("CARGO_BIN_EXE_mkimg"))
        .env("MKIMG_CACHE", cache);
    let said = stdout(&run(&mut script));
    for machine in ["aarch64", "i686", "s390x", "riscv64"] {
        for (recipe, level) in [
            ("modules", 7),
            ("minimal", 1),
            ("minimal", 6),
            ("minimal", 9),
            ("minimal", 12),
        ] {
            if (machine, recipe) == ("riscv64", "modules") {
                continue;
            }
            let line = format!("on {machine}, {recipe} at level {level}: ");
            let found = said.lines().find(|shown| shown.contains(&line));
            assert!(
                found.is_some_and(|found| found.ends_with("blocks, equal")),
                "{line}\n{said}"
            );
        }
    }
}

#[test]
fn another_compressor_is_told_from_the_pinned_one() {
    if support::tool("python3").is_none() {
        return;
    }
    let project = Project::with("minimal");
    let mut realize = project.mkimg(project.realize_args("images/minimal.kdl"));
    let image = cli::json(&run(realize.args(["--arch", "x86_64"])));
    let initramfs = Path::new(image["path"].as_str().unwrap()).join("initramfs.cpio.gz");
    let plain = fs::read(unpacked(&project, &initramfs)).unwrap();
    // Each block by libdeflate at a level, as tests/second/blocks.c writes it.
    let streams = |level| {
        let level = libdeflater::CompressionLvl::new(level).unwrap();
        let mut compressor = libdeflater::Compressor::new(level);
        let mut streams = Vec::new();
        for block in plain.chunks(512 * 1024) {
            let mut stream = vec![0; compressor.deflate_compress_bound(block.len())];
            let size = compressor.deflate_compress(block, &mut stream).unwrap();
            streams.extend(u32::try_from(size).unwrap().to_le_bytes());
            streams.extend(&stream[..size]);
        }
        streams
    };
    let compare = |streams: &[u8]| {
        let path = project.path("streams");
        fs::write(&path, streams).unwrap();
        let script = cli::repository().join("tests/second/streams.py");
        let mut python = Command::new("python3");
        let output = python.arg(script).arg(&initramfs).arg(path).output();
        output.unwrap().status.success()
    };
    let right = streams(7);
    assert!(compare(&right));
    assert!(!compare(&streams(6)), "another level");
    assert!(!compare(&right[..right.len() - 1]), "the end is missing");
    assert!(!compare(b""), "an emulator that did nothing");
    for at in [4, 5, right.len() / 2, right.len() - 1] {
        let mut wrong = right.clone();
        wrong[at] ^= 0x10;
        assert!(!compare(&wrong), "byte {at}");
    }
}

/// Notes in `$SEEN` what a build under reprotest sees of the world, a line a build.
const NOTE: &str = r#"printf '%s|' "$(id -un)" "$(umask)" "$TZ" "$LANG" "$HOME" "$PWD" "$(uname -n)" "$(date +%Y)" "$(ls -fm)" "$PATH" >>$SEEN; echo >>$SEEN"#;

#[test]
fn reprotest_changes_all_that_it_can_and_finds_no_difference() {
    if !support::is_root() {
        return support::skip("reprotest needs root to change the user and the host's name");
    }
    for program in ["reprotest", "disorderfs", "faketime", "sudo", "diffoscope"] {
        if support::tool(program).is_none() {
            return;
        }
    }
    let project = Project::with("minimal");
    fs::copy(env!("CARGO_BIN_EXE_mkimg"), project.path("images/mkimg")).unwrap();
    let sources = project.path("images/sources");
    fs::create_dir(&sources).unwrap();
    let text = cli::repository_recipe("minimal");
    for name in ["linux", "busybox"] {
        let found = source(&text, &format!("source \"{name}\""));
        fs::copy(&found, sources.join(found.file_name().unwrap())).unwrap();
    }
    let world = project.path("world");
    fs::write(&world, "").unwrap();
    let open = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&world, 0o666);
    open(&project.path(""), 0o755);
    // reprotest calls `sudo -h localhost`, which sudo refuses since its fix of CVE-2025-32462.
    fs::create_dir(project.path("bin")).unwrap();
    let sudo = project.path("bin/sudo");
    fs::write(
        &sudo,
        "#!/bin/sh\n[ \"$1\" = -h ] && shift 2\nexec /usr/bin/sudo \"$@\"\n",
    )
    .unwrap();
    open(&sudo, 0o755);
    // In the command itself, since reprotest changes the environment.
    let build = format!(
        "SEEN={}; {NOTE}; ./mkimg realize minimal.kdl --arch x86_64 --offline --mirror sources --cache cache \
         --out-link link && cp link/initramfs.cpio.gz link/image.json .",
        world.display()
    );
    let mut reprotest = Command::new("reprotest");
    reprotest
        .current_dir(project.path("images"))
        .env(
            "PATH",
            format!(
                "{}:/usr/sbin:/usr/bin:/sbin:/bin",
                project.path("bin").display()
            ),
        )
        .args([
            "--vary=user_group.available+=nobody,domain_host.use_sudo=1",
            "-c",
            &build,
            ".",
        ])
        .arg("initramfs.cpio.gz image.json");
    let said = stdout(&run(&mut reprotest));
    assert!(said.contains("Reproduction successful"), "{said}");
    let golden = fs::read_to_string(cli::repository().join("tests/golden/minimal.x86_64")).unwrap();
    let initramfs = golden
        .lines()
        .find_map(|line| line.strip_prefix("initramfs "));
    assert!(said.contains(initramfs.unwrap()), "{said}");
    // The disturbances arrived: each thing that both builds saw was another one.
    let seen = fs::read_to_string(&world).unwrap();
    let lines: Vec<Vec<&str>> = seen.lines().map(|line| line.split('|').collect()).collect();
    let [control, experiment] = &lines[..] else {
        panic!("{seen}")
    };
    let names = [
        "user", "umask", "TZ", "LANG", "HOME", "cwd", "host", "year", "order", "PATH",
    ];
    for (index, name) in names.iter().enumerate() {
        assert_ne!(control[index], experiment[index], "{name}\n{seen}");
    }
}
