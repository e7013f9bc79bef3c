//! Debian's `docker-registry`, on a port of its own choice on the loopback interface, and `skopeo` beside it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::tool;

/// A running registry; it stops when dropped.
pub struct Debian {
    dir: tempfile::TempDir,
    address: String,
    child: Child,
    /// The requests of [`Debian::settle`] so far.
    marks: AtomicUsize,
}

impl Debian {
    /// Starts a registry that anybody may use; `None` where the program is missing.
    pub fn start() -> Option<Debian> {
        Debian::start_with(|_| String::new())
    }

    /// Starts a registry that knows the user `user` with the password `pass word`.
    pub fn start_known() -> Option<Debian> {
        let htpasswd = tool("htpasswd")?;
        Debian::start_with(|dir| {
            let file = dir.join("htpasswd");
            let output = Command::new(htpasswd)
                .args(["-Bbn", "user", "pass word"])
                .output()
                .unwrap();
            fs::write(&file, output.stdout).unwrap();
            format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                file.display()
            )
        })
    }

    fn start_with(more: impl FnOnce(&Path) -> String) -> Option<Debian> {
        let program = tool("docker-registry")?;
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:0\", secret: test}}\n{}",
            dir.path().join("data").display(),
            more(dir.path())
        );
        let path = dir.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let log = dir.path().join("log");
        let child = Command::new(program)
            .arg("serve")
            .arg(path)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("access")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut registry = Debian {
            dir,
            address: String::new(),
            child,
            marks: AtomicUsize::new(0),
        };
        let start = Instant::now();
        registry.address = loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = text.split_once("listening on ") {
                break rest.split('"').next().unwrap().to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{text}");
            thread::sleep(Duration::from_millis(10));
        };
        Some(registry)
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it keeps what it has.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data/docker/registry/v2")
    }

    /// The file of a blob or a manifest, by its `sha256:HEX`.
    pub fn file(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let fan = hex.get(..2).unwrap();
        self.data().join(format!("blobs/sha256/{fan}/{hex}/data"))
    }

    /// The requests of a method, from the registry's own log: `METHOD PATH`. It writes a line after it has answered, so that a
    /// request of our own comes after all others, and is waited for.
    pub fn requests(&self, method: &str) -> Vec<String> {
        self.settle();
        let text = fs::read_to_string(self.dir.path().join("access")).unwrap();
        let of_line = |line: &str| {
            let request = line.split('"').nth(1)?;
            let mut words = request.split(' ');
            let (found, path) = (words.next()?, words.next()?);
            (found == method).then(|| format!("{found} {}", path.split('?').next().unwrap()))
        };
        text.lines().filter_map(of_line).collect()
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Debian {
    fn settle(&self) {
        let mark = format!("OPTIONS /{}", self.marks.fetch_add(1, Ordering::Relaxed));
        let start = Instant::now();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("{mark} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let mut quiet = 0;
        let mut length = 0;
        // Other handlers may be on their way to the log: it has to rest for a while.
        while quiet < 5 {
            let text = fs::read_to_string(self.dir.path().join("access")).unwrap();
            let rests = text.len() == length && text.contains(&format!("\"{mark} "));
            quiet = if rests { quiet + 1 } else { 0 };
            length = text.len();
            assert!(start.elapsed() < Duration::from_secs(30), "{text}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The command of `skopeo`, which checks no certificates of loopback servers; `None` where it is missing.
pub fn skopeo(args: &[&str]) -> Option<Command> {
    let mut command = Command::new(tool("skopeo")?);
    command.arg("--insecure-policy").args(args);
    Some(command)
}
