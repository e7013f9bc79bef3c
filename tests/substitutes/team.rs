//! A team: somebody who signs images and pushes them, keys, and those who take them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mkimg::progress::Silent;
use mkimg::share::bundle::{Bundle, write};
use mkimg::share::oci::Descriptor;
use mkimg::share::registry::{Registry, RegistryOptions};
use mkimg::share::sign::{Claim, Statement, attach_statement};
use mkimg::share::{Destination, Origin, Reference, Shared, find};
use mkimg::store::Store;
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::Fake;
use crate::cli::{Project, json, run};
use crate::server::Server;
use crate::support::tool;
use crate::tiny::{Tiny, noise};

/// Who makes images, the keys, and the image.
pub struct Team {
    pub maker: Tiny,
    /// What `realize --json` says where nothing is substituted.
    pub built: Value,
}

impl Team {
    /// A team whose key `trusted` is in the file `signers`, and a key `stranger` that is not; `None` without `ssh-keygen`.
    pub fn new() -> Option<Team> {
        let keygen = tool("ssh-keygen")?;
        let maker = tiny();
        for name in ["trusted", "stranger"] {
            let path = maker.path(name);
            run(Command::new(&keygen)
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(path));
        }
        let key = fs::read_to_string(maker.path("trusted.pub")).unwrap();
        fs::write(maker.path("signers"), format!("ci@example {key}")).unwrap();
        let built = json(&run(&mut maker.realize(&["--json", "--arch", "x86_64"])));
        assert_eq!(built["from"], Value::Null);
        Some(Team { maker, built })
    }

    pub fn path(&self, name: &str) -> String {
        self.maker.path(name).display().to_string()
    }

    pub fn plan_tag(&self) -> String {
        format!("plan-{}", self.built["plan"].as_str().unwrap())
    }

    /// Pushes the image to a repository, signed with a key, or not at all.
    pub fn push(&self, repository: &str, key: Option<&str>) {
        let to = format!("{repository}:1");
        run(&mut self.maker.project.mkimg(["push", "images/tiny.kdl", &to]));
        if let Some(key) = key {
            sign(repository, &self.path(key));
        }
    }

    /// A registry with the image, signed with a key or not.
    pub fn fake(&self, key: Option<&str>) -> Fake {
        let fake = Fake::default();
        let server = fake.serve();
        self.push(&repository(&server), key);
        fake
    }

    /// Writes the bundles for substitutes into a directory, signed or not, and returns the plan's.
    pub fn bundle(&self, directory: &Path, key: Option<&str>) -> PathBuf {
        fs::create_dir_all(directory).unwrap();
        let mut command = self
            .maker
            .project
            .mkimg(["export", "images/tiny.kdl", "-o"]);
        run(command.arg(directory));
        let path = directory.join(format!("{}.mkimg", self.plan_tag()));
        if let Some(key) = key {
            let bundle = Bundle::open(&path).unwrap();
            let found = find(&bundle, &bundle.name).unwrap();
            let sign = |image| sign_one(&bundle, &bundle.layout, image, &self.path(key));
            let _kept: Vec<TempDir> = found.images.iter().map(sign).collect();
            write(&bundle.layout, &path).unwrap();
        }
        path
    }

    /// The arguments that ask a place, and trust the team.
    pub fn ask(&self, place: &str) -> Vec<String> {
        ["--from", place, "--trust", &self.path("signers")]
            .map(str::to_owned)
            .to_vec()
    }

    /// Asserts that an image is the team's: `image.json` says the same, byte for byte.
    pub fn assert_same(&self, found: &Value, whose: &str) {
        let text = |value: &Value| {
            fs::read(Path::new(value["path"].as_str().unwrap()).join("image.json")).unwrap()
        };
        assert_eq!(text(found), text(&self.built), "{whose}");
        assert_eq!(found["identities"], self.built["identities"], "{whose}");
    }
}

/// Signs the image with the tag 1 of a repository, for each architecture.
pub fn sign(repository: &str, key: &str) {
    let reference: Reference = repository.parse().unwrap();
    let registry = Registry::new(&reference, RegistryOptions::default(), &Silent).unwrap();
    for image in &find(&registry, "1").unwrap().images {
        sign_one(&registry, &registry, image, key);
    }
}

/// Signs an image as OpenSSH does; returns where the signature is, until it is written elsewhere.
fn sign_one(from: &dyn Origin, to: &dyn Destination, image: &Descriptor, key: &str) -> TempDir {
    let scratch = TempDir::new().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    let shared = Shared::read(from, image, &store, 1 << 30).unwrap();
    let statement = Statement::new(Claim::Signature, &shared.image, &image.digest);
    let file = scratch.path().join("statement");
    fs::write(&file, statement.bytes()).unwrap();
    let keygen = tool("ssh-keygen").unwrap();
    let mut command = Command::new(keygen);
    command.args(["-q", "-Y", "sign", "-n", "mkimg-image-v1", "-f", key]);
    run(command.arg(&file));
    let armoured = fs::read_to_string(file.with_extension("sig")).unwrap();
    attach_statement(to, image, Claim::Signature, &statement, &armoured, &store).unwrap();
    scratch
}

/// `HOST:PORT/team/thing`
pub fn repository(server: &Server) -> String {
    format!("{}/team/thing", server.address())
}

/// A project with the team's recipe, and an empty cache. Its source is beside it.
pub fn tiny() -> Tiny {
    let tiny = Tiny::new();
    tiny.takes(&thing(), "file \"/thing\" from=\"thing\"");
    tiny
}

/// The source of the recipe.
pub fn thing() -> Vec<u8> {
    noise(40_000)
}

/// Realizes somebody's recipe; returns what `--json` prints, and what was said.
pub fn realize(taker: &Tiny, args: &[String]) -> (Value, String) {
    let mut command = taker.realize(&["--json"]);
    let output = run(command.args(args));
    (
        json(&output),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Returns the blobs of a cache by their digests.
pub fn blobs(project: &Project) -> Vec<String> {
    let bucket = project.path("cache/blobs-v1");
    let name = |path: &PathBuf| {
        let path = path.strip_prefix(&bucket).unwrap();
        path.display().to_string().replace('/', "")
    };
    crate::tiny::files(&bucket).iter().map(name).collect()
}
