//! What is signed: a canonical statement about one image, and where it is kept.

use serde_json::{Value, json};

use super::sshsig::NAMESPACE;
use crate::digest::Digest;
use crate::realize::Image;
use crate::share::oci::{Descriptor, EMPTY, Manifest, TITLE};
use crate::share::text::fit;
use crate::share::{Destination, ShareError};
use crate::store::Store;

/// The media type of a statement.
pub(super) const STATEMENT: &str = "application/vnd.mkimg.statement.v1+json";
/// The media type of its signature.
pub(super) const SIGNATURE: &str = "application/vnd.mkimg.signature.v1+sshsig";

/// What somebody says about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// 'I publish this image.'
    Signature,
    /// 'I rebuilt its plan and got this image.'
    Reproduction,
}

impl Claim {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Claim::Signature => "signature",
            Claim::Reproduction => "reproduction",
        }
    }

    /// Returns the type of the artifact that carries it.
    pub fn artifact_type(self) -> &'static str {
        match self {
            Claim::Signature => "application/vnd.mkimg.signature.v1",
            Claim::Reproduction => "application/vnd.mkimg.reproduction.v1",
        }
    }
}

/// A statement about one image. Two people who say the same write the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement(Value);

impl Statement {
    /// Returns the statement about an image and its manifest.
    pub fn new(claim: Claim, image: &Image, manifest: &Digest) -> Statement {
        let named = |digest: &Digest| format!("sha256:{digest}");
        Statement(json!({
            "arch": image.arch.name(),
            "claim": claim.word(),
            "image": {
                "initramfs": named(&image.initramfs.digest),
                "kernel": named(&image.kernel.digest),
            },
            "manifest": named(manifest),
            "name": image.name,
            "plan": named(&image.plan),
            "sources": named(&image.sources),
            "statement": NAMESPACE,
            "tree": named(&image.tree),
        }))
    }

    /// Returns the bytes that are signed: one line of JSON, keys sorted, no blanks, no line end.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// Says how other bytes differ from this statement; `None` where they are it.
    pub(super) fn difference(&self, found: &[u8]) -> Option<String> {
        if found == self.bytes() {
            return None;
        }
        let Ok(Value::Object(other)) = serde_json::from_slice::<Value>(found) else {
            return Some("its statement is no JSON object".to_owned());
        };
        let own = self.0.as_object().into_iter().flatten();
        // What tells most comes first.
        let order = ["claim", "name", "arch", "manifest"];
        let mut fields: Vec<_> = own.collect();
        fields.sort_by_key(|(key, _)| order.iter().position(|one| one == key).unwrap_or(9));
        for (key, value) in fields {
            let said = other.get(key).unwrap_or(&Value::Null);
            if said != value {
                let (said, value) = (shown(said), shown(value));
                return Some(format!(
                    "its statement is about another image: `{key}` is {said}, here it is {value}"
                ));
            }
        }
        Some("its statement is not as mkimg writes it".to_owned())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", fit(text)),
        other => fit(&other.to_string()),
    }
}

/// Puts a statement and its armoured signature beside the image manifest `subject`.
///
/// # Errors
/// [`ShareError`].
pub fn attach_statement(
    to: &dyn Destination,
    subject: &Descriptor,
    claim: Claim,
    statement: &Statement,
    signature: &str,
    store: &Store,
) -> Result<(), ShareError> {
    let put = |media_type: &str, title: &str, bytes: &[u8]| {
        let mut descriptor = Descriptor::of(media_type, bytes);
        if !title.is_empty() {
            descriptor = descriptor.with(TITLE, title);
        }
        to.put_blob(&descriptor, &store.blob_from(&mut &*bytes, store.root())?)?;
        Ok::<_, ShareError>(descriptor)
    };
    let manifest = Manifest {
        artifact_type: Some(claim.artifact_type().to_owned()),
        config: put(EMPTY, "", b"{}")?,
        layers: vec![
            put(STATEMENT, "statement.json", &statement.bytes())?,
            put(SIGNATURE, "statement.json.sig", signature.as_bytes())?,
        ],
        subject: Some(Descriptor::new(
            &subject.media_type,
            subject.digest,
            subject.size,
        )),
        annotations: Default::default(),
    };
    to.put_referrer(&subject.digest, &manifest.descriptor(), &manifest.bytes())
}
