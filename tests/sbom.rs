//! What `mkimg sbom` says of an image, against what dpkg-deb, GNU cpio, sha1sum and Python say.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::path::Path;
use std::process::Command;

use cli::{Project, json, mirror, run, stdout};
use serde_json::Value;
use support::tool;
use tiny::Tiny;

fn sbom(project: &Project, recipe: &str, more: &[&str]) -> Command {
    let mirror = mirror().display().to_string();
    let mut command = project.mkimg(["sbom", recipe, "--offline", "--mirror", &mirror]);
    command.args(more);
    command
}

fn package<'d>(document: &'d Value, id: &str) -> &'d Value {
    let packages = document["packages"].as_array().unwrap();
    packages
        .iter()
        .find(|package| package["SPDXID"] == id)
        .unwrap()
}

#[test]
fn packages_are_what_dpkg_deb_says_of_them() {
    if tool("dpkg-deb").is_none() {
        return;
    }
    let project = Project::with("minimal");
    let document = json(&run(&mut sbom(&project, "minimal", &["--arch", "x86_64"])));
    for (id, licence) in [
        ("SPDXRef-Source-busybox", "GPL-2.0-only"),
        ("SPDXRef-Source-linux", "GPL-2.0-only"),
    ] {
        let package = package(&document, id);
        let sha256 = package["checksums"][0]["checksumValue"].as_str().unwrap();
        let blob = mirror().join(sha256);
        let field = |name: &str| {
            let output = run(Command::new("dpkg-deb").arg("-f").arg(&blob).arg(name));
            stdout(&output).trim().to_owned()
        };
        assert_eq!(package["name"], field("Package").as_str());
        assert_eq!(package["versionInfo"], field("Version").as_str());
        assert_eq!(package["homepage"], field("Homepage").as_str());
        let supplier = format!("Organization: {}", field("Maintainer"));
        assert_eq!(package["supplier"], supplier.as_str());
        let purl = package["externalRefs"][0]["referenceLocator"]
            .as_str()
            .unwrap();
        let version = field("Version").replace('+', "%2B");
        let wanted = format!(
            "pkg:deb/debian/{}@{version}?arch={}",
            field("Package"),
            field("Architecture")
        );
        assert_eq!(purl, wanted);
        let declared = package["licenseDeclared"].as_str().unwrap();
        assert!(
            declared.split(" AND ").any(|part| part == licence),
            "{declared}"
        );
    }
}

#[test]
fn files_have_the_sums_that_sha1sum_and_sha256sum_give_and_every_reference_leads_somewhere() {
    if tool("python3").is_none() || tool("cpio").is_none() {
        return;
    }
    let project = Project::with("modules");
    let output = run(&mut sbom(&project, "modules", &["--arch", "x86_64"]));
    let file = project.path("spdx.json");
    std::fs::write(&file, &output.stdout).unwrap();
    let image = project.realize("modules", &["--arch", "x86_64"]);
    let root = project.path("root");
    std::fs::create_dir(&root).unwrap();
    let initramfs = Path::new(image["path"].as_str().unwrap()).join("initramfs.cpio.gz");
    run(Command::new("sh").current_dir(&root).arg("-c").arg(format!(
        "zcat {} | cpio --quiet -idm --no-preserve-owner --nonmatching '*/dev/console' 'dev/console'",
        initramfs.display()
    )));
    // The rules are those of SPDX 2.3: sections 3.2 (identifiers), 7.9 (verification code), 8.4 (checksums), 11 (relationships).
    let script = r#"
import hashlib, json, os, re, sys
document, root, kernel = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
ids = {"SPDXRef-DOCUMENT"}
for element in document["packages"] + document["files"]:
    assert re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", element["SPDXID"]), element
    assert element["SPDXID"] not in ids, element
    ids.add(element["SPDXID"])
sums, seen = {}, set()
for entry in document["files"]:
    own = {sum["algorithm"]: sum["checksumValue"] for sum in entry["checksums"]}
    sums[entry["SPDXID"]] = own["SHA1"]
    path = kernel if entry["SPDXID"] == "SPDXRef-Kernel" else os.path.join(root, entry["fileName"])
    data = open(path, "rb").read()
    assert own == {"SHA1": hashlib.sha1(data).hexdigest(), "SHA256": hashlib.sha256(data).hexdigest()}, entry
    seen.add(os.path.normpath(path))
for directory, _, names in os.walk(root):
    for name in names:
        path = os.path.join(directory, name)
        assert os.path.islink(path) or os.path.normpath(path) in seen, path
contains = {}
for relation in document["relationships"]:
    assert relation["spdxElementId"] in ids and relation["relatedSpdxElement"] in ids, relation
    if relation["relationshipType"] == "CONTAINS":
        contains.setdefault(relation["spdxElementId"], []).append(relation["relatedSpdxElement"])
for package in document["packages"]:
    if package["filesAnalyzed"]:
        parts = sorted(sums[part] for part in contains[package["SPDXID"]] if part in sums)
        code = hashlib.sha1("".join(parts).encode()).hexdigest()
        assert package["packageVerificationCode"]["packageVerificationCodeValue"] == code, package
# What the JSON schema of SPDX 2.3 asks for, as far as mkimg goes: required keys, known keys, known words.
def shaped(value, required, optional=""):
    keys = set(value)
    assert set(required.split()) <= keys <= set((required + " " + optional).split()), (sorted(keys), required)
shaped(document, "SPDXID creationInfo dataLicense name spdxVersion documentNamespace packages files relationships",
       "documentDescribes hasExtractedLicensingInfos")
shaped(document["creationInfo"], "created creators", "comment")
assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["creationInfo"]["created"])
assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
for package in document["packages"]:
    shaped(package, "SPDXID downloadLocation name filesAnalyzed licenseConcluded licenseDeclared copyrightText checksums",
           "comment externalRefs homepage licenseInfoFromFiles packageVerificationCode primaryPackagePurpose sourceInfo "
           "summary supplier versionInfo")
    purposes = "OTHER INSTALL ARCHIVE FIRMWARE APPLICATION FRAMEWORK LIBRARY CONTAINER SOURCE DEVICE OPERATING_SYSTEM FILE"
    assert package.get("primaryPackagePurpose", "OTHER") in purposes.split(), package
    for reference in package.get("externalRefs", []):
        shaped(reference, "referenceCategory referenceLocator referenceType")
        assert reference["referenceCategory"] in ("PACKAGE-MANAGER", "OTHER", "SECURITY", "PERSISTENT-ID"), reference
for entry in document["files"]:
    shaped(entry, "SPDXID checksums fileName", "copyrightText licenseConcluded licenseInfoInFiles")
kinds = {"DESCRIBES", "CONTAINS", "EXPANDED_FROM_ARCHIVE", "GENERATED_FROM"}
for relation in document["relationships"]:
    shaped(relation, "spdxElementId relatedSpdxElement relationshipType")
    assert relation["relationshipType"] in kinds, relation
for info in document.get("hasExtractedLicensingInfos", []):
    shaped(info, "extractedText licenseId", "name")
known = {info["licenseId"] for info in document.get("hasExtractedLicensingInfos", [])}
for package in document["packages"]:
    for reference in re.findall(r"LicenseRef-[A-Za-z0-9.-]+", package["licenseDeclared"]):
        assert reference in known, reference
print(len(document["files"]))
"#;
    let kernel = Path::new(image["path"].as_str().unwrap()).join("vmlinuz");
    let output = run(Command::new("python3")
        .arg("-c")
        .arg(script)
        .args([&file, &root, &kernel]));
    let files: usize = stdout(&output).trim().parse().unwrap();
    assert!(files > 500, "only {files} files were compared");
}

// pitfall 53
#[test]
fn the_documents_are_the_same_whoever_makes_them() {
    let whole = |project: &Project, variables: &[(&str, &str)], more: &[&str]| {
        ["spdx", "slsa"].map(|format| {
            let mut command = sbom(
                project,
                "minimal",
                &["--arch", "x86_64", "--format", format],
            );
            command.args(more).envs(variables.iter().copied());
            run(&mut command).stdout
        })
    };
    let one = whole(
        &Project::with("minimal"),
        &[("TZ", "UTC")],
        &["--jobs", "1"],
    );
    let other = whole(
        &Project::with("minimal"),
        &[
            ("TZ", "Asia/Kathmandu"),
            ("SOURCE_DATE_EPOCH", "86400"),
            ("LC_ALL", "tr_TR.UTF-8"),
        ],
        &["--jobs", "7"],
    );
    assert!(one == other);
    // The image's own clock is in it: the comparison can fail.
    let later = Project::new();
    let text = cli::repository_recipe("minimal").replacen(
        "image \"minimal\"",
        "image \"minimal\" epoch=86400",
        1,
    );
    later.recipe("minimal", &text);
    let later = whole(&later, &[("TZ", "UTC")], &["--jobs", "1"]);
    assert!(String::from_utf8_lossy(&later[0]).contains("\"created\": \"1970-01-02T00:00:00Z\""));
    assert!(one[0] != later[0] && one[1] != later[1]);
}

#[test]
fn provenance_names_the_plan_and_every_input() {
    let project = Project::with("minimal");
    let arch = ["--arch", "aarch64"];
    let image = project.realize("minimal", &arch);
    let statement = json(&run(&mut sbom(
        &project,
        "minimal",
        &["--arch", "aarch64", "--format", "slsa"],
    )));
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(definition["internalParameters"]["plan"], image["plan"]);
    let sums = |list: &Value, at: fn(&Value) -> &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|item| at(item).as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        sums(&definition["resolvedDependencies"], |item| &item["digest"]
            ["sha256"]),
        sums(&image["sources"], |item| &item["sha256"])
    );
    let identities = &image["identities"]["image"];
    assert_eq!(
        statement["subject"][0]["digest"]["sha256"],
        identities["initramfs"]
    );
    assert_eq!(
        statement["subject"][1]["digest"]["sha256"],
        identities["kernel"]
    );
}

#[test]
fn a_source_that_is_no_package_is_named_with_what_is_known_of_it() {
    let tiny = Tiny::new();
    tiny.takes(b"some bytes", "file \"/thing\" from=\"thing\"");
    let document = json(&run(&mut tiny.project.mkimg(["sbom", "images/tiny.kdl"])));
    let thing = package(&document, "SPDXRef-Source-thing");
    assert_eq!(thing["name"], "thing");
    assert_eq!(thing["licenseDeclared"], "NOASSERTION");
    // A path of this machine is nobody's business.
    assert_eq!(thing["downloadLocation"], "NOASSERTION");
    assert!(thing.get("externalRefs").is_none());
}
