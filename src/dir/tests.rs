use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, mknodat};
use tempfile::TempDir;

use super::*;

/// A held directory with `a/file`, and beside it an outside with a letter.
struct Bed {
    dir: TempDir,
    root: PathBuf,
}

impl Bed {
    /// Makes one for each way to get to a file: `openat2`, and step by step.
    fn both() -> [Bed; 2] {
        [false, true].map(|step_by_step| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("root/a")).unwrap();
            fs::create_dir(dir.path().join("outside")).unwrap();
            fs::write(dir.path().join("root/a/file"), "inside").unwrap();
            fs::write(dir.path().join("outside/letter"), "dear").unwrap();
            let mut held = Held::open(&dir.path().join("root")).unwrap();
            if step_by_step {
                held = held.step_by_step();
            }
            let root = keep(held);
            Bed { dir, root }
        })
    }

    fn outside(&self) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<_> = fs::read_dir(self.dir.path().join("outside"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        found
    }
}

fn said<T>(result: io::Result<T>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn files_are_made_read_renamed_linked_and_removed() {
    for bed in Bed::both() {
        let at = |name: &str| bed.root.join(name);
        assert_eq!(read(&at("a/file")).unwrap(), b"inside");
        create_dirs(&at("x/y/z")).unwrap();
        create_dirs(&at("x/y/z")).unwrap();
        assert_eq!(metadata(&at("x/y")).unwrap().mode() & 0o7777, 0o755);
        write_new(&at("x/y/z/new"), b"new", 0o444).unwrap();
        assert_eq!(metadata(&at("x/y/z/new")).unwrap().mode() & 0o7777, 0o444);
        let again = create_new(&at("x/y/z/new"));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        hard_link(&at("x/y/z/new"), &at("second")).unwrap();
        rename(&at("x/y/z/new"), &at("x/renamed")).unwrap();
        assert_eq!(read_to_string(&at("x/renamed")).unwrap(), "new");
        assert_eq!(metadata(&at("second")).unwrap().nlink(), 2);
        assert_eq!(entries(&at("x")).unwrap(), [at("x/renamed"), at("x/y")]);
        remove(&at("x")).unwrap();
        assert!(!exists(&at("x")) && exists(&at("second")));
        assert!(open(&at("x")).is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
        assert!(said(open(&at("a"))).contains("is a directory, no file"));
        assert!(create_new(&bed.dir.path().join("outside/x")).is_err());
        assert!(create_new(&at("a/../../outside/x")).is_err());
        assert!(read(&at("../outside/letter")).is_err());
        assert_eq!(read(&at("a/../second/../a/file")).unwrap(), b"inside");
        assert_eq!(bed.outside().len(), 1);
    }
}

#[test]
fn no_symlink_is_followed_by_any_call() {
    for bed in Bed::both() {
        let at = |name: &str| bed.root.join(name);
        let before = bed.outside();
        symlink("../outside", at("way")).unwrap();
        symlink("../outside/letter", at("last")).unwrap();
        symlink("../outside/none", at("dangling")).unwrap();
        // The disturbance is there: the system itself would follow each.
        assert_eq!(fs::read(at("way/letter")).unwrap(), b"dear");
        for name in ["way/letter", "last"] {
            let path = at(name);
            for text in [said(open(&path)), said(open_or_create(&path, 0o644))] {
                let link = at(name.split('/').next().unwrap());
                let link = format!("`{}` is a symlink", link.display());
                assert!(text.contains(&link) && text.contains("remove it"), "{text}");
            }
        }
        let calls: [(&str, io::Result<()>); 14] = [
            ("create", create_new(&at("way/new")).map(drop)),
            (
                "create at a dangling link",
                create_new(&at("dangling")).map(drop),
            ),
            (
                "open or create",
                open_or_create(&at("dangling"), 0o644).map(drop),
            ),
            ("make a directory", create_dir(&at("way/new"), 0o755)),
            ("make directories", create_dirs(&at("way"))),
            ("make directories below", create_dirs(&at("way/new"))),
            ("list", entries(&at("way")).map(drop)),
            ("rename to", rename(&at("a/file"), &at("way/file"))),
            ("rename from", rename(&at("way/letter"), &at("a/letter"))),
            ("link to", hard_link(&at("a/file"), &at("way/file"))),
            ("link from", hard_link(&at("way/letter"), &at("a/letter"))),
            ("remove", remove(&at("way/letter"))),
            ("touch", touch(&at("way/letter"))),
            ("look", metadata(&at("way/letter")).map(drop)),
        ];
        for (name, done) in calls {
            assert!(done.is_err(), "{name}");
        }
        assert!(metadata(&at("last")).unwrap().is_symlink());
        // What is removed or renamed is the link itself.
        rename(&at("last"), &at("moved")).unwrap();
        remove(&at("moved")).unwrap();
        create_dirs(&at("b")).unwrap();
        symlink("../../outside", at("b/inner")).unwrap();
        remove(&at("b")).unwrap();
        assert_eq!(bed.outside(), before);
    }
}

#[test]
fn what_is_no_file_is_an_error_at_once() {
    for bed in Bed::both() {
        let at = |name: &str| bed.root.join(name);
        let mode = Mode::from_raw_mode(0o644);
        mknodat(CWD, at("fifo"), FileType::Fifo, mode, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (name, what) in [("fifo", "a FIFO"), ("socket", "a socket")] {
            for text in [
                said(open(&at(name))),
                said(open_or_create(&at(name), 0o644)),
            ] {
                assert!(text.contains(what), "{text}");
            }
            remove(&at(name)).unwrap();
        }
    }
}

#[test]
fn the_directory_itself_may_be_named_by_a_symlink_and_is_the_one_that_was_held() {
    for bed in Bed::both() {
        let link = bed.dir.path().join("link");
        symlink("root", &link).unwrap();
        assert_eq!(Held::open(&link).unwrap().path, bed.root);
        // Renamed, it is still the one that is used; what is at its old path is not.
        let moved = bed.dir.path().join("moved");
        fs::rename(&bed.root, &moved).unwrap();
        symlink("outside", &bed.root).unwrap();
        assert_eq!(read(&bed.root.join("a/file")).unwrap(), b"inside");
        create_new(&bed.root.join("new")).unwrap();
        assert!(moved.join("new").exists());
        assert_eq!(bed.outside().len(), 1);
    }
}
