use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;

fn refused(base: &Path, name: &str) -> LocalError {
    Regular::open(base, Path::new(name)).unwrap_err()
}

#[test]
fn a_project_is_what_holds_images_and_never_the_root_or_a_home() {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    for name in [
        "a/images",
        "b/images/images",
        "images",
        "c/images/.git",
        "d/recipes",
    ] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let cases = [
        ("a/images", "a"),
        ("a", "a"),
        ("b/images/images", "b"),
        ("images", "images"),
        ("c/images", "c/images"),
        ("d/recipes", "d/recipes"),
    ];
    for (base, project) in cases {
        let reach = Reach::of(&root.join(base), Some(&root));
        assert_eq!(reach.project, root.join(project), "{base}");
    }
    assert_eq!(Reach::of(Path::new("/"), None).project, Path::new("/"));
}

#[test]
fn what_leads_out_of_the_project_is_refused_until_it_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    let base = root.join("p/images");
    fs::create_dir_all(&base).unwrap();
    fs::write(root.join("p/files"), b"mine").unwrap();
    fs::write(root.join("key"), b"secret").unwrap();
    fs::create_dir(root.join("p2")).unwrap();
    fs::write(root.join("p2/x"), b"theirs").unwrap();
    symlink("../../key", base.join("link")).unwrap();
    symlink("../..", base.join("up")).unwrap();
    symlink("../files", base.join("inner")).unwrap();
    let mut reach = Reach::of(&base, None);
    let check =
        |reach: &Reach, name: &str| reach.check(&Regular::open(&base, Path::new(name)).unwrap());
    for name in ["../files", "inner", "./up/p/files", "up/p/images/inner"] {
        check(&reach, name).unwrap();
    }
    let key = root.join("key");
    for name in ["link", "up/key", "../../key", key.to_str().unwrap()] {
        let error = check(&reach, name).unwrap_err();
        assert!(matches!(&error, LocalError::Outside { path, .. } if *path == key));
        assert!(
            error
                .help()
                .contains(&format!("--allow-local {}", key.display()))
        );
    }
    // A project in a home is one; a home in a project is the user's all the same.
    check(&Reach::of(&base, Some(&root)), "inner").unwrap();
    fs::create_dir(root.join("p/home")).unwrap();
    fs::write(root.join("p/home/key"), b"secret").unwrap();
    let around = Reach::of(&base, Some(&root.join("p/home")));
    check(&around, "inner").unwrap();
    assert!(check(&around, "../home/key").is_err());
    // A directory whose name begins like the project's is another one.
    assert!(check(&reach, "../../p2/x").is_err());
    reach.allow(&key).unwrap();
    check(&reach, "link").unwrap();
    assert!(check(&reach, "../../p2/x").is_err());
    reach.allow(&root.join("p2")).unwrap();
    check(&reach, "../../p2/x").unwrap();
    assert!(reach.allow(&root.join("none")).is_err());
}

#[test]
fn what_the_kernel_makes_up_and_what_is_no_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    symlink("/proc/self/environ", base.join("environ")).unwrap();
    symlink("/proc", base.join("proc")).unwrap();
    symlink("/dev/zero", base.join("zero")).unwrap();
    symlink("loop", base.join("loop")).unwrap();
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, base.join("pipe"), FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(base.join("socket")).unwrap();
    for name in [
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "/sys/kernel",
        "environ",
        "proc/self/maps",
        "proc/self/task/../environ",
        "zero",
        "/dev/zero",
        "/dev/../proc/version",
    ] {
        let error = refused(base, name);
        assert!(
            matches!(error, LocalError::Kernel { .. }),
            "{name}: {error}"
        );
    }
    // What the user names is held to the same, but for the path.
    for name in ["/proc/self/environ", "/proc/version"] {
        let error = Regular::open_own(Path::new(name)).unwrap_err();
        assert!(
            matches!(
                error,
                LocalError::Kernel {
                    place: "procfs",
                    ..
                }
            ),
            "{error}"
        );
    }
    for name in ["pipe", "socket"] {
        assert!(matches!(refused(base, name), LocalError::NoFile), "{name}");
    }
    for name in [".", "/"] {
        assert!(
            matches!(refused(base, name), LocalError::Directory),
            "{name}"
        );
    }
    assert!(refused(base, "none").is_absent());
    assert!(matches!(refused(base, "loop"), LocalError::Io(_)));
}

#[test]
fn a_directory_that_becomes_a_symlink_after_it_was_looked_at_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("sub/x"), b"1").unwrap();
    open_canonical(&root.join("sub/x")).unwrap();
    fs::rename(root.join("sub"), root.join("moved")).unwrap();
    symlink("moved", root.join("sub")).unwrap();
    assert!(fs::read(root.join("sub/x")).is_ok());
    assert!(open_canonical(&root.join("sub/x")).is_err());
    symlink("x", root.join("moved/y")).unwrap();
    assert!(matches!(
        open_canonical(&root.join("moved/y")),
        Err(LocalError::NoFile)
    ));
}

#[test]
fn a_file_that_grows_shrinks_or_changes_while_it_is_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let change = |with: &dyn Fn(&mut File)| {
        fs::write(&path, vec![7; 1000]).unwrap();
        let mut file = Regular::open(dir.path(), Path::new("x")).unwrap();
        let mut head = [0; 10];
        file.read_exact(&mut head).unwrap();
        with(&mut File::options().append(true).open(&path).unwrap());
        let error = io::copy(&mut file, &mut io::sink()).unwrap_err();
        reading_error(error).to_string()
    };
    let grown = change(&|file| file.write_all(&[7; 50]).unwrap());
    assert!(grown.starts_with("it gives more than the 1000 bytes"));
    let shrunk = change(&|file| file.set_len(500).unwrap());
    assert_eq!(shrunk, "it changed while it was read");
    let touched = change(&|file| file.set_modified(std::time::UNIX_EPOCH).unwrap());
    assert_eq!(touched, "it changed while it was read");
    // Left alone it gives what it has.
    fs::write(&path, b"whole").unwrap();
    let mut text = String::new();
    let mut file = Regular::open(dir.path(), Path::new("x")).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), file.size()), ("whole", 5));
}
