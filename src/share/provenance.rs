//! How an image came about: an in-toto statement (v1) with SLSA provenance (v1).
//!
//! It says nothing of where and when: a rebuild gives the same statement, and that is the point of it.

use serde_json::{Value, json};

use super::sbom::{Contents, download};
use crate::plan::FORMAT;

/// The media type of an in-toto statement.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// What kind of build it is: the rules of `docs/canonical-image.md` are what `internalParameters.format` names.
const BUILD_TYPE: &str = "urn:mkimg:realize:v1";

/// Returns the statement about an image.
pub fn provenance(contents: Contents<'_>) -> Value {
    let Contents { plan, image, .. } = contents;
    let mut sources: Vec<Value> = plan
        .sources
        .iter()
        .map(|(name, source)| {
            let mut value =
                json!({ "digest": { "sha256": source.digest.to_string() }, "name": name });
            let uri = download(&source.places);
            if uri != "NOASSERTION" {
                value["uri"] = json!(uri);
            }
            value
        })
        .collect();
    sources.extend(plan.local_files().iter().map(|(name, file)| {
        json!({
            "annotations": { "local": true },
            "digest": { "sha256": file.digest.to_string() },
            "name": name,
        })
    }));
    let file = |file: &crate::realize::ImageFile| json!({ "digest": { "sha256": file.digest.to_string() }, "name": file.name });
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": { "arch": image.arch.name(), "image": image.name },
                "internalParameters": {
                    "format": FORMAT,
                    "identities": { "sources": image.sources.to_string(), "tree": image.tree.to_string() },
                    "plan": image.plan.to_string(),
                },
                "resolvedDependencies": sources,
            },
            "runDetails": {
                "builder": { "id": "urn:mkimg", "version": { "mkimg": env!("CARGO_PKG_VERSION") } },
                "metadata": { "invocationId": image.plan.to_string() },
            },
        },
        "predicateType": "https://slsa.dev/provenance/v1",
        "subject": [file(&image.initramfs), file(&image.kernel)],
    })
}
