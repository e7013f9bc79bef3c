//! The documents of container images, by the OCI image specification and Docker's own (image manifest version 2, schema 2): read
//! as far as an image needs them, from bytes whose digest is known.

use serde_json::{Map, Value};

use crate::arch::Arch;
use crate::digest::Digest;
use crate::text::shown;

/// The most bytes of a document.
pub const MAX_DOCUMENT: u64 = 4 << 20;
/// The most images of an index, and layers of an image.
const MAX_LIST: usize = 4096;

/// What media type a registry is asked for.
pub const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why a document is none, or none that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It has no known form.
    #[error("it is no index, manifest or config of a container image: {0}")]
    Form(String),
    /// An image of the first schema.
    #[error("it is a manifest of Docker's first schema, which no registry should have any more")]
    Schema1,
    /// No image for an architecture.
    #[error("it has no image for linux on {arch}: it has {has}")]
    Platform {
        /// The architecture.
        arch: Arch,
        /// What there is.
        has: String,
    },
    /// Several images for one architecture.
    #[error(
        "it has {count} images for linux on {arch}: name one of them by its digest ({digests})"
    )]
    Several {
        /// The architecture.
        arch: Arch,
        /// How many.
        count: usize,
        /// Their digests.
        digests: String,
    },
    /// The image says that it is for another architecture.
    #[error("it is an image for {found}, not for linux on {arch}")]
    Other {
        /// The architecture that is wanted.
        arch: Arch,
        /// What it is for.
        found: String,
    },
    /// A layer that is somewhere else.
    #[error(
        "its layer {0} is a foreign one, which only its vendor may hand on: nothing but that vendor's server has it"
    )]
    Foreign(String),
    /// A layer that is no tar.
    #[error(
        "its layer {digest} is `{found}`, no tar that is plain or compressed with gzip or zstd"
    )]
    Layer {
        /// Its digest.
        digest: String,
        /// Its media type.
        found: String,
    },
}

/// Something that a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Platform {
    os: String,
    architecture: String,
    variant: String,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A list of images.
    Index(Vec<Descriptor>),
    /// An image.
    Manifest(Manifest),
    /// An image's config, as `docker save` has it: its layers are plain tars.
    Config(Config),
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// How it is run.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// An image's config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// What it is for, `linux/amd64`.
    pub platform: String,
    /// The sha256 of each layer's plain tar.
    pub layers: Vec<Digest>,
    /// The program to start and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments behind it, or the program.
    pub cmd: Vec<String>,
    /// Variables, `NAME=VALUE`.
    pub env: Vec<String>,
    /// The directory to start in.
    pub working_dir: String,
    /// `USER[:GROUP]`, by names or numbers.
    pub user: String,
    /// The signal that asks it to end.
    pub stop_signal: String,
}

/// Reads a document.
///
/// # Errors
/// [`DocumentError`] for what is none.
pub fn parse(bytes: &[u8]) -> Result<Document, DocumentError> {
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(form(&format!("it has more than {MAX_DOCUMENT} bytes")));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| form(&error.to_string()))?;
    let value = value.as_object().ok_or_else(|| form("it is no object"))?;
    if value.contains_key("fsLayers") {
        return Err(DocumentError::Schema1);
    }
    if value.contains_key("manifests") {
        return Ok(Document::Index(list(value, "manifests")?));
    }
    if value.contains_key("layers") {
        let layers = list(value, "layers")?;
        layers.iter().try_for_each(check_layer)?;
        let config = value.get("config").unwrap_or(&Value::Null);
        let config = descriptor(config, "config")?;
        return Ok(Document::Manifest(Manifest { config, layers }));
    }
    match value.contains_key("rootfs") {
        true => config(value).map(Document::Config),
        false => Err(form("it has neither `manifests` nor `layers` nor `rootfs`")),
    }
}

fn form(problem: &str) -> DocumentError {
    DocumentError::Form(problem.to_owned())
}

fn list(value: &Map<String, Value>, key: &str) -> Result<Vec<Descriptor>, DocumentError> {
    let list = value.get(key).and_then(Value::as_array);
    let list = list.filter(|list| list.len() <= MAX_LIST);
    let list = list.ok_or_else(|| form(&format!("`{key}` is no list of at most {MAX_LIST}")))?;
    list.iter().map(|item| descriptor(item, key)).collect()
}

fn descriptor(value: &Value, at: &str) -> Result<Descriptor, DocumentError> {
    let wrong = |what: &str| {
        form(&format!(
            "`{what}` in `{at}` is missing, or not what it should be"
        ))
    };
    let text = |key: &str| value[key].as_str().ok_or_else(|| wrong(key));
    let digest = text("digest")?.strip_prefix("sha256:");
    let platform = &value["platform"];
    let word = |key: &str| platform[key].as_str().unwrap_or_default().to_owned();
    Ok(Descriptor {
        media_type: text("mediaType")?.to_owned(),
        digest: digest
            .and_then(|hex| hex.parse().ok())
            .ok_or_else(|| wrong("digest"))?,
        size: value["size"].as_u64().ok_or_else(|| wrong("size"))?,
        platform: platform.is_object().then(|| Platform {
            os: word("os"),
            architecture: word("architecture"),
            variant: word("variant"),
        }),
    })
}

/// Refuses a layer that is no tar.
fn check_layer(layer: &Descriptor) -> Result<(), DocumentError> {
    let digest = format!("sha256:{}", layer.digest);
    let kind = layer.media_type.as_str();
    if kind.contains("nondistributable") || kind.contains(".foreign.") {
        return Err(DocumentError::Foreign(digest));
    }
    let tails = [
        (
            "application/vnd.oci.image.layer.v1.tar",
            ["", "+gzip", "+zstd"],
        ),
        (
            "application/vnd.docker.image.rootfs.diff.tar",
            ["", ".gzip", ".zstd"],
        ),
    ];
    let known = tails.iter().any(|(stem, tails)| {
        let tail = kind.strip_prefix(stem);
        tail.is_some_and(|tail| tails.contains(&tail))
    });
    match known {
        true => Ok(()),
        false => Err(DocumentError::Layer {
            digest,
            found: shown(kind),
        }),
    }
}

fn config(value: &Map<String, Value>) -> Result<Config, DocumentError> {
    let object = Value::Object(value.clone());
    let layers = object["rootfs"]["diff_ids"].as_array();
    let layers = layers.filter(|list| list.len() <= MAX_LIST);
    let layers = layers.ok_or_else(|| form("`rootfs.diff_ids` is no list"))?;
    let digest = |item: &Value| item.as_str()?.strip_prefix("sha256:")?.parse().ok();
    let layers = layers.iter().map(digest).collect::<Option<Vec<Digest>>>();
    let run = &object["config"];
    let text = |key: &str| match &run[key] {
        Value::Null => Ok(String::new()),
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        _ => Err(form(&format!("`config.{key}` is no text"))),
    };
    let texts = |key: &str| match &run[key] {
        Value::Null => Ok(Vec::new()),
        value => {
            let list = value.as_array().into_iter().flatten();
            let texts = list.map(|item| {
                item.as_str()
                    .filter(|text| !text.contains('\0'))
                    .map(str::to_owned)
            });
            let texts: Option<Vec<String>> = texts.collect();
            let wrong = || form(&format!("`config.{key}` is no list of texts"));
            texts.filter(|_| value.is_array()).ok_or_else(wrong)
        }
    };
    let word = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    Ok(Config {
        platform: format!("{}/{}", word("os"), word("architecture")),
        layers: layers.ok_or_else(|| form("`rootfs.diff_ids` has what is no sha256"))?,
        entrypoint: texts("Entrypoint")?,
        cmd: texts("Cmd")?,
        env: texts("Env")?,
        working_dir: text("WorkingDir")?,
        user: text("User")?,
        stop_signal: text("StopSignal")?,
    })
}

/// Returns the image of an index that is for an architecture.
///
/// # Errors
/// [`DocumentError`] where there is none, or more than one.
pub fn choose(images: &[Descriptor], arch: Arch) -> Result<&Descriptor, DocumentError> {
    let fits = |image: &&Descriptor| {
        image.platform.as_ref().is_some_and(|platform| {
            platform.os == "linux" && platform.architecture == arch.facts().oci
        })
    };
    let plain = |image: &&Descriptor| {
        let variant = image
            .platform
            .as_ref()
            .map(|platform| platform.variant.as_str());
        // The variant that every 64-bit ARM has.
        matches!(variant, None | Some("" | "v8"))
    };
    let mut found: Vec<&Descriptor> = images.iter().filter(fits).collect();
    if found.len() > 1 {
        found.retain(plain);
    }
    match (found.as_slice(), images) {
        ([one], _) => Ok(one),
        // What says nothing is what there is.
        ([], [one]) if one.platform.is_none() => Ok(one),
        ([], _) => {
            let names = images.iter().filter_map(|image| image.platform.as_ref());
            let names: Vec<String> = names
                .take(12)
                .map(|platform| shown(&format!("{}/{}", platform.os, platform.architecture)))
                .collect();
            let has = match names.is_empty() {
                true => "none that says what it is for".to_owned(),
                false => names.join(", "),
            };
            Err(DocumentError::Platform { arch, has })
        }
        (several, _) => {
            let digests = several
                .iter()
                .take(4)
                .map(|image| format!("sha256:{}", image.digest));
            Err(DocumentError::Several {
                arch,
                count: several.len(),
                digests: digests.collect::<Vec<_>>().join(", "),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn listed(platforms: &[&str]) -> Vec<u8> {
        let entry = |(index, platform): (usize, &&str)| {
            format!(r#"{{"mediaType":"m","size":{index},"digest":"sha256:{HEX}"{platform}}}"#)
        };
        let entries: Vec<String> = platforms.iter().enumerate().map(entry).collect();
        format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            entries.join(",")
        )
        .into_bytes()
    }

    #[test]
    fn of_an_index_the_image_for_the_architecture_is_taken_and_no_other() {
        let amd = r#","platform":{"os":"linux","architecture":"amd64"}"#;
        let v3 = r#","platform":{"os":"linux","architecture":"amd64","variant":"v3"}"#;
        let arm = r#","platform":{"os":"linux","architecture":"arm64","variant":"v8"}"#;
        let windows = r#","platform":{"os":"windows","architecture":"amd64"}"#;
        let unknown = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
        let cases: [(&[&str], Result<u64, &str>); 7] = [
            (&[windows, unknown, arm, amd], Ok(3)),
            (&[v3, amd], Ok(1)),
            (&[v3], Ok(0)),
            (&[""], Ok(0)),
            (
                &[arm, unknown],
                Err("no image for linux on x86_64: it has linux/arm64, unknown/unknown"),
            ),
            (&[amd, amd], Err("2 images")),
            (&[], Err("none that says")),
        ];
        for (platforms, wanted) in cases {
            let Document::Index(images) = parse(&listed(platforms)).unwrap() else {
                panic!("no index");
            };
            match (choose(&images, Arch::X86_64), wanted) {
                (Ok(found), Ok(size)) => assert_eq!(found.size, size),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                (found, wanted) => panic!("{found:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_document_or_has_odd_layers_is_refused_with_the_reason() {
        let layer = |kind: &str| {
            format!(
                r#"{{"config":{{"mediaType":"c","size":1,"digest":"sha256:{HEX}"}},"layers":[{{"mediaType":"{kind}","size":1,"digest":"sha256:{HEX}"}}]}}"#
            )
        };
        for kind in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ] {
            assert!(parse(layer(kind).as_bytes()).is_ok(), "{kind}");
        }
        let cases = [
            ("", "EOF"),
            ("[]", "no object"),
            ("{}", "neither"),
            (r#"{"fsLayers":[]}"#, "first schema"),
            (r#"{"manifests":7}"#, "no list"),
            (
                r#"{"layers":[],"config":{"digest":"sha512:x","mediaType":"c","size":1}}"#,
                "`digest` in `config`",
            ),
            (r#"{"rootfs":{"diff_ids":["x"]}}"#, "no sha256"),
            (
                r#"{"rootfs":{"diff_ids":[]},"config":{"Cmd":"sh"}}"#,
                "`config.Cmd` is no list",
            ),
            (
                r#"{"rootfs":{"diff_ids":[]},"config":{"Env":["a\u0000b"]}}"#,
                "`config.Env` is no list",
            ),
        ];
        for (text, problem) in cases {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        for (kind, problem) in [
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                "foreign",
            ),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                "foreign",
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                "no tar",
            ),
            ("application/vnd.in-toto+json", "no tar"),
        ] {
            let error = parse(layer(kind).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(problem), "{kind}: {error}");
        }
    }
}
