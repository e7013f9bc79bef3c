//! The pinned QEMU: fetched for real through the machine's apt roots, unpacked, started away from the host, damaged, repaired.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;

use mkimg::arch::Arch;
use mkimg::plan::Plan;
use mkimg::progress::{Event, Progress};
use mkimg::realize::Workshop;
use mkimg::recipe::{self, Mode};
use mkimg::source::apt;
use mkimg::source::fetch::{FetchOptions, Kind};
use mkimg::store::Store;
use mkimg::tools::{Choice, Emulator, Host, PINNED_VERSION, Toolbox, ToolsError};

/// Keeps events.
#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Progress for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    /// Returns what people are told, and how many downloads there were; forgets it.
    fn told(&self) -> (Vec<String>, usize) {
        let mut told = Vec::new();
        let mut downloads = 0;
        for event in std::mem::take(&mut *self.0.lock().unwrap()) {
            match event {
                Event::Note(text) | Event::Warning(text) => told.push(text),
                Event::Detail(text) if text.starts_with("fetching ") => downloads += 1,
                _ => {}
            }
        }
        (told, downloads)
    }
}

const JOBS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
const DEBIAN: &str = "ID=debian\n";

fn host(path: Option<&OsStr>) -> Host<'_> {
    Host::here(path, DEBIAN)
}

/// Returns what a machine with Debian's package manager fetches with.
fn real() -> FetchOptions {
    FetchOptions {
        apt_roots: apt::roots_of_machine(Path::new("/etc/apt")),
        ..FetchOptions::default()
    }
}

fn offline() -> FetchOptions {
    FetchOptions {
        offline: true,
        ..FetchOptions::default()
    }
}

fn qemu(
    root: &Path,
    fetch: &FetchOptions,
    guest: Arch,
    choice: &Choice,
    progress: &dyn Progress,
) -> Result<Emulator, ToolsError> {
    let store = Store::open(root).unwrap();
    let toolbox = Toolbox {
        store: &store,
        fetch,
        jobs: JOBS,
        progress,
    };
    toolbox.qemu(guest, choice, &host(None))
}

fn listed(root: &Path, progress: &dyn Progress) -> Result<String, ToolsError> {
    let store = Store::open(root).unwrap();
    let toolbox = Toolbox {
        store: &store,
        fetch: &real(),
        jobs: JOBS,
        progress,
    };
    toolbox.list_pinned(&host(None))
}

/// Runs an emulator with nothing of this process's environment.
fn output(emulator: &Emulator, arguments: &[&str]) -> Output {
    Command::new(&emulator.program)
        .args(&emulator.leading_args)
        .args(arguments)
        .env_clear()
        .envs(emulator.env.iter().cloned())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn first_line(emulator: &Emulator) -> String {
    let output = output(emulator, &["-version"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    text.lines().next().unwrap_or_default().to_owned()
}

fn expected_line() -> String {
    format!("QEMU emulator version {PINNED_VERSION} (Debian 1:7.2+dfsg-7+deb12u18+b3)")
}

/// Returns a file of the tool.
fn file_of(emulator: &Emulator, name: &str) -> PathBuf {
    emulator.program.with_file_name("").join(name)
}

/// Changes a file of the cache, which can only be read: in place, so that all hard links to it change.
fn harm(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let mut file = File::options()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(&bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
}

fn runs_here() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
}

#[test]
fn the_pinned_qemu_is_fetched_once_starts_without_the_host_and_is_repaired() {
    if !runs_here() {
        return support::skip("the pinned QEMU runs on x86_64 Linux alone");
    }
    // A colon ends a path in the loader's list, and a comma one in QEMU's options.
    let directory = tempfile::Builder::new()
        .prefix("a b:c,d")
        .tempdir()
        .unwrap();
    let root = directory.path().join("cache");
    let recorder = Recorder::default();
    let renews = std::env::var_os("MKIMG_RENEW").is_some();
    if renews {
        let list = listed(&root, &recorder).unwrap();
        return fs::write("src/machine/qemu.files", list).unwrap();
    }

    // Four at once: a lock of a file that was opened several times excludes as between processes.
    let recorders: [Recorder; 4] = Default::default();
    let results: Vec<Result<Emulator, ToolsError>> = thread::scope(|scope| {
        let start = |recorder| {
            let root = &root;
            scope.spawn(move || qemu(root, &real(), Arch::X86_64, &Choice::Auto, recorder))
        };
        let threads: Vec<_> = recorders.iter().map(|one| start(one)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    });
    if let Some(Err(ToolsError::Fetch { source, .. })) = results.first()
        && source.kind() == Kind::Unreachable
    {
        return support::skip(&format!("no network: {source}"));
    }
    let emulators: Vec<Emulator> = results.into_iter().map(Result::unwrap).collect();
    let made = emulators[0].clone();
    assert!(emulators.iter().all(|emulator| *emulator == made));
    let told: Vec<(Vec<String>, usize)> = recorders.iter().map(Recorder::told).collect();
    let downloads: usize = told.iter().map(|(_, downloads)| downloads).sum();
    assert_eq!(downloads, 50, "{told:?}");
    let waiting = "waiting for another mkimg that unpacks QEMU";
    let mut notes: Vec<&String> = told.iter().flat_map(|(notes, _)| notes).collect();
    notes.retain(|note| *note != waiting);
    let note = "no `qemu-system-x86_64` here: fetching the pinned QEMU 7.2.22 for x86_64 (50 packages, 27.7 MB), once";
    assert_eq!(notes, [note]);
    assert_eq!(first_line(&made), expected_line());
    assert_eq!(made.version, PINNED_VERSION);

    // The emulator for another guest costs itself alone.
    for (guest, size) in [(Arch::Aarch64, "8.9"), (Arch::Riscv64, "46.2")] {
        let other = qemu(&root, &real(), guest, &Choice::Pinned, &recorder).unwrap();
        let note =
            format!("fetching the pinned QEMU 7.2.22 for {guest} (1 package, {size} MB), once");
        assert_eq!(recorder.told(), (vec![note], 1));
        assert_eq!(first_line(&other), expected_line());
        let machines = output(&other, &["-M", "help"]).stdout;
        assert!(String::from_utf8_lossy(&machines).contains("\nvirt "));
    }

    // What is compiled in is what comes out of the packages.
    fs::remove_dir_all(root.join("members-v1")).unwrap();
    let list = listed(&root, &recorder).unwrap();
    assert_eq!(list, fs::read_to_string("src/machine/qemu.files").unwrap());
    assert_eq!(recorder.told(), (Vec::new(), 0));

    // Again: nothing is fetched, nothing said, and no socket needed.
    let again = qemu(&root, &offline(), Arch::X86_64, &Choice::Auto, &recorder).unwrap();
    assert_eq!((&again, recorder.told()), (&made, (Vec::new(), 0)));

    // Nothing that the environment wants loaded is.
    let libraries = directory.path().join("broken");
    fs::create_dir(&libraries).unwrap();
    fs::write(libraries.join("libz.so.1"), "broken").unwrap();
    let output = Command::new(&made.program)
        .args(&made.leading_args)
        .arg("-version")
        .env("LD_LIBRARY_PATH", &libraries)
        .env("LD_PRELOAD", libraries.join("libz.so.1"))
        .envs(made.env.iter().cloned())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));

    damage_is_repaired(&root, &made, &recorder);
    isolated(directory.path(), &root, &made);
}

/// Each harm is named and undone, without a download; what is left runs.
fn damage_is_repaired(root: &Path, made: &Emulator, recorder: &Recorder) {
    let tool = made.program.with_file_name("");
    let library = file_of(made, "lib/libz.so.1");
    type Harm<'a> = &'a dyn Fn();
    let cases: [(Harm, &str); 8] = [
        (
            &|| fs::remove_file(&library).unwrap(),
            "`lib/libz.so.1`: No such file",
        ),
        (
            &|| harm(&library, |bytes| bytes.truncate(1000)),
            "`lib/libz.so.1` has 1000 bytes, expected 121280",
        ),
        // The blob is the same file, and is made again as well.
        (
            &|| harm(&library, |bytes| bytes[64] ^= 1),
            "`lib/libz.so.1` has sha256",
        ),
        (
            &|| harm(&made.program, |bytes| bytes.truncate(0)),
            "`ld-linux-x86-64.so.2` has 0 bytes",
        ),
        // What the loader would prefer to the libraries that were checked.
        (
            &|| {
                let beside = file_of(made, "lib/glibc-hwcaps/x86-64-v2");
                fs::create_dir_all(&beside).unwrap();
                fs::copy(&library, beside.join("libz.so.1")).unwrap();
            },
            "`lib/glibc-hwcaps/x86-64-v2/libz.so.1` is not of it",
        ),
        // Of the same size and time, with a text beside it that vouches for it: what it must be is not said in the cache.
        (
            &|| {
                let modified = fs::metadata(&library).unwrap().modified().unwrap();
                harm(&library, |bytes| bytes[64] ^= 1);
                File::open(&library)
                    .unwrap()
                    .set_modified(modified)
                    .unwrap();
            },
            "`lib/libz.so.1` has sha256",
        ),
        (
            &|| fs::set_permissions(&made.program, Permissions::from_mode(0o444)).unwrap(),
            "`ld-linux-x86-64.so.2` lost its mode 555",
        ),
        (
            &|| {
                fs::remove_dir_all(&tool).unwrap();
                fs::write(tool.parent().unwrap().join(tool.file_name().unwrap()), "").unwrap();
            },
            "is a file, no directory",
        ),
    ];
    for (harm, said) in cases {
        harm();
        let repaired = qemu(root, &offline(), Arch::X86_64, &Choice::Auto, recorder).unwrap();
        assert_eq!(&repaired, made, "{said}");
        let (told, downloads) = recorder.told();
        assert!(
            told[0].contains(said) && told[0].ends_with("; it is unpacked again"),
            "{told:?}"
        );
        assert_eq!(downloads, 0, "{said}");
        assert_eq!(first_line(made), expected_line(), "{said}");
    }
    // Nothing of the old directories stays.
    let left: Vec<_> = fs::read_dir(root.join("tmp")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    // A copied cache has other times, and is as good as the original.
    let copy = root.with_file_name("copy");
    let copied = Command::new("cp")
        .arg("-r")
        .args([root, &copy])
        .status()
        .unwrap();
    assert!(copied.success());
    qemu(&copy, &offline(), Arch::X86_64, &Choice::Auto, recorder).unwrap();
    assert_eq!(recorder.told(), (Vec::new(), 0));
    // A package that is damaged in the cache while the tool is gone: named, and only that one is fetched again.
    fs::remove_dir_all(&tool).unwrap();
    fs::remove_dir_all(root.join("members-v1")).unwrap();
    let package =
        root.join("blobs-v1/d7/dd1d1411fedf27f5e27650a6eff20ef294077b568f4c8c5e51466dc7c08ce4");
    harm(&package, |bytes| bytes[5000] ^= 1);
    qemu(root, &real(), Arch::X86_64, &Choice::Auto, recorder).unwrap();
    let (told, downloads) = recorder.told();
    assert!(
        told[0].contains("damaged object") && told.len() == 1,
        "{told:?}"
    );
    assert_eq!(downloads, 1);
}

/// Boots Linux in a directory that has nothing but the cache: no libraries, firmware, `/proc` or devices of the host.
fn isolated(directory: &Path, root: &Path, made: &Emulator) {
    let Some(chroot) = support::tool("chroot") else {
        return;
    };
    if !support::is_root() {
        return support::skip("only root can leave the host's files behind");
    }
    let recipe = fs::read("images/minimal.kdl").unwrap();
    let parsed = recipe::parse("minimal.kdl", &recipe, Mode::Strict).unwrap();
    let store = Store::open(root).unwrap();
    let workshop = Workshop {
        store: &store,
        fetch: &real(),
        jobs: JOBS,
        max_unpacked: 1 << 30,
        progress: &Recorder::default(),
    };
    let plan = Plan::lower(&parsed.recipe, Arch::X86_64, &BTreeMap::new()).unwrap();
    let image = workshop.realize(&plan, Path::new("images"), false).unwrap();
    let inside = |word: &OsStr| match Path::new(word).strip_prefix(directory) {
        Ok(rest) => Path::new("/").join(rest).into_os_string(),
        Err(_) => word.to_owned(),
    };
    let mut words: Vec<OsString> = vec![directory.into(), inside(made.program.as_os_str())];
    words.extend(made.leading_args.iter().map(|word| inside(word)));
    let machine = "-accel tcg -M pc -nodefaults -no-user-config -display none -serial stdio -m 128 -no-reboot";
    words.extend(machine.split(' ').map(OsString::from));
    words.extend(["-append".into(), "console=ttyS0 quiet panic=-1".into()]);
    words.extend(["-kernel".into(), inside(image.kernel().as_os_str())]);
    words.extend(["-initrd".into(), inside(image.initramfs().as_os_str())]);
    let mut guest = Command::new(chroot)
        .args(words)
        .env_clear()
        .envs(made.env.iter().map(|(name, value)| (name, inside(value))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = guest.stdin.take().unwrap();
    let mut console = guest.stdout.take().unwrap();
    let mut said = Vec::new();
    // What is typed before the shell reads is lost.
    let mut until = |end: &str| {
        let mut byte = [0];
        while !said.ends_with(end.as_bytes()) {
            let text = String::from_utf8_lossy(&said);
            assert_eq!(console.read(&mut byte).unwrap(), 1, "no `{end}`: {text}");
            said.push(byte[0]);
        }
    };
    until("(linux) ");
    input.write_all(b"echo answer=$((6*7))\n").unwrap();
    until("answer=42");
    input.write_all(b"exit\n").unwrap();
    assert!(guest.wait_with_output().unwrap().status.success());
}

/// Writes an executable script.
fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_first_qemu_on_path_that_is_new_enough_is_taken_and_asked_once() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).join("qemu-system-x86_64");
    script(&at("old"), "echo QEMU emulator version 4.2.1");
    script(&at("other"), "echo hello");
    let calls = directory.path().join("calls");
    let new = format!(
        "echo call >> {}; echo 'QEMU emulator version 5.0.0 (x)'",
        calls.display()
    );
    script(&at("new"), &new);
    let path = |names: &[&str]| {
        std::env::join_paths(names.iter().map(|name| directory.path().join(name))).unwrap()
    };
    let root = directory.path().join("cache");
    let recorder = Recorder::default();
    let find = |choice: &Choice, path: &OsStr, os: &str| {
        let store = Store::open(&root).unwrap();
        let toolbox = Toolbox {
            store: &store,
            fetch: &offline(),
            jobs: JOBS,
            progress: &recorder,
        };
        let host = Host {
            os,
            ..host(Some(path))
        };
        toolbox.qemu(Arch::X86_64, choice, &host)
    };
    let plain = |name: &str, version: &str| Emulator {
        program: at(name),
        leading_args: Vec::new(),
        env: Vec::new(),
        version: version.to_owned(),
    };
    let all = path(&["none", "old", "other", "new"]);
    for choice in [Choice::Auto, Choice::System, Choice::Path(at("new"))] {
        assert_eq!(find(&choice, &all, "linux").unwrap(), plain("new", "5.0.0"));
    }
    assert_eq!(fs::read_to_string(&calls).unwrap(), "call\n");
    // Another file in its place is asked anew.
    script(&at("new"), "echo QEMU emulator version 6.1.0");
    assert_eq!(
        find(&Choice::Auto, &all, "linux").unwrap(),
        plain("new", "6.1.0")
    );
    // Named by the user, an old one is taken.
    assert_eq!(
        find(&Choice::Path(at("old")), &all, "linux").unwrap(),
        plain("old", "4.2.1")
    );

    let useless = path(&["old", "other"]);
    let expected = format!(
        "no `qemu-system-x86_64` of version 5 or newer is on PATH\n  `{}` is version 4.2.1\n  `{}` is no QEMU: it says `hello`",
        at("old").display(),
        at("other").display()
    );
    let not_found = (expected, vec!["apt install qemu-system-x86".to_owned()]);
    let not_qemu = format!(
        "`{}` is no QEMU: `--version` says `hello`",
        at("other").display()
    );
    let named =
        vec!["name a `qemu-system-..` program with `--qemu PATH`, or leave it out".to_owned()];
    let mac = (
        "the pinned QEMU runs on x86_64 Linux alone".to_owned(),
        vec!["brew install qemu".to_owned()],
    );
    let cases = [
        (Choice::System, "linux", not_found.clone()),
        (
            Choice::Auto,
            "macos",
            (not_found.0, vec!["brew install qemu".to_owned()]),
        ),
        (Choice::Pinned, "macos", mac),
        (
            Choice::Path(at("other")),
            "linux",
            (not_qemu, named.clone()),
        ),
        (
            Choice::Path(at("none")),
            "linux",
            (
                format!("could not run `{} --version`", at("none").display()),
                named,
            ),
        ),
    ];
    for (choice, os, expected) in cases {
        let error = find(&choice, &useless, os).unwrap_err();
        assert_eq!(
            (error.to_string(), error.help()),
            expected,
            "{choice:?} {os}"
        );
    }
    if runs_here() {
        let error = find(&Choice::Auto, &useless, "linux").unwrap_err();
        let help = error.help();
        let count =
            "the pinned QEMU could not be fetched: 50 of its packages failed, this is one of them";
        assert_eq!(error.to_string(), count);
        assert_eq!(
            help.last().unwrap(),
            "or install one: apt install qemu-system-x86"
        );
    }
}
