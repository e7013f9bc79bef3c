//! Keys to sign with, and files of keys to trust.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::Error;
use crate::realize::Image;
use crate::share::Destination;
use crate::share::oci::Descriptor;
use crate::share::sign::{
    AllowedSigners, Claim, MAX_ALLOWED, NAMESPACE, PrivateKey, SshSig, Statement, attach_statement,
    private_key,
};
use crate::store::Store;

/// The most bytes of a key's file.
const MAX_KEY: u64 = 64 << 10;

/// A key to sign with.
pub(crate) struct Key {
    path: PathBuf,
    /// The key itself, where it can be used here; else `ssh-keygen` signs.
    private: Option<PrivateKey>,
}

impl Key {
    /// Reads a key. One with a passphrase, of another type or in an agent is left to `ssh-keygen`.
    pub(crate) fn open(path: &Path) -> Result<Key, Error> {
        let text = read(path, "read the key", MAX_KEY)?;
        let private = private_key(&text).map_err(|error| {
            Error::usage(
                format!("`{}` is no key: {error}", path.display()),
                "name a private key of `ssh-keygen`, or the public key of one that an agent has",
            )
        })?;
        Ok(Key {
            path: path.to_path_buf(),
            private,
        })
    }

    /// Returns the armoured signature of a message.
    fn sign(&self, message: &[u8]) -> Result<String, Error> {
        let text = match &self.private {
            Some(key) => SshSig::sign(key, message).armoured(),
            None => self.ssh_keygen(message)?,
        };
        // What others will check is checked here first: ssh-keygen knows keys that nobody could check.
        let checked = SshSig::parse(&text).and_then(|signature| signature.verify(message));
        checked.map_err(|error| {
            Error::usage(
                format!(
                    "what `ssh-keygen` signed with `{}` is no signature to mkimg: {error}",
                    self.path.display()
                ),
                "sign with an Ed25519, ECDSA (256 or 384 bits) or RSA key (2048 bits or more)",
            )
        })?;
        Ok(text)
    }

    /// Lets `ssh-keygen` sign, which asks for a passphrase on the terminal, or an agent.
    fn ssh_keygen(&self, message: &[u8]) -> Result<String, Error> {
        let failed = Error::usage;
        let spawned = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| {
            failed(
                format!("could not start `ssh-keygen`: {error}"),
                "it signs with keys that have a passphrase, are in an agent or are not Ed25519: install OpenSSH's client",
            )
        })?;
        // Where it does not read to the end, its exit code says why.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(message);
        }
        let output = child.wait_with_output();
        match output {
            Ok(output) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).into_owned())
            }
            _ => Err(failed(
                format!("`ssh-keygen` did not sign with `{}`", self.path.display()),
                "above it says why; a public key needs its other half in the agent (`ssh-add -l`)",
            )),
        }
    }

    /// Signs what is claimed about an image, and puts it beside its manifest.
    pub(crate) fn attach(
        &self,
        to: &dyn Destination,
        claim: Claim,
        image: &Image,
        manifest: &Descriptor,
        store: &Store,
    ) -> Result<(), Error> {
        let statement = Statement::new(claim, image, &manifest.digest);
        let signature = self.sign(&statement.bytes())?;
        Ok(attach_statement(
            to, manifest, claim, &statement, &signature, store,
        )?)
    }
}

/// Reads a file of trusted keys.
pub(crate) fn trusted(path: &Path) -> Result<AllowedSigners, Error> {
    let text = read(path, "read the trusted keys in", MAX_ALLOWED)?;
    AllowedSigners::parse(&text).map_err(|error| {
        Error::usage(
            format!(
                "`{}` is no file of allowed signers: {error}",
                path.display()
            ),
            "each line is `PRINCIPALS [OPTIONS] TYPE KEY`, as ssh-keygen(1) has it under ALLOWED SIGNERS: a name and what a .pub file has",
        )
    })
}

/// Reads a small text.
fn read(path: &Path, what: &'static str, limit: u64) -> Result<String, Error> {
    let io = |error| Error::io(what, path, error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(Error::usage(
            format!("`{}` has more than {limit} bytes", path.display()),
            "name the file that was meant",
        ));
    }
    String::from_utf8(bytes).map_err(|_| {
        Error::usage(
            format!("`{}` is not UTF-8: it is no file of keys", path.display()),
            "name the file that was meant",
        )
    })
}
