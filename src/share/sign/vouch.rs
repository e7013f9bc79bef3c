//! Who vouches for an image: its referrers, each held to the image itself and to the keys that are trusted.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::SignError;
use super::allowed::AllowedSigners;
use super::key::PublicKey;
use super::sshsig::SshSig;
use super::statement::{Claim, SIGNATURE, STATEMENT, Statement};
use crate::realize::Image;
use crate::share::oci::{Descriptor, Manifest, TITLE};
use crate::share::text::fit;
use crate::share::{Origin, ShareError};
use crate::store::{Store, StoreError};

/// The most bytes of a statement or a signature.
const MAX_TEXT: u64 = 64 << 10;
/// The most referrers that are looked at for statements: anybody who may push can add one.
const MAX_STATEMENTS: usize = 256;

/// A trusted key that said something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// Whose key it is, in the words of the `allowed_signers` file.
    pub principals: String,
    /// The key.
    pub key: PublicKey,
}

/// A statement that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Its manifest, `sha256:HEX`.
    pub object: String,
    /// Why.
    pub why: String,
}

/// Who vouches for an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vouched {
    /// The trusted keys, each once.
    pub by: Vec<Voucher>,
    /// What does not count.
    pub ignored: Vec<Ignored>,
}

impl Vouched {
    /// Says in one line why nobody counts.
    pub fn why_not(&self) -> String {
        match self.ignored.as_slice() {
            [] => "nobody has signed it".to_owned(),
            [first, rest @ ..] => {
                let more = match rest.len() {
                    0 => String::new(),
                    count => format!(" (and {count} more that do not count)"),
                };
                format!("`{}` does not count: {}{more}", first.object, first.why)
            }
        }
    }
}

/// Returns which trusted keys make a claim about an image at a time (seconds since 1970), and why other statements do not
/// count. `manifest` is the image's descriptor, whose bytes and whose agreement with `image` were checked
/// ([`crate::share::Shared::read`]). What is wrong with one statement never hides another.
///
/// # Errors
/// [`ShareError`] where the place cannot be asked for its referrers, or the cache fails.
pub fn vouched(
    origin: &dyn Origin,
    manifest: &Descriptor,
    image: &Image,
    claim: Claim,
    trust: &AllowedSigners,
    now: u64,
    store: &Store,
) -> Result<Vouched, ShareError> {
    let statement = Statement::new(claim, image, &manifest.digest);
    let mut by: BTreeMap<PublicKey, Voucher> = BTreeMap::new();
    let mut vouched = Vouched::default();
    let other = |kind: &Option<String>| {
        kind.as_deref()
            .is_some_and(|kind| kind != claim.artifact_type())
    };
    let mut looked = 0;
    for referrer in origin.referrers(&manifest.digest)? {
        // Tools that copy indexes may leave the type out: then the manifest says it.
        if other(&referrer.artifact_type) {
            continue;
        }
        let mut ignore = |why: String| {
            vouched.ignored.push(Ignored {
                object: format!("sha256:{}", referrer.digest),
                why,
            });
        };
        looked += 1;
        if looked > MAX_STATEMENTS {
            ignore(format!("only the first {MAX_STATEMENTS} are looked at"));
            break;
        }
        match read(origin, &referrer, manifest, claim, store) {
            // It counts as looked at: a list of thousands without types would else be fetched to its end.
            Ok(None) => {}
            Ok(Some((said, signature))) => match check(&statement, &said, &signature, trust, now) {
                Ok(voucher) => drop(by.insert(voucher.key.clone(), voucher)),
                Err(error) => ignore(error.to_string()),
            },
            Err(ShareError::Store(error)) => return Err(error.into()),
            Err(error) => ignore(error.to_string()),
        }
    }
    vouched.by = by.into_values().collect();
    Ok(vouched)
}

/// Returns a statement and its signature; `None` where the referrer is something else.
fn read(
    origin: &dyn Origin,
    referrer: &Descriptor,
    subject: &Descriptor,
    claim: Claim,
    store: &Store,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, ShareError> {
    let object = format!("the manifest `sha256:{}`", referrer.digest);
    let manifest = Manifest::parse(&origin.manifest(referrer)?, &object)?;
    if manifest.artifact_type.as_deref() != Some(claim.artifact_type()) {
        return Ok(None);
    }
    let said = manifest.subject.map(|subject| subject.digest);
    if said != Some(subject.digest) {
        let problem = "its subject is another manifest than the one that it is listed under";
        return Err(ShareError::invalid(object, problem));
    }
    let mut noted = manifest.annotations.keys().chain(
        manifest
            .layers
            .iter()
            .chain([&manifest.config])
            .flat_map(|layer| layer.annotations.keys().filter(|key| *key != TITLE)),
    );
    if let Some(key) = noted.next() {
        let problem = format!(
            "it has the annotation `{}`, which the signature is not about",
            fit(key)
        );
        return Err(ShareError::invalid(object, problem));
    }
    let layer = |media_type: &str| -> Result<Vec<u8>, ShareError> {
        let mut found = manifest.layers.iter();
        let Some(layer) = found.find(|layer| layer.media_type == media_type) else {
            let problem = format!("it has no `{media_type}`");
            return Err(ShareError::invalid(&*object, problem));
        };
        if layer.size > MAX_TEXT {
            let problem = format!(
                "a layer declares {} bytes, at most {MAX_TEXT} are read",
                layer.size
            );
            return Err(ShareError::invalid(&*object, problem));
        }
        let blob = origin.blob(layer, store)?;
        let mut bytes = Vec::new();
        blob.open()?
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::io("read", &blob.path, error))?;
        layer.check(&format!("the blob `sha256:{}`", layer.digest), &bytes)?;
        Ok(bytes)
    };
    Ok(Some((layer(STATEMENT)?, layer(SIGNATURE)?)))
}

fn check(
    statement: &Statement,
    said: &[u8],
    signature: &[u8],
    trust: &AllowedSigners,
    now: u64,
) -> Result<Voucher, SignError> {
    let text =
        std::str::from_utf8(signature).map_err(|_| SignError::new("its signature is not UTF-8"))?;
    let signature = SshSig::parse(text)?;
    // First whether it is one at all, then what it says, then who said it.
    let whose = signature.key.fingerprint();
    signature
        .verify(said)
        .map_err(|error| SignError::new(format!("{error} (key {whose})")))?;
    if let Some(difference) = statement.difference(said) {
        return Err(SignError::new(difference));
    }
    let signer = trust
        .find(&signature.key, now)
        .map_err(|error| SignError::new(format!("{error} ({whose})")))?;
    Ok(Voucher {
        principals: fit(&signer.principals),
        key: signature.key,
    })
}
