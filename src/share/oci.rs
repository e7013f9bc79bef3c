//! The OCI image specification's types, as far as mkimg writes and reads them: descriptors, image manifests, image indexes.
//!
//! Writing is canonical (keys sorted, no blanks); reading is bounded and strict about what mkimg relies on, and passes over
//! what it does not know, as the specification asks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ShareError;
use super::text::fit;
use crate::digest::Digest;

/// The media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of the empty config `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The artifact type of an image of mkimg, of its index too.
pub const IMAGE: &str = "application/vnd.mkimg.image.v1";
/// The annotation with a file name, by which other tools write a layer to disk.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The annotation with a description.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// The annotation with a tag in the `index.json` of a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The most bytes that a manifest or an index may have: what the distribution specification asks registries to take.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// The most entries that a list in a manifest or an index may have.
const MAX_LIST: usize = 4096;

/// What something is, and how to tell that it is that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// What kind of artifact a manifest is.
    pub artifact_type: Option<String>,
    /// The architecture in Go's words (`amd64`, `arm64`), in an index.
    pub architecture: Option<String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, in order.
    pub layers: Vec<Descriptor>,
    /// The manifest that it says something about.
    pub subject: Option<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An image index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// What kind of artifact it lists.
    pub artifact_type: Option<String>,
    /// What it lists, in order.
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Returns the descriptor of some bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Returns a descriptor without annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            architecture: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Returns the descriptor with one more annotation.
    pub fn with(mut self, key: &str, value: &str) -> Descriptor {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Compares bytes with the descriptor. `object` names them in the error.
    ///
    /// # Errors
    /// [`ShareError::Mismatch`].
    pub fn check(&self, object: &str, bytes: &[u8]) -> Result<(), ShareError> {
        let found = Digest::of(bytes);
        if found == self.digest && bytes.len() as u64 == self.size {
            return Ok(());
        }
        Err(ShareError::Mismatch {
            object: object.to_owned(),
            expected: format!("sha256:{} in {} bytes", self.digest, self.size),
            found: format!("sha256:{found} in {} bytes", bytes.len()),
        })
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "digest": format!("sha256:{}", self.digest),
            "mediaType": self.media_type,
            "size": self.size,
        });
        if let Some(kind) = &self.artifact_type {
            value["artifactType"] = json!(kind);
        }
        if let Some(architecture) = &self.architecture {
            value["platform"] = json!({ "architecture": architecture, "os": "linux" });
        }
        annotate(&mut value, &self.annotations);
        value
    }

    /// Returns the entry of an index, in the order of [`Index::bytes`].
    fn in_index(&self) -> String {
        let platform = match &self.architecture {
            Some(name) => format!(
                r#","platform":{{"architecture":{},"os":"linux"}}"#,
                json!(name)
            ),
            None => String::new(),
        };
        let kind = match &self.artifact_type {
            Some(kind) => format!(r#","artifactType":{}"#, json!(kind)),
            None => String::new(),
        };
        format!(
            r#"{{"mediaType":{},"digest":"sha256:{}","size":{}{}{platform}{kind}}}"#,
            json!(self.media_type),
            self.digest,
            self.size,
            annotated(&self.annotations)
        )
    }

    fn parse(value: &Value, object: &str, at: &str) -> Result<Descriptor, ShareError> {
        let wrong = |what: &str| {
            ShareError::invalid(
                object,
                format!("`{at}.{what}` is missing or of the wrong type"),
            )
        };
        let text = |key: &str| value[key].as_str().ok_or_else(|| wrong(key));
        let digest = text("digest")?
            .strip_prefix("sha256:")
            .and_then(|hex| hex.parse().ok())
            .ok_or_else(|| {
                ShareError::invalid(object, format!("`{at}.digest` is no `sha256:` digest"))
            })?;
        Ok(Descriptor {
            media_type: text("mediaType")?.to_owned(),
            digest,
            size: value["size"].as_u64().ok_or_else(|| wrong("size"))?,
            artifact_type: value["artifactType"].as_str().map(str::to_owned),
            architecture: value["platform"]["architecture"]
                .as_str()
                .map(str::to_owned),
            annotations: annotations(value, object, at)?,
        })
    }
}

impl Manifest {
    /// Returns the canonical bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let layers: Vec<Value> = self.layers.iter().map(Descriptor::json).collect();
        let mut value = json!({
            "config": self.config.json(),
            "layers": layers,
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        });
        if let Some(kind) = &self.artifact_type {
            value["artifactType"] = json!(kind);
        }
        if let Some(subject) = &self.subject {
            value["subject"] = subject.json();
        }
        annotate(&mut value, &self.annotations);
        value.to_string().into_bytes()
    }

    /// Returns the descriptor of the canonical bytes.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            artifact_type: self.artifact_type.clone(),
            ..Descriptor::of(MANIFEST, &self.bytes())
        }
    }

    /// Reads a manifest, whoever wrote it. `object` names it in errors.
    ///
    /// # Errors
    /// [`ShareError::Invalid`].
    pub fn parse(bytes: &[u8], object: &str) -> Result<Manifest, ShareError> {
        let value = document(bytes, MANIFEST, object)?;
        Ok(Manifest {
            artifact_type: value["artifactType"].as_str().map(str::to_owned),
            config: Descriptor::parse(&value["config"], object, "config")?,
            layers: list(&value, "layers", object)?,
            subject: match &value["subject"] {
                Value::Null => None,
                subject => Some(Descriptor::parse(subject, object, "subject")?),
            },
            annotations: annotations(&value, object, "manifest")?,
        })
    }
}

impl Index {
    /// Returns the canonical bytes: keys in the order of the image specification's Go types, no blanks. Tools that are written with
    /// these (skopeo 1.9 among them) write an index anew when they copy it, and then it keeps its digest, as long as it has
    /// no `artifactType` either, which they do not know.
    pub fn bytes(&self) -> Vec<u8> {
        let kind = match &self.artifact_type {
            Some(kind) => format!(r#""artifactType":{},"#, json!(kind)),
            None => String::new(),
        };
        let manifests: Vec<String> = self.manifests.iter().map(Descriptor::in_index).collect();
        format!(
            r#"{{"schemaVersion":2,"mediaType":{},{kind}"manifests":[{}]{}}}"#,
            json!(INDEX),
            manifests.join(","),
            annotated(&self.annotations)
        )
        .into_bytes()
    }

    /// Returns the descriptor of the canonical bytes.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            artifact_type: self.artifact_type.clone(),
            ..Descriptor::of(INDEX, &self.bytes())
        }
    }

    /// Reads an index, whoever wrote it. `object` names it in errors.
    ///
    /// # Errors
    /// [`ShareError::Invalid`].
    pub fn parse(bytes: &[u8], object: &str) -> Result<Index, ShareError> {
        let value = document(bytes, INDEX, object)?;
        Ok(Index {
            artifact_type: value["artifactType"].as_str().map(str::to_owned),
            manifests: list(&value, "manifests", object)?,
            annotations: annotations(&value, object, "index")?,
        })
    }
}

/// Reads a document of a media type, which it may leave out.
fn document(bytes: &[u8], media_type: &str, object: &str) -> Result<Value, ShareError> {
    if bytes.len() as u64 > MAX_MANIFEST {
        let problem = format!(
            "it has {} bytes, at most {MAX_MANIFEST} are read",
            bytes.len()
        );
        return Err(ShareError::invalid(object, problem));
    }
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| ShareError::invalid(object, format!("it is no JSON: {error}")))?;
    if value["schemaVersion"] != 2 {
        return Err(ShareError::invalid(object, "its `schemaVersion` is not 2"));
    }
    match &value["mediaType"] {
        Value::Null => Ok(value),
        Value::String(found) if found == media_type => Ok(value),
        other => {
            let other = fit(&other.to_string());
            let problem = format!("its media type is {other}, expected `{media_type}`");
            Err(ShareError::invalid(object, problem))
        }
    }
}

fn list(value: &Value, key: &str, object: &str) -> Result<Vec<Descriptor>, ShareError> {
    let Some(list) = value[key].as_array().filter(|list| list.len() <= MAX_LIST) else {
        let problem = format!("`{key}` is no list of at most {MAX_LIST}");
        return Err(ShareError::invalid(object, problem));
    };
    let parse = |(index, item)| Descriptor::parse(item, object, &format!("{key}[{index}]"));
    list.iter().enumerate().map(parse).collect()
}

fn annotations(
    value: &Value,
    object: &str,
    at: &str,
) -> Result<BTreeMap<String, String>, ShareError> {
    let wrong = || ShareError::invalid(object, format!("`{at}.annotations` is no map of texts"));
    let pairs: &Map<String, Value> = match &value["annotations"] {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(pairs) => pairs,
        _ => return Err(wrong()),
    };
    let pair = |(key, value): (&String, &Value)| {
        let text = value.as_str().ok_or_else(wrong)?;
        Ok((key.clone(), text.to_owned()))
    };
    pairs.iter().map(pair).collect()
}

fn annotate(value: &mut Value, annotations: &BTreeMap<String, String>) {
    if !annotations.is_empty() {
        value["annotations"] = json!(annotations);
    }
}

fn annotated(annotations: &BTreeMap<String, String>) -> String {
    match annotations.is_empty() {
        true => String::new(),
        false => format!(r#","annotations":{}"#, json!(annotations)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_canonical_and_reads_as_it_was() {
        let layer = Descriptor::of("text/plain", b"hello").with(TITLE, "hello.txt");
        let manifest = Manifest {
            artifact_type: Some(IMAGE.to_owned()),
            config: Descriptor::of(EMPTY, b"{}"),
            layers: vec![layer],
            subject: None,
            annotations: BTreeMap::new(),
        };
        let bytes = manifest.bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with(r#"{"artifactType":"application/vnd.mkimg.image.v1","config":{"digest":"sha256:44136fa3"#), "{text}");
        assert_eq!(Manifest::parse(&bytes, "it").unwrap(), manifest);
        let mut entry = manifest.descriptor();
        entry.architecture = Some("amd64".to_owned());
        let index = Index {
            artifact_type: Some(IMAGE.to_owned()),
            manifests: vec![entry],
            annotations: BTreeMap::from([(TITLE.to_owned(), "x".to_owned())]),
        };
        assert_eq!(Index::parse(&index.bytes(), "it").unwrap(), index);
        let text = String::from_utf8(index.bytes()).unwrap();
        assert!(
            text.starts_with(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","artifactType":"application/vnd.mkimg.image.v1","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:"#),
            "{text}"
        );
        assert!(
            text.ends_with(r#","platform":{"architecture":"amd64","os":"linux"},"artifactType":"application/vnd.mkimg.image.v1"}],"annotations":{"org.opencontainers.image.title":"x"}}"#),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        let cases = [
            ("", "it is no JSON"),
            ("[]", "`schemaVersion` is not 2"),
            (
                r#"{"schemaVersion":2,"mediaType":"x"}"#,
                "its media type is \"x\"",
            ),
            (r#"{"schemaVersion":2}"#, "`config.digest` is missing"),
            (
                r#"{"schemaVersion":2,"config":{"digest":"sha512:00","mediaType":"x","size":1}}"#,
                "no `sha256:` digest",
            ),
            (
                r#"{"schemaVersion":2,"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"x","size":-1}}"#,
                "`config.size`",
            ),
        ];
        for (text, problem) in cases {
            let error = Manifest::parse(text.as_bytes(), "it")
                .unwrap_err()
                .to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
