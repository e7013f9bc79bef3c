//! Keys of SSH: Ed25519, ECDSA over P-256 and P-384, RSA; private ones only of Ed25519 and without a passphrase, the rest is
//! left to `ssh-keygen`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::SignError;
use super::wire::{Reader, put, unarmour};
use crate::digest::Digest;

const MAGIC: &[u8] = b"openssh-key-v1\0";
const ED25519_NAME: &str = "ssh-ed25519";
/// The sizes of RSA keys that signatures are verified with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key. Two are the same where their bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    blob: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl PublicKey {
    /// Reads a key in SSH's wire format.
    ///
    /// # Errors
    /// [`SignError`] for a key of a kind that is not known here.
    pub fn new(blob: &[u8]) -> Result<PublicKey, SignError> {
        let kind = Reader(blob).text()?;
        let known = [
            ED25519_NAME,
            "ecdsa-sha2-nistp256",
            "ecdsa-sha2-nistp384",
            "ssh-rsa",
        ];
        if !known.contains(&kind) {
            let kind: String = kind.escape_debug().take(64).collect();
            return Err(SignError::new(format!(
                "keys of the type `{kind}` are not known here: ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384 and ssh-rsa are"
            )));
        }
        let key = PublicKey {
            blob: blob.to_vec(),
        };
        key.check()?;
        Ok(key)
    }

    /// Refuses a key that nothing could be verified with, such as one cut off, and one with more in it than a key: who counts
    /// signers by their keys must not meet one in two forms.
    fn check(&self) -> Result<(), SignError> {
        let mut read = Reader(&self.blob);
        let wrong = |problem: &str| Err(SignError::new(problem));
        match read.text()? {
            ED25519_NAME => {
                let point = read.string()?;
                read.end()?;
                if point.len() != 32 {
                    return wrong("the key has not its 32 bytes");
                }
            }
            "ssh-rsa" => {
                let (e, n) = (read.number()?, read.number()?);
                read.end()?;
                let bits = n
                    .first()
                    .map_or(0, |first| 8 * n.len() - first.leading_zeros() as usize);
                if !RSA_BITS.contains(&bits) {
                    let problem =
                        format!("an RSA key of {bits} bits is not taken: 2048 to 8192 are");
                    return Err(SignError::new(problem));
                }
                let mut plain = Vec::new();
                put(&mut plain, b"ssh-rsa");
                for number in [e, n] {
                    let sign = number.first().is_some_and(|first| first & 0x80 != 0);
                    put(&mut plain, &[&[0][..usize::from(sign)], number].concat());
                }
                if plain != self.blob {
                    return wrong("the key is not written as OpenSSH writes it");
                }
            }
            kind => {
                let (name, length) = match kind {
                    "ecdsa-sha2-nistp256" => ("nistp256", 65),
                    _ => ("nistp384", 97),
                };
                let point = curve(read, name)?;
                // Uncompressed, which is the only form that SSH has.
                if point.len() != length || point.first() != Some(&4) {
                    return wrong("the key's point has not its form");
                }
            }
        }
        Ok(())
    }

    /// Reads the type and the base64 that a line of a `.pub` file or of `allowed_signers` has.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn parse(kind: &str, base64: &str) -> Result<PublicKey, SignError> {
        let blob = STANDARD
            .decode(base64)
            .map_err(|_| SignError::new("the key is no base64"))?;
        let key = PublicKey::new(&blob)?;
        if key.kind() != kind {
            return Err(SignError::new("the key is of another type than it says"));
        }
        Ok(key)
    }

    /// Returns the bytes in SSH's wire format.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns the type, such as `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        Reader(&self.blob).text().unwrap_or_default()
    }

    /// Returns the fingerprint as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        let hash = Digest::of(&self.blob);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(hash.as_bytes()))
    }

    /// Compares a signature in SSH's wire format with a message.
    ///
    /// # Errors
    /// [`SignError`] where it is not one of this key over these bytes.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignError> {
        let mut key = Reader(&self.blob);
        let kind = key.text()?;
        let mut read = Reader(signature);
        let scheme = read.text()?;
        let body = read.string()?;
        read.end()?;
        let wrong = || SignError::new("its signature is not one of its key over the statement");
        match (kind, scheme) {
            (ED25519_NAME, ED25519_NAME) => {
                let point = key.string()?;
                key.end()?;
                plain(&ED25519, point, message, body)
            }
            ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                let point = curve(key, "nistp256")?;
                plain(&ECDSA_P256_SHA256_FIXED, point, message, &fixed(body, 32)?)
            }
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
                let point = curve(key, "nistp384")?;
                plain(&ECDSA_P384_SHA384_FIXED, point, message, &fixed(body, 48)?)
            }
            ("ssh-rsa", "rsa-sha2-512") => rsa(key, &RSA_PKCS1_2048_8192_SHA512, message, body)?,
            ("ssh-rsa", "rsa-sha2-256") => rsa(key, &RSA_PKCS1_2048_8192_SHA256, message, body)?,
            _ => {
                return Err(SignError::new(
                    "its signature is of another type than its key",
                ));
            }
        }
        .then_some(())
        .ok_or_else(wrong)
    }
}

fn plain(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let key = UnparsedPublicKey::new(algorithm, point);
    key.verify(message, signature).is_ok()
}

fn rsa(
    mut key: Reader<'_>,
    parameters: &'static RsaParameters,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, SignError> {
    let (e, n) = (key.number()?, key.number()?);
    key.end()?;
    // Some writers leave out leading zeros, which RFC 8332 forbids and ssh-keygen takes.
    let mut padded = vec![0; n.len().saturating_sub(signature.len())];
    padded.extend(signature);
    let key = RsaPublicKeyComponents { n, e };
    Ok(key.verify(parameters, message, &padded).is_ok())
}

/// Returns the point of an ECDSA key.
fn curve<'b>(mut key: Reader<'b>, name: &str) -> Result<&'b [u8], SignError> {
    if key.text()? != name {
        return Err(SignError::new("its key is on another curve than it says"));
    }
    let point = key.string()?;
    key.end()?;
    Ok(point)
}

/// Returns the two numbers of an ECDSA signature, each in `width` bytes.
fn fixed(body: &[u8], width: usize) -> Result<Vec<u8>, SignError> {
    let mut read = Reader(body);
    let mut both = Vec::new();
    for number in [read.number()?, read.number()?] {
        let missing = width
            .checked_sub(number.len())
            .ok_or_else(|| SignError::new("its signature has a number that is too large"))?;
        both.resize(both.len() + missing, 0);
        both.extend(number);
    }
    read.end()?;
    Ok(both)
}

/// An Ed25519 key that can sign here.
pub struct PrivateKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secret.
        f.debug_tuple("PrivateKey").field(&self.public).finish()
    }
}

impl PrivateKey {
    /// Returns the public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the signature of a message in SSH's wire format.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = Vec::new();
        put(&mut signature, ED25519_NAME.as_bytes());
        put(&mut signature, self.pair.sign(message).as_ref());
        signature
    }
}

/// Reads a private key as OpenSSH writes it; `None` for one that only `ssh-keygen` can use: of another type, with a
/// passphrase, in another format, or a public one whose other half an agent has.
///
/// # Errors
/// [`SignError`] for a key that is damaged.
pub fn private_key(text: &str) -> Result<Option<PrivateKey>, SignError> {
    if !text
        .trim_start()
        .starts_with("-----BEGIN OPENSSH PRIVATE KEY-----")
    {
        return Ok(None);
    }
    let bytes = unarmour(text, "OPENSSH PRIVATE KEY")?;
    let mut read = Reader(&bytes);
    if read.bytes(MAGIC.len())? != MAGIC {
        return Ok(None);
    }
    let (cipher, _kdf, _options) = (read.string()?, read.string()?, read.string()?);
    let count = read.u32()?;
    if cipher != b"none" || count != 1 {
        return Ok(None);
    }
    let public = read.string()?;
    let mut secret = Reader(read.string()?);
    if Reader(public).text()? != ED25519_NAME {
        return Ok(None);
    }
    let public = PublicKey::new(public)?;
    let damaged = || SignError::new("the private key is damaged");
    if secret.u32()? != secret.u32()? || secret.text()? != ED25519_NAME {
        return Err(damaged());
    }
    let (point, both) = (secret.string()?, secret.string()?);
    let seed = both.get(..32).ok_or_else(damaged)?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, point).map_err(|_| damaged())?;
    let mut blob = Vec::new();
    put(&mut blob, ED25519_NAME.as_bytes());
    put(&mut blob, point);
    if blob != public.blob {
        return Err(damaged());
    }
    Ok(Some(PrivateKey { pair, public }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(parts: &[&[u8]]) -> Vec<u8> {
        let mut blob = Vec::new();
        for part in parts {
            put(&mut blob, part);
        }
        blob
    }

    #[test]
    fn a_key_that_nothing_could_be_verified_with_is_refused() {
        let odd = |length: usize| [&[1][..], &vec![7; length - 1]].concat();
        let modulus = |length: usize| [&[0, 0x80][..], &vec![7; length - 1]].concat();
        let point = |length: usize| [&[4][..], &vec![7; length - 1]].concat();
        let e: &[u8] = &[1, 0, 1];
        for (blob, problem) in [
            (blob(&[b"ssh-ed25519", &[7; 32]]), None),
            (blob(&[b"ssh-ed25519", &[7; 31]]), Some("32 bytes")),
            (
                blob(&[b"ssh-ed25519", &[7; 32], b""]),
                Some("follows its end"),
            ),
            (blob(&[b"ssh-ed25519"]), Some("cut off")),
            (blob(&[b"ssh-rsa", e, &modulus(256)]), None),
            (blob(&[b"ssh-rsa", e, &modulus(128)]), Some("1024 bits")),
            (blob(&[b"ssh-rsa", e, &odd(256)]), Some("2041 bits")),
            (blob(&[b"ssh-rsa", e, &modulus(2048)]), Some("16384 bits")),
            (blob(&[b"ssh-rsa", e, b""]), Some("0 bits")),
            // The same key in another form would count as another one.
            (
                blob(&[b"ssh-rsa", &[0, 1, 0, 1], &modulus(256)]),
                Some("as OpenSSH writes it"),
            ),
            (
                blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point(65)]),
                None,
            ),
            (
                blob(&[b"ecdsa-sha2-nistp256", b"nistp384", &point(97)]),
                Some("another curve"),
            ),
            (
                blob(&[b"ecdsa-sha2-nistp384", b"nistp384", &point(65)]),
                Some("not its form"),
            ),
            (
                blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &[2; 33]]),
                Some("not its form"),
            ),
        ] {
            match (PublicKey::new(&blob), problem) {
                (Ok(_), None) => {}
                (Err(error), Some(problem)) => {
                    assert!(error.to_string().contains(problem), "{error}");
                }
                (found, _) => panic!("{found:?}, expected {problem:?}"),
            }
        }
    }
}
