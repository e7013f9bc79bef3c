//! What is in an image, as an SPDX 2.3 document (`mkimg sbom`).
//!
//! The document is a function of the image, its plan and its sources: its time is the image's epoch, its namespace comes from
//! the plan id, and everything in it is sorted. So it can be made again and compared, as the image can.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use serde_json::{Value, json};

use super::package::Package;
use crate::assemble::Assembled;
use crate::digest::{Digest, Hasher};
use crate::place::Place;
use crate::plan::Plan;
use crate::realize::Image;
use crate::source::fetch::SNAPSHOT_ROOT;
use crate::store::StoreError;
use crate::text::shown;
use crate::tree::{self, Content, Kind};

/// The media type of an SPDX document in JSON.
pub const SPDX: &str = "application/spdx+json";

/// What a document is about.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The image that realizes it.
    pub image: &'a Image,
    /// Its tree and kernel.
    pub assembled: &'a Assembled,
    /// What its sources are, by name.
    pub packages: &'a BTreeMap<String, Package>,
}

/// Returns the SPDX document of an image.
///
/// # Errors
/// [`StoreError`] where a file of the image cannot be read, or is not what it was.
pub fn spdx(contents: Contents<'_>) -> Result<Value, StoreError> {
    let Contents {
        plan,
        image,
        assembled,
        packages,
    } = contents;
    let mut relationships = vec![relation("DOCUMENT", "DESCRIBES", "Image")];
    let mut listed = Vec::new();
    let mut files = Vec::new();

    let mut kernel = file("Kernel", "./vmlinuz", &assembled.kernel)?;
    if let Some((name, _)) = plan.kernel.local() {
        kernel["comment"] = local(name);
    }
    relationships.push(relation("Image", "CONTAINS", "Kernel"));
    relationships.push(relation("Image", "CONTAINS", "RootFileSystem"));
    if let Some(from) = plan.kernel.source() {
        let source = id("Source", from);
        relationships.push(relation("Kernel", "EXPANDED_FROM_ARCHIVE", &source));
    }
    listed.push(json!({
        "SPDXID": "SPDXRef-Image",
        "checksums": [{ "algorithm": "SHA256", "checksumValue": image.initramfs.digest.to_string() }],
        "comment": format!(
            "the checksum is that of {}; plan {}, sources {}, tree {}",
            image.initramfs.name, image.plan, image.sources, image.tree
        ),
        "copyrightText": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": true,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "licenseInfoFromFiles": ["NOASSERTION"],
        "name": image.name,
        "packageVerificationCode": { "packageVerificationCodeValue": verification([&kernel]) },
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        "versionInfo": image.plan.short(),
    }));

    let mut sums = Vec::new();
    for (path, entry) in &assembled.tree {
        let Kind::File(content) = &entry.kind else {
            continue;
        };
        let name = format!(".{}", escaped(path.as_bytes()));
        let own = format!("File-{}", &Digest::of(path.as_bytes()).to_string()[..16]);
        let mut found = file(&own, &name, content)?;
        if let Some(name) = entry.origin.and_then(|origin| local_of(plan, origin)) {
            found["comment"] = local(name);
        }
        relationships.push(relation("RootFileSystem", "CONTAINS", &own));
        if let Some(source) = entry.origin.and_then(|origin| source_of(plan, origin)) {
            relationships.push(relation(
                &own,
                "EXPANDED_FROM_ARCHIVE",
                &id("Source", source),
            ));
        }
        sums.push(found.clone());
        files.push(found);
    }
    listed.push(json!({
        "SPDXID": "SPDXRef-RootFileSystem",
        "checksums": [{ "algorithm": "SHA256", "checksumValue": image.tree.to_string() }],
        "comment": "the checksum is that of the uncompressed cpio archive",
        "copyrightText": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": true,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "licenseInfoFromFiles": ["NOASSERTION"],
        "name": format!("{}-initramfs", image.name),
        "packageVerificationCode": { "packageVerificationCodeValue": verification(&sums) },
        "primaryPackagePurpose": "ARCHIVE",
        "versionInfo": image.tree.short(),
    }));
    files.push(kernel);

    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, source) in packages {
        relationships.push(relation("Image", "GENERATED_FROM", &id("Source", name)));
        let places = plan
            .sources
            .get(name)
            .map(|source| source.places.as_slice());
        listed.push(package(name, source, places.unwrap_or_default()));
        for (reference, text) in &source.licence.texts {
            texts.entry(reference).or_insert(text);
        }
    }
    let extracted: Vec<Value> = texts
        .into_iter()
        .map(|(reference, text)| json!({ "extractedText": text, "licenseId": reference, "name": reference.trim_start_matches("LicenseRef-Debian-") }))
        .collect();
    let mut document = json!({
        "SPDXID": "SPDXRef-DOCUMENT",
        "creationInfo": {
            "comment": "the time is the image's epoch: this document is a function of the image alone",
            "created": time(plan.epoch),
            "creators": [concat!("Tool: mkimg-", env!("CARGO_PKG_VERSION"))],
        },
        "dataLicense": "CC0-1.0",
        "documentDescribes": ["SPDXRef-Image"],
        "documentNamespace": format!("https://spdx.org/spdxdocs/mkimg-{}-{}-{}", image.name, image.arch, image.plan),
        "files": files,
        "name": format!("{}-{}", image.name, image.arch),
        "packages": listed,
        "relationships": relationships,
        "spdxVersion": "SPDX-2.3",
    });
    if !extracted.is_empty() {
        document["hasExtractedLicensingInfos"] = Value::Array(extracted);
    }
    Ok(document)
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "relatedSpdxElement": format!("SPDXRef-{to}"),
        "relationshipType": kind,
        "spdxElementId": format!("SPDXRef-{from}"),
    })
}

/// Returns an identifier without its `SPDXRef-`: letters, digits, `.` and `-` (SPDX 2.3, section 3.2). Two names that differ
/// in other characters alone differ by the digest behind them.
fn id(kind: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if name.chars().all(plain) {
        return format!("{kind}-{name}");
    }
    let shown: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    format!("{kind}-{shown}-{}", Digest::of(name.as_bytes()).short())
}

/// Returns the source that an entry of the plan takes its bytes from.
fn source_of(plan: &Plan, origin: usize) -> Option<&str> {
    plan.entries.get(origin)?.source()
}

/// Returns the file or directory beside the recipe that an entry of the plan takes its bytes from.
fn local_of(plan: &Plan, origin: usize) -> Option<&str> {
    plan.entries.get(origin)?.local().map(|(name, _)| name)
}

/// Returns what is said of a file that came from beside the recipe.
fn local(name: &str) -> Value {
    Value::from(format!("the local file {name} of the recipe"))
}

/// Returns a file's element. SPDX 2.3 wants a SHA-1 of every file (section 8.4), whoever else would not.
fn file(own: &str, name: &str, content: &Content) -> Result<Value, StoreError> {
    let path = match &content.place {
        tree::Place::File(region) => region.path.as_path(),
        tree::Place::Memory(_) => Path::new(name),
    };
    let sums = |mut from: Box<dyn Read + Send + '_>| -> io::Result<(String, Digest)> {
        let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        let mut sha256 = Hasher::new();
        let mut buffer = vec![0u8; 128 * 1024];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            sha1.update(&buffer[..count]);
            sha256.update(&buffer[..count]);
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((hex(sha1.finish().as_ref()), sha256.finish()))
    };
    let (sha1, sha256) = content
        .open()
        .and_then(sums)
        .map_err(|error| StoreError::io("read", path, error))?;
    if sha256 != content.digest {
        return Err(StoreError::Damaged {
            path: path.to_path_buf(),
            expected: content.digest,
            actual: sha256,
        });
    }
    Ok(json!({
        "SPDXID": format!("SPDXRef-{own}"),
        "checksums": [
            { "algorithm": "SHA1", "checksumValue": sha1 },
            { "algorithm": "SHA256", "checksumValue": sha256.to_string() },
        ],
        "copyrightText": "NOASSERTION",
        "fileName": name,
        "licenseConcluded": "NOASSERTION",
        "licenseInfoInFiles": ["NOASSERTION"],
    }))
}

/// Returns the package verification code (SPDX 2.3, section 7.9): the SHA-1 over the sorted SHA-1s of the files.
fn verification<'a>(files: impl IntoIterator<Item = &'a Value>) -> String {
    let sums = files
        .into_iter()
        .filter_map(|file| file["checksums"][0]["checksumValue"].as_str());
    let mut sums: Vec<&str> = sums.collect();
    sums.sort_unstable();
    let sum = ring::digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, sums.concat().as_bytes());
    sum.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn package(name: &str, package: &Package, places: &[Place]) -> Value {
    let control = package.control.as_ref();
    let field = |field: &str| control.and_then(|control| control.get(field));
    let mut value = json!({
        "SPDXID": format!("SPDXRef-{}", id("Source", name)),
        "checksums": [{ "algorithm": "SHA256", "checksumValue": package.blob.digest.to_string() }],
        "copyrightText": "NOASSERTION",
        "downloadLocation": download(places),
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": package.licence.expression.as_deref().unwrap_or("NOASSERTION"),
        "name": field("package").unwrap_or(name),
    });
    if let Some(version) = field("version") {
        value["versionInfo"] = json!(version);
    }
    if let Some(maintainer) = field("maintainer") {
        value["supplier"] = json!(format!("Organization: {}", one_line(maintainer)));
    }
    if let Some(homepage) = field("homepage") {
        value["homepage"] = json!(one_line(homepage));
    }
    if let Some(built) = field("built-using") {
        value["comment"] = json!(format!("built using {}", one_line(built)));
    }
    if let Some(source) = field("source") {
        value["sourceInfo"] = json!(format!(
            "built from the source package {}",
            one_line(source)
        ));
    }
    if let Some(summary) = field("description").and_then(|text| text.lines().next()) {
        value["summary"] = json!(summary);
    }
    if let (Some(package), Some(version)) = (field("package"), field("version")) {
        let mut purl = format!("pkg:deb/debian/{}@{}", percent(package), percent(version));
        if let Some(arch) = field("architecture") {
            purl.push_str(&format!("?arch={}", percent(arch)));
        }
        value["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceLocator": purl,
            "referenceType": "purl",
        }]);
    }
    value
}

/// Returns where a source can be had by anybody: no path of this machine, no mirror.
pub(super) fn download(places: &[Place]) -> String {
    let found = places.iter().find_map(|place| match place {
        Place::Url(url) => Some(url.clone()),
        Place::Debian {
            path,
            snapshot: Some(snapshot),
            archive,
        } => Some(format!("{SNAPSHOT_ROOT}{archive}/{snapshot}/{path}")),
        Place::Oci(reference) => Some(format!("docker://{reference}")),
        Place::Debian { .. } | Place::Local(_) | Place::OciLocal(_) => None,
    });
    found.unwrap_or_else(|| "NOASSERTION".to_owned())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Escapes what a purl's parts may not have (the package-url specification, "Character encoding").
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// Returns the bytes of a path as a text, with a `/` in front; what could not be seen escaped.
fn escaped(path: &[u8]) -> String {
    format!("/{}", shown(path))
}

/// Returns a time in seconds since 1970 as `YYYY-MM-DDThh:mm:ssZ`.
fn time(seconds: u32) -> String {
    let (days, rest) = (i64::from(seconds / 86400), seconds % 86400);
    // Days to a date of the Gregorian calendar, in years that begin in March: a leap day is then a year's last.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn purls_and_identifiers_have_only_what_they_may() {
        assert_eq!(percent("1:1.35.0-4+deb12u1"), "1:1.35.0-4%2Bdeb12u1");
        assert_eq!(id("Source", "linux"), "Source-linux");
        let (one, other) = (id("Source", "a_b"), id("Source", "a+b"));
        assert!(
            one.starts_with("Source-a-b-") && one != other,
            "{one} {other}"
        );
    }
}
