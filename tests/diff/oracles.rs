//! Images that others made, and diffoscope.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Output};

use mkimg::pack::read::Reader;
use serde_json::Value;

use crate::cli::{Project, json, mirror, repository_recipe, run, stdout};
use crate::screen::fits;
use crate::support::{is_root, skip, tool};

/// Runs a script in the project's directory.
fn shell(project: &Project, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-ec", script]);
    project.prepare(&mut command);
    run(&mut command)
}

/// Says whether all programs are here, loudly where not.
fn have(programs: &[&str]) -> bool {
    programs.iter().all(|program| tool(program).is_some())
}

/// Returns minimal, realized, its initramfs as `own.cpio.gz` and unpacked in `tree`.
fn minimal() -> Project {
    let project = Project::with("minimal");
    let realized = project.realize("images/minimal.kdl", &[]);
    let image = PathBuf::from(realized["path"].as_str().unwrap());
    fs::copy(image.join("initramfs.cpio.gz"), project.path("own.cpio.gz")).unwrap();
    shell(
        &project,
        "mkdir tree; gzip -dc own.cpio.gz | (cd tree; cpio -idm --quiet --no-absolute-filenames)",
    );
    project
}

fn diff(project: &Project, a: &str, b: &str, more: &[&str]) -> Output {
    let mut command = project.mkimg(["diff", a, b]);
    command.arg("--offline").args(more).output().unwrap()
}

/// Returns the causes, and the fields without one, of a difference.
fn causes(difference: &Value) -> BTreeSet<String> {
    let layers = difference["layers"].as_array().unwrap();
    let groups = layers
        .iter()
        .flat_map(|layer| layer["groups"].as_array().unwrap());
    groups
        .map(|group| {
            let name = group["cause"]["name"].as_str().or(group["field"].as_str());
            name.unwrap().to_owned()
        })
        .collect()
}

/// Returns the paths of entries of a difference.
fn paths(difference: &Value) -> BTreeSet<String> {
    let layers = difference["layers"].as_array().unwrap();
    let groups = layers
        .iter()
        .flat_map(|layer| layer["groups"].as_array().unwrap());
    let changes = groups.flat_map(|group| group["changes"].as_array().unwrap());
    let paths = changes.filter_map(|change| change["path"].as_str());
    paths.map(str::to_owned).collect()
}

#[test]
fn the_classic_pipeline_is_explained_on_one_screen() {
    if !have(&["cpio", "gzip"]) {
        return;
    }
    if !is_root() {
        skip("unpacking device nodes takes root");
        return;
    }
    let project = minimal();
    shell(
        &project,
        "cd tree; touch init; find . | cpio -o -H newc --quiet | gzip -9 > ../classic.cpio.gz",
    );
    let output = diff(&project, "minimal", "classic.cpio.gz", &[]);
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = stdout(&output);
    fits(&text);
    let found = causes(&json(&diff(
        &project,
        "minimal",
        "classic.cpio.gz",
        &["--json"],
    )));
    let expected = [
        "root-entry",
        "host-mtime",
        "host-inode",
        "host-device",
        "gzip-system",
    ];
    for cause in expected {
        assert!(found.contains(cause), "no {cause} in\n{text}");
    }
    // Which of these there are is up to the file system.
    let may_be = ["order", "directory-nlink"];
    let others: Vec<_> = found
        .iter()
        .filter(|cause| !expected.contains(&cause.as_str()) && !may_be.contains(&cause.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}\n{text}");
}

#[test]
fn another_compressor_is_told_as_that_alone() {
    let project = minimal();
    let cases = [
        ("gzip", "gzip -9n", vec!["compressor", "gzip-system"]),
        (
            "gzip",
            "gzip -1n",
            vec!["compressor", "gzip-effort", "gzip-system"],
        ),
        ("pigz", "pigz -9n", vec!["compressor", "gzip-system"]),
        ("zstd", "zstd -qc", vec!["format"]),
        ("xz", "xz --check=crc32", vec!["format"]),
    ];
    for (program, command, expected) in cases {
        if !have(&[program]) {
            continue;
        }
        shell(
            &project,
            &format!("gzip -dc own.cpio.gz | {command} > other.cpio"),
        );
        let difference = json(&diff(&project, "own.cpio.gz", "other.cpio", &["--json"]));
        let found = causes(&difference);
        assert_eq!(
            found,
            expected.into_iter().map(str::to_owned).collect(),
            "{command}"
        );
        assert_eq!(difference["layers"][3]["verdict"], "same", "{command}");
    }
}

/// Makes an initrd with Debian's own tool, of the kernel of minimal, in a mount namespace of its own: an early archive as a
/// package with microcode brings it, then one that zstd compressed.
const MKINITRAMFS: &str = r#"
mkdir -p conf/hooks conf/scripts conf/conf.d deb
dpkg-deb -x "$KERNEL" deb
version=$(ls deb/lib/modules)
printf 'MODULES=list\nBUSYBOX=n\nCOMPRESS=zstd\nUMASK=022\nKEYMAP=n\nRUNSIZE=10%%\n' > conf/initramfs.conf
echo loop > conf/modules
cat > conf/hooks/early <<'HOOK'
#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
early=$DESTDIR-early
mkdir -p $early/kernel/x86/microcode
echo microcode > $early/kernel/x86/microcode/GenuineIntel.bin
(cd $early && find . | cpio --quiet -R 0:0 -o -H newc > $DESTDIR.early)
prepend_earlyinitramfs $DESTDIR.early
HOOK
chmod +x conf/hooks/early
unshare -m sh -ec '
    mount -t tmpfs none /boot
    cp deb/boot/config-* /boot
    mount -t tmpfs none /lib/modules
    mkdir /lib/modules/'$version'
    mount --bind deb/lib/modules/'$version' /lib/modules/'$version'
    depmod '$version'
    mkinitramfs -d conf -o initrd.img '$version'
'
"#;

#[test]
fn a_file_changed_in_an_initrd_of_debian_is_all_that_is_told() {
    if !have(&["mkinitramfs", "unshare", "zstd", "dpkg-deb", "depmod"]) {
        return;
    }
    if !is_root()
        || !Command::new("unshare")
            .args(["-m", "true"])
            .status()
            .unwrap()
            .success()
    {
        skip("mkinitramfs reads /lib/modules and /boot, and mounting there takes root");
        return;
    }
    // The kernel's directories have to be there to mount on.
    fs::create_dir_all("/lib/modules").unwrap();
    let project = Project::new();
    let recipe = repository_recipe("minimal");
    let sha256 = recipe.split("sha256=\"").nth(1).unwrap();
    let kernel = mirror().join(&sha256[..64]);
    let mut command = Command::new("sh");
    command.args(["-ec", MKINITRAMFS]);
    project.prepare(&mut command);
    run(command.env("KERNEL", kernel));

    let initrd = project.path("initrd.img");
    let mut reader = Reader::new(BufReader::new(File::open(&initrd).unwrap()));
    while reader.next_record().unwrap().is_some() {}
    let segments = reader.segments().to_vec();
    let forms: Vec<&str> = segments.iter().map(|segment| segment.compression).collect();
    assert_eq!(forms, ["none", "zstd"]);
    let at = segments[1].raw;
    shell(
        &project,
        &format!(
            "(head -c {at} initrd.img; tail -c +{} initrd.img | zstd -dcq | sed s/RUNSIZE=10%/RUNSIZE=20%/ | zstd -qc) > changed.img",
            at + 1
        ),
    );
    let same = diff(&project, "initrd.img", "initrd.img", &[]);
    assert_eq!(same.status.code(), Some(0));
    let output = diff(&project, "initrd.img", "changed.img", &[]);
    assert_eq!(output.status.code(), Some(4));
    let text = stdout(&output);
    fits(&text);
    for line in [
        "tree",
        "    -RUNSIZE=10%",
        "    +RUNSIZE=20%",
        "same: archive form, compression",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    let difference = json(&diff(&project, "initrd.img", "changed.img", &["--json"]));
    assert_eq!(
        paths(&difference),
        ["/conf/initramfs.conf".to_owned()].into()
    );
}

/// Returns the paths that diffoscope names: members with other bytes, and lines of the listing that went or came.
fn diffoscope_paths(node: &Value, found: &mut BTreeSet<String>) {
    let source = node["source1"].as_str().unwrap_or_default();
    if source == "file list" {
        let lines = node["unified_diff"].as_str().unwrap_or_default().lines();
        for line in lines.filter(|line| line.starts_with(['-', '+'])) {
            // Mode, links, owner, group, size (or device, two words), date, time, path.
            let words = line.split_whitespace();
            let path: Vec<&str> = words
                .skip_while(|word| !word.contains(':'))
                .skip(1)
                .collect();
            let path = path.join(" ");
            let path = path.split(" -> ").next().unwrap();
            found.insert(format!("/{path}"));
        }
        return;
    }
    let inside = node["details"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let is_archive = inside.iter().any(|node| node["source1"] == "file list");
    for child in inside {
        let name = child["source1"].as_str().unwrap_or_default();
        if is_archive && name != "file list" {
            found.insert(format!("/{name}"));
        }
        diffoscope_paths(child, found);
    }
}

#[test]
fn diffoscope_agrees_and_finds_nothing_that_was_missed() {
    if !have(&["diffoscope", "cpio", "gzip"]) {
        return;
    }
    if !is_root() {
        skip("unpacking device nodes takes root");
        return;
    }
    let project = minimal();
    let diffoscope = |a: &str, b: &str| {
        let mut command = Command::new("diffoscope");
        project.prepare(&mut command);
        // What a program does is not compared, which takes longest.
        command.args(["--exclude-command", "^objdump", "--json", "-", a, b]);
        let output = command.output().unwrap();
        (output.status.code(), output.stdout)
    };
    fs::copy(project.path("own.cpio.gz"), project.path("copy.cpio.gz")).unwrap();
    assert_eq!(diffoscope("own.cpio.gz", "copy.cpio.gz").0, Some(0));
    assert_eq!(
        diff(&project, "own.cpio.gz", "copy.cpio.gz", &[])
            .status
            .code(),
        Some(0)
    );

    let pack = "find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible --owner=0:0 | gzip -n";
    // Several at a time, since each start of diffoscope takes seconds; the second half comes on top of the first.
    let changes = [
        "echo more >> init; chmod 700 bin init; rm bin/ls; ln -s busybox bin/new; mkdir -p srv/www; echo x > srv/www/index",
        "printf '\\001' | dd of=bin/busybox bs=1 seek=70000 conv=notrunc status=none; touch -d @86400 proc sys; \
         rm dev/console; mknod dev/console c 5 2; ln -sf other bin/sh; chown 7:8 tmp",
    ];
    for change in changes {
        let owner = if change.contains("chown") {
            pack.replace("--owner=0:0", "")
        } else {
            pack.to_owned()
        };
        shell(
            &project,
            &format!(
                "cd tree; {change}; find . -newermt @1000000 -exec touch -h -d @0 {{}} +; {owner} > ../b.cpio.gz"
            ),
        );
        let (code, found) = diffoscope("own.cpio.gz", "b.cpio.gz");
        assert_eq!(code, Some(1), "{change}");
        let mut theirs = BTreeSet::new();
        diffoscope_paths(&serde_json::from_slice(&found).unwrap(), &mut theirs);
        assert!(!theirs.is_empty(), "{change}");
        let output = diff(&project, "own.cpio.gz", "b.cpio.gz", &["--json"]);
        assert_eq!(output.status.code(), Some(4), "{change}");
        let ours = paths(&json(&output));
        let missed: Vec<_> = theirs.difference(&ours).collect();
        assert!(missed.is_empty(), "{change}: missed {missed:?}");
    }
}
