//! `ssh-keygen` takes what we sign, and we take what it signs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mkimg::share::sign::{AllowedSigners, NAMESPACE, SshSig, private_key};

use crate::support::tool;

const MESSAGE: &[u8] = b"{\"name\":\"two\"}";

/// Makes a key pair; `None` without `ssh-keygen`.
pub fn generate(dir: &Path, name: &str, kind: &[&str]) -> Option<PathBuf> {
    let path = dir.join(name);
    let mut command = Command::new(tool("ssh-keygen")?);
    command.args(["-q", "-N", "", "-C", name, "-t"]).args(kind);
    let output = command.arg("-f").arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(path)
}

/// The text of a public key's file.
pub fn public(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).unwrap()
}

/// Signs with `ssh-keygen`; returns the armoured signature.
pub fn ssh_sign(key: &Path, namespace: &str, message: &[u8]) -> String {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(key);
    let output = fed(&mut command, message);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Says whether `ssh-keygen` takes a signature of `ann`.
fn ssh_verify(dir: &Path, allowed: &str, signature: &str, message: &[u8]) -> bool {
    fs::write(dir.join("allowed"), allowed).unwrap();
    fs::write(dir.join("sig"), signature).unwrap();
    let mut command = Command::new("ssh-keygen");
    command
        .args([
            "-Y", "verify", "-n", NAMESPACE, "-I", "ann", "-f", "allowed", "-s", "sig",
        ])
        .current_dir(dir);
    fed(&mut command, message).status.success()
}

fn fed(command: &mut Command, message: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    child.wait_with_output().unwrap()
}

const KINDS: [(&str, &[&str]); 5] = [
    ("ed25519", &["ed25519"]),
    ("p256", &["ecdsa", "-b", "256"]),
    ("p384", &["ecdsa", "-b", "384"]),
    ("rsa", &["rsa", "-b", "2048"]),
    ("rsa3072", &["rsa", "-b", "3072"]),
];

#[test]
fn what_ssh_keygen_signs_is_taken_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind) in KINDS {
        let Some(key) = generate(dir.path(), name, kind) else {
            return;
        };
        // ECDSA's numbers differ in length from one signature to the next.
        let rounds = if name.starts_with('p') { 40 } else { 2 };
        for _ in 0..rounds {
            let text = ssh_sign(&key, NAMESPACE, MESSAGE);
            let signature = SshSig::parse(&text).unwrap();
            signature.verify(MESSAGE).unwrap();
            let allowed = AllowedSigners::parse(&format!("ann {}", public(&key))).unwrap();
            assert_eq!(allowed.find(&signature.key, 0).unwrap().principals, "ann");
            assert_eq!(signature.armoured(), text);
            assert!(signature.verify(b"{\"name\":\"twp\"}").is_err());
        }
        let listed = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(&key)
            .output()
            .unwrap();
        let signature = SshSig::parse(&ssh_sign(&key, NAMESPACE, MESSAGE)).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains(&signature.key.fingerprint()), "{listed}");
        let other = SshSig::parse(&ssh_sign(&key, "file", MESSAGE)).unwrap();
        let error = other.verify(MESSAGE).unwrap_err().to_string();
        assert!(error.contains("namespace is `file`"), "{error}");
    }
}

#[test]
fn a_signature_of_which_any_byte_changed_is_refused() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let dir = tempfile::tempdir().unwrap();
    for (name, kind) in &KINDS[..4] {
        let Some(key) = generate(dir.path(), name, kind) else {
            return;
        };
        let text = ssh_sign(&key, NAMESPACE, MESSAGE);
        let own = SshSig::parse(&text).unwrap().key;
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = engine.decode(body).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let armoured = format!(
                "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
                engine.encode(&changed)
            );
            let taken = SshSig::parse(&armoured)
                .is_ok_and(|sig| sig.key == own && sig.verify(MESSAGE).is_ok());
            assert!(!taken, "{name}: byte {at}");
            // Cut off there, it is none either.
            let cut = engine.encode(&bytes[..at]);
            let armoured =
                format!("-----BEGIN SSH SIGNATURE-----\n{cut}\n-----END SSH SIGNATURE-----\n");
            assert!(SshSig::parse(&armoured).is_err(), "{name}: cut at {at}");
        }
    }
}

#[test]
fn ssh_keygen_takes_what_we_sign_and_it_is_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let Some(path) = generate(dir.path(), "ed25519", &["ed25519"]) else {
        return;
    };
    let key = private_key(&fs::read_to_string(&path).unwrap())
        .unwrap()
        .unwrap();
    let ours = SshSig::sign(&key, MESSAGE).armoured();
    assert_eq!(ours, ssh_sign(&path, NAMESPACE, MESSAGE));
    let allowed = format!("ann {}", public(&path));
    assert!(ssh_verify(dir.path(), &allowed, &ours, MESSAGE));
    assert!(!ssh_verify(dir.path(), &allowed, &ours, b"{}"));
    // What only ssh-keygen can use is left to it.
    let rsa = generate(dir.path(), "rsa", &["rsa"]).unwrap();
    for text in [
        fs::read_to_string(&rsa).unwrap(),
        public(&rsa),
        public(&path),
    ] {
        assert!(private_key(&text).unwrap().is_none());
    }
}
