//! What goes along with an image: contents and provenance, attached by the tag that everybody can read; sources, where asked.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::cli::{Project, fails, json, run, stdout};
use crate::debian::{Debian, skopeo};
use crate::disturbed::disturbances;
use crate::support::tool;
use crate::verbs::{at, push, two};
use mkimg::digest::Digest;

/// A manifest or an index, as the registry keeps it.
fn stored(debian: &Debian, digest: &str) -> Value {
    serde_json::from_slice(&fs::read(debian.file(digest)).unwrap()).unwrap()
}

/// The manifests of an index: architecture and digest.
fn manifests(debian: &Debian, reference: &str) -> Vec<(String, String)> {
    let index = stored(debian, reference.split_once('@').unwrap().1);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = index["manifests"].as_array().unwrap().iter();
    list.map(|entry| {
        (
            text(&entry["platform"]["architecture"]),
            text(&entry["digest"]),
        )
    })
    .collect()
}

/// The digest that a tag names, from the registry's disk.
fn tagged(debian: &Debian, repository: &str, tag: &str) -> String {
    let link = format!("repositories/{repository}/_manifests/tags/{tag}/current/link");
    fs::read_to_string(debian.data().join(link)).unwrap()
}

#[test]
fn contents_and_provenance_are_found_beside_each_image_by_any_tool() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let project = two("a");
    let reference = push(&project, &at(&debian, "1"));
    for (arch, digest) in manifests(&debian, &reference) {
        let tag = digest.replace(':', "-");
        let image = format!("docker://{}", at(&debian, &tag));
        let Some(mut skopeo) = skopeo(&["inspect", "--raw", "--tls-verify=false", &image]) else {
            return;
        };
        let index = json(&run(&mut skopeo));
        let listed = index["manifests"].as_array().unwrap();
        assert_eq!(listed.len(), 2, "{index:#}");
        let ours = if arch == "amd64" { "x86_64" } else { "aarch64" };
        for (kind, format) in [
            ("application/spdx+json", "spdx"),
            ("application/vnd.in-toto+json", "slsa"),
        ] {
            let entry = listed.iter().find(|entry| entry["artifactType"] == kind);
            let manifest = stored(&debian, entry.unwrap()["digest"].as_str().unwrap());
            assert_eq!(manifest["subject"]["digest"], digest.as_str());
            assert_eq!(manifest["artifactType"], kind);
            let layer = &manifest["layers"][0];
            assert_eq!(layer["mediaType"], kind);
            let name = format!("two-{ours}.{format}.json");
            assert_eq!(
                layer["annotations"]["org.opencontainers.image.title"],
                name.as_str()
            );
            let held = fs::read(debian.file(layer["digest"].as_str().unwrap())).unwrap();
            let args = ["sbom", "two", "--arch", ours, "--format", format];
            assert_eq!(
                held,
                run(&mut project.mkimg(args)).stdout,
                "{arch} {format}"
            );
        }
    }
}

// pitfalls 53, 61
#[test]
fn what_is_attached_is_the_same_from_every_user_umask_time_zone_and_thread_count() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let reference = push(&two("a"), &at(&debian, "1"));
    let tags = |repository: &str| -> Vec<String> {
        let all = manifests(&debian, &reference).into_iter();
        all.map(|(_, digest)| tagged(&debian, repository, &digest.replace(':', "-")))
            .collect()
    };
    let first = tags("team/two");
    for (number, disturbance) in disturbances().iter().enumerate() {
        let project = two("a");
        let probe = disturbance.reach(&project);
        let repository = format!("fresh/number{number}");
        let to = format!("{}/{repository}:1", debian.address());
        run(&mut disturbance.mkimg(&project, &["push", "images/two.kdl", &to]));
        assert_eq!(tags(&repository), first, "{probe}");
    }
}

#[test]
fn a_bundle_is_pushed_as_its_recipe_is_and_without_its_sources_goes_without_an_sbom() {
    let (Some(debian), Some(second)) = (Debian::start(), Debian::start()) else {
        return;
    };
    let project = two("a");
    for more in [&["--with-sources"][..], &[]] {
        run(project
            .mkimg(["export", "two", "-o", "two.mkimg"])
            .args(more));
        let output = run(project.mkimg(["push", "two", &at(&debian, "1")]).args(more));
        let reference = stdout(&output);
        let digest = reference.trim_end().split_once('@').unwrap().1;
        // Somebody else, who has the file alone.
        let other = Project::new();
        fs::copy(project.path("two.mkimg"), other.path("two.mkimg")).unwrap();
        let output = run(other
            .mkimg(["push", "two.mkimg", &at(&second, "1")])
            .args(more));
        assert!(stdout(&output).trim_end().ends_with(digest));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let without = "goes without an SBOM and provenance";
        assert_eq!(
            said.matches(without).count(),
            if more.is_empty() { 2 } else { 0 },
            "{said}"
        );
        for (_, manifest) in manifests(&debian, reference.trim_end()) {
            let tag = manifest.replace(':', "-");
            let link = format!("repositories/team/two/_manifests/tags/{tag}/current/link");
            assert_eq!(second.data().join(link).exists(), !more.is_empty());
        }
    }
}

#[test]
fn sources_that_were_pushed_too_are_all_that_a_rebuild_needs() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let project = two("a");
    let to = at(&debian, "1");
    run(&mut project.mkimg(["push", "two", &to, "--with-sources"]));
    let original = json(&run(
        &mut project.mkimg(["realize", "two", "--json", "--arch", "x86_64"])
    ));
    let other = Project::new();
    let pulled = json(&run(
        &mut other.mkimg(["pull", &to, "--arch", "x86_64", "--json"])
    ));
    assert_eq!(pulled["identities"], original["identities"]);
    fs::remove_dir_all(other.path("cache/imports-v1")).unwrap();
    let recipe = pulled["recipe"].as_str().unwrap();
    let args = [
        "realize",
        recipe,
        "--json",
        "--arch",
        "x86_64",
        "--offline",
        "--locked",
    ];
    let rebuilt = json(&run(&mut other.mkimg(args)));
    assert_eq!(rebuilt["up_to_date"], false);
    assert_eq!(rebuilt["identities"], original["identities"]);
}

#[test]
fn pushes_that_are_killed_or_run_at_once_leave_a_registry_that_works() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let project = two("a");
    run(&mut project.mkimg(["realize", "two"]));
    let to = at(&debian, "1");
    let pushing = |project: &Project| {
        let mut command = project.mkimg(["push", "two", &to]);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command
    };
    for wait in (0..100).step_by(9) {
        let mut child = pushing(&project).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let _ = child.kill();
        child.wait().unwrap();
        // The tag names nothing, or an image that is whole.
        let output = Project::new().mkimg(["pull", &to]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let missing = output.status.code() == Some(1) && said.contains("the tag `1` is not in");
        assert!(output.status.success() || missing, "{said}");
    }
    let projects: Vec<Project> = (0..4).map(|_| two("a")).collect();
    let children: Vec<_> = projects
        .iter()
        .map(|project| pushing(project).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let reference = push(&project, &to);
    for (_, digest) in manifests(&debian, &reference) {
        let index = tagged(&debian, "team/two", &digest.replace(':', "-"));
        assert_eq!(
            stored(&debian, &index)["manifests"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
}

#[test]
fn ten_gigabytes_that_a_manifest_declares_are_refused_before_they_are_asked_for() {
    use mkimg::share::oci::{Descriptor, INDEX, MANIFEST};
    use mkimg::share::{Destination as _, registry::Registry};
    let (Some(debian), Some(time)) = (Debian::start(), tool("time")) else {
        return;
    };
    let reference = push(&two("a"), &at(&debian, "1"));
    let (_, amd64) = manifests(&debian, &reference).swap_remove(0);
    let wanted = at(&debian, "x").parse().unwrap();
    let registry = Registry::new(&wanted, Default::default(), &mkimg::progress::Silent).unwrap();
    let ten = 10u64 << 30;
    for role in ["kernel", "image", "recipe", "config"] {
        let mut manifest = stored(&debian, &amd64);
        let descriptor = match role {
            "config" => &mut manifest["config"],
            _ => manifest["layers"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .find(|layer| layer["annotations"]["dev.mkimg.role"] == role)
                .unwrap(),
        };
        let blob = descriptor["digest"].as_str().unwrap().to_owned();
        descriptor["size"] = ten.into();
        let bytes = manifest.to_string().into_bytes();
        let descriptor = Descriptor::of(MANIFEST, &bytes);
        registry.put_manifest(&descriptor, &bytes, None).unwrap();
        let mut index = stored(&debian, reference.split_once('@').unwrap().1);
        index["manifests"][0]["digest"] = format!("sha256:{}", Digest::of(&bytes)).into();
        index["manifests"][0]["size"] = bytes.len().into();
        let bytes = index.to_string().into_bytes();
        let descriptor = Descriptor::of(INDEX, &bytes);
        registry
            .put_manifest(&descriptor, &bytes, Some(role))
            .unwrap();
        let project = Project::new();
        let plain = project.mkimg(["pull", &at(&debian, role), "--arch", "x86_64"]);
        let mut command = Command::new(&time);
        project.prepare(&mut command);
        command.args(["-f", "peak %M KiB"]).arg(plain.get_program());
        let before = debian.requests("GET");
        let said = fails(command.args(plain.get_args()), 3);
        assert!(
            said.contains("declares 10737418240 bytes"),
            "{role}: {said}"
        );
        let asked = debian.requests("GET").split_off(before.len());
        assert!(
            !asked.iter().any(|request| request.ends_with(&blob)),
            "{asked:?}"
        );
        let peak = said.rsplit("peak ").next().unwrap().split(' ').next();
        let peak: u64 = peak.unwrap().parse().unwrap();
        assert!(peak < 64 << 10, "{peak} KiB");
    }
}
