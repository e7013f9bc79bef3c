//! `mkimg run` and `mkimg test` as users type them: real kernels in QEMU, under TCG. Where the machine has no QEMU they bring
//! their own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cli::{Project, fails, json, mirror, repository_recipe, run, stdout};

/// Returns a command in a project whose cache is the one that the tests share: the pinned QEMU is fetched once.
fn mkimg(project: &Project, args: &[&str]) -> Command {
    mirror();
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut command = project.mkimg(args);
    command.arg("--cache").arg(cache);
    command
}

/// Runs a command with text on its standard input.
fn typed(command: &mut Command, text: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_recipes_of_the_repository_pass_their_tests() {
    // The minimal image for x86_64 passes in the workflows of docs/ci.md (tests/docs/ci.rs).
    for (name, arch) in [
        ("minimal", "aarch64"),
        ("minimal-riscv64", "riscv64"),
        ("net", "x86_64"),
        ("net", "aarch64"),
        ("modules", "x86_64"),
    ] {
        let project = Project::with(name);
        let output = run(&mut mkimg(
            &project,
            &["test", name, "--arch", arch, "--json"],
        ));
        let report = json(&output);
        assert_eq!(report["passed"], true, "{name} {arch}: {report:#}");
        assert!(!report["tests"].as_array().unwrap().is_empty());
    }
}

/// A test with a page: the guest asks for that, and for a server of the host's that nobody gave it.
fn serving(stolen: &str) -> String {
    let recipe = repository_recipe("net");
    let at = recipe.find("test \"a page").unwrap();
    format!(
        "{}test \"the page and nothing else\" within=\"90s\" {{\n    \
         serve \"/hello\" text=\"the host says hello\"\n    expect \"(linux)\"\n    \
         send \"wget -q -O - http://$SERVER/hello; wget -q -O - http://{stolen}/stolen; echo status $?\"\n    \
         expect \"the host says hello\"\n    expect regex=\"status [01][^0-9]\"\n    \
         send \"wget -q -O - http://$SERVER/hello; wget -O - http://$SERVER/other; echo $SERVER\"\n    \
         expect \"the host says hello\"\n    expect \"404\"\n    expect \"10.0.2.100:80\"\n}}\n",
        &recipe[..at]
    )
}

#[test]
fn a_page_of_a_test_is_reached_and_nothing_else_unless_the_user_opens_the_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nstolen\n");
        }
    });
    let project = Project::new();
    project.recipe("net", &serving(&format!("10.0.2.2:{port}")));
    // With the open network the other server answers: the guest does ask.
    for (more, status, times) in [
        (&["--net", "user"][..], "status 0", 1),
        (&[], "status 1", 0),
    ] {
        reached.store(0, Ordering::SeqCst);
        let log = project.path("log");
        let mut test = mkimg(&project, &["test", "net", "--arch", "x86_64"]);
        run(test.arg("--log").arg(&log).args(more));
        assert_eq!(reached.load(Ordering::SeqCst), times, "{more:?}");
        let log = fs::read_to_string(&log).unwrap();
        assert!(log.contains(status), "{log}");
    }
}

#[test]
fn a_shell_between_pipes_reads_what_is_typed_prints_nothing_else_and_ends_with_its_input() {
    let project = Project::with("minimal");
    let mut command = mkimg(
        &project,
        &["run", "minimal", "--arch", "x86_64", "--timeout", "5min"],
    );
    let output = typed(&mut command, "uname -m\necho sum=$((40 + 2))\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let text = stdout(&output);
    assert!(
        text.contains("\nx86_64\n") && text.contains("\nsum=42\n"),
        "{text}"
    );
    assert!(!text.contains('\r') && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn the_printed_command_boots_by_itself() {
    let project = Project::with("minimal");
    let line = stdout(&run(&mut mkimg(
        &project,
        &[
            "run",
            "minimal",
            "--arch",
            "x86_64",
            "--dry-run",
            "--accel",
            "tcg",
        ],
    )));
    let mut shell = Command::new("sh");
    project.prepare(&mut shell);
    // Typed again and again, since what comes too early is lost, and of the first line that is not its first bytes.
    let script = format!(
        "while echo 'true true; echo by=$((40+2)); exit'; do sleep 1; done | {}",
        line.trim_end()
    );
    let output = run(shell.args(["-c", &script]));
    assert!(stdout(&output).contains("by=42"), "{}", stdout(&output));
}

#[test]
fn a_qemu_that_refuses_is_not_called_a_silent_guest() {
    let project = Project::new();
    project.recipe("minimal", &repository_recipe("minimal"));
    let mut command = mkimg(&project, &["run", "minimal", "--arch", "x86_64"]);
    command.args(["--", "-device", "nonsense"]);
    let said = fails(command.stdin(Stdio::null()), 5);
    assert!(said.contains("'nonsense' is not a valid device"), "{said}");
    assert!(said.contains("help: QEMU gave up by itself"), "{said}");
    assert!(!said.contains("console="), "{said}");
}

/// The classic setup needs a file from a server that no test reaches: another static BusyBox stands in for it, with its own
/// hash, put into the cache by `mkimg add` as a user would who has the real one.
#[test]
fn the_classic_setup_boots_with_a_stand_in_for_its_busybox() {
    let project = Project::with("minimal");
    let busybox = run(&mut mkimg(
        &project,
        &["cat", "minimal", "/bin/busybox", "--arch", "x86_64"],
    ))
    .stdout;
    let file = project.path("busybox");
    fs::write(&file, &busybox).unwrap();
    let added = json(&run(mkimg(&project, &["add", "--json"]).arg(&file)));
    let recipe = repository_recipe("article")
        .replace(
            "6e123e7f3202a8c1e9b1f94d8941580a25135382b99e8d3e34fb858bba311348",
            added["sha256"].as_str().unwrap(),
        )
        .replace("1131168", &added["size"].to_string());
    project.recipe("article", &recipe);
    let said = fails(
        mkimg(&project, &["test", "article", "--arch", "aarch64"]).arg("--offline"),
        2,
    );
    assert!(said.contains("aarch64"), "{said}");
    run(&mut mkimg(&project, &["test", "article", "--offline"]));
    // The same on the machine that tutorials start, whose command line the recipe copies.
    let line = stdout(&run(&mut mkimg(
        &project,
        &[
            "run",
            "article",
            "--machine",
            "pc",
            "--dry-run",
            "--accel",
            "tcg",
        ],
    )));
    assert!(
        line.contains("-nographic") && line.contains("console=ttyS0 quiet acpi=off"),
        "{line}"
    );
}

#[test]
fn a_kernel_and_an_initramfs_boot_without_a_recipe() {
    let project = Project::with("minimal");
    let image = json(&run(&mut mkimg(
        &project,
        &["realize", "minimal", "--arch", "x86_64", "--json"],
    )));
    let path = PathBuf::from(image["path"].as_str().unwrap());
    let (kernel, initrd) = (path.join("vmlinuz"), path.join("initramfs.cpio.gz"));
    let mut command = mkimg(
        &project,
        &[
            "run",
            "--arch",
            "x86_64",
            "--append",
            "quiet HELLO=there",
            "--memory",
            "192MiB",
        ],
    );
    command
        .arg("--kernel")
        .arg(kernel)
        .arg("--initrd")
        .arg(initrd);
    let output = typed(&mut command, "echo $HELLO; exit\n");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(stdout(&output).contains("\nthere\n"), "{}", stdout(&output));
}

// pitfall 70
#[test]
fn a_machine_with_too_little_memory_is_refused_with_the_number() {
    let project = Project::with("modules");
    let said = fails(
        &mut mkimg(
            &project,
            &["run", "modules", "--arch", "x86_64", "--memory", "64MiB"],
        ),
        2,
    );
    let start = said.find("this image needs ").expect(&said) + 17;
    let needed: u64 = said[start..].split(' ').next().unwrap().parse().unwrap();
    // The archive has 94 MB, its compressed form 24 MB, and both are in memory at once.
    assert!((113..400).contains(&needed), "{said}");
}

/// Writes a container image of one layer: a BusyBox with its names, a program, and whom it runs as.
fn container(project: &Project) -> String {
    let root = project.path("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    let digests = repository_recipe("minimal");
    let package = digests
        .lines()
        .skip_while(|line| !line.contains("busybox-static") || !line.contains("amd64"))
        .find_map(|line| line.trim().strip_prefix("sha256=\""))
        .unwrap()
        .trim_end_matches('"');
    let unpacked = project.path("package");
    run(Command::new("dpkg-deb")
        .arg("-x")
        .arg(mirror().join(package))
        .arg(&unpacked));
    fs::copy(unpacked.join("bin/busybox"), root.join("bin/busybox")).unwrap();
    for name in ["sh", "mount", "mkdir", "env", "su", "id", "sleep"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
    )
    .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nweb:x:34:\n").unwrap();
    let layer = project.path("layer.tar");
    run(Command::new("tar")
        .args(["--owner=0", "--group=0", "--numeric-owner", "-cf"])
        .arg(&layer)
        .arg("-C")
        .arg(&root)
        .arg("."));
    let layout = project.path("app.oci");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8], kind: &str| {
        let digest = mkimg::digest::Digest::of(bytes).to_string();
        fs::write(layout.join("blobs/sha256").join(&digest), bytes).unwrap();
        serde_json::json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let layer = put(
        &fs::read(&layer).unwrap(),
        "application/vnd.oci.image.layer.v1.tar",
    );
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["sh", "-c", "id; pwd; echo \"$WORDS|$1|$HOME\"; exit 7"],
            "Cmd": ["app", "it's one word"],
            "Env": ["WORDS=a  b $c"],
            "User": "web",
            "WorkingDir": "/work dir",
        },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = put(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
    put(manifest.to_string().as_bytes(), kind)["digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_container_image_runs_its_program_as_its_user_and_its_exit_status_is_told() {
    let project = Project::new();
    let digest = container(&project);
    let minimal = repository_recipe("minimal");
    let (sources, _) = minimal.split_once("source \"busybox\"").unwrap();
    let recipe = |status: u32| {
        let sources = sources.replace("image \"minimal\"", "image \"app\"");
        project.recipe(
            "app",
            &format!(
                "{sources}source \"app\" {{ oci local=\"../app.oci\" digest=\"{digest}\" arch=\"x86_64\"; }}\n\
                 kernel from=\"linux\" path=\"boot/vmlinuz-*\"\n\
                 initramfs {{\n    tree \"/\" from=\"app\"\n    init from=\"app\"\n}}\n\
                 test \"it runs\" within=\"60s\" {{\n    expect \"uid=33(web) gid=34(web)\"\n    expect line=\"/work dir\"\n    \
                 expect line=\"a  b $c|it's one word|/srv\"\n    expect line=\"exit={status}\"\n    exit \"poweroff\"\n}}\n"
            ),
        )
    };
    recipe(7);
    run(&mut mkimg(&project, &["test", "app", "--arch", "x86_64"]));
    recipe(0);
    let said = fails(
        &mut mkimg(&project, &["test", "app", "--arch", "x86_64"]),
        5,
    );
    assert!(said.contains("exit=7"), "{said}");
}
