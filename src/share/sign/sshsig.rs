//! SSH signatures of files: OpenSSH's `PROTOCOL.sshsig`.

use sha2::{Digest as _, Sha256, Sha512};

use super::SignError;
use super::key::{PrivateKey, PublicKey};
use super::wire::{Reader, armour, put, unarmour};

/// What the signatures are for: a key may sign mail and commits, and none of that counts here.
pub const NAMESPACE: &str = "mkimg-image-v1";

const MAGIC: &[u8] = b"SSHSIG";
const KIND: &str = "SSH SIGNATURE";

/// A signature with the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSig {
    /// The key that it says it is of.
    pub key: PublicKey,
    /// What it is for.
    pub namespace: String,
    hash: Hash,
    signature: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha256",
            Hash::Sha512 => "sha512",
        }
    }

    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

impl SshSig {
    /// Signs a message.
    pub fn sign(key: &PrivateKey, message: &[u8]) -> SshSig {
        let signature = key.sign(&signed(NAMESPACE, Hash::Sha512, message));
        SshSig {
            key: key.public().clone(),
            namespace: NAMESPACE.to_owned(),
            hash: Hash::Sha512,
            signature,
        }
    }

    /// Reads an armoured signature.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn parse(text: &str) -> Result<SshSig, SignError> {
        let bytes = unarmour(text, KIND)?;
        let mut read = Reader(&bytes);
        if read.bytes(MAGIC.len())? != MAGIC {
            return Err(SignError::new("it does not begin with SSHSIG"));
        }
        match read.u32()? {
            1 => {}
            other => return Err(SignError::new(format!("its version is {other}, not 1"))),
        }
        let key = PublicKey::new(read.string()?)?;
        let namespace = read.text()?.to_owned();
        let _reserved = read.string()?;
        let hash = match read.text()? {
            "sha256" => Hash::Sha256,
            "sha512" => Hash::Sha512,
            _ => return Err(SignError::new("its hash is neither sha512 nor sha256")),
        };
        let signature = read.string()?.to_vec();
        read.end()?;
        Ok(SshSig {
            key,
            namespace,
            hash,
            signature,
        })
    }

    /// Returns the armoured text.
    pub fn armoured(&self) -> String {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(1u32.to_be_bytes());
        put(&mut bytes, self.key.blob());
        put(&mut bytes, self.namespace.as_bytes());
        put(&mut bytes, b"");
        put(&mut bytes, self.hash.name().as_bytes());
        put(&mut bytes, &self.signature);
        armour(&bytes, KIND)
    }

    /// Compares the signature with a message. That the key is one to be trusted is for the caller to say.
    ///
    /// # Errors
    /// [`SignError`], also where the signature is for something else than images.
    pub fn verify(&self, message: &[u8]) -> Result<(), SignError> {
        if self.namespace != NAMESPACE {
            let other: String = self.namespace.escape_debug().take(64).collect();
            return Err(SignError::new(format!(
                "its namespace is `{other}`, not `{NAMESPACE}`"
            )));
        }
        let signed = signed(&self.namespace, self.hash, message);
        self.key.verify(&signed, &self.signature)
    }
}

/// Returns what the key really signs.
fn signed(namespace: &str, hash: Hash, message: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    put(&mut bytes, namespace.as_bytes());
    put(&mut bytes, b"");
    put(&mut bytes, hash.name().as_bytes());
    put(&mut bytes, &hash.of(message));
    bytes
}
