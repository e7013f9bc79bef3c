//! What somebody may try: each is refused with 3, and named.

use std::fs;

use mkimg::share::Destination as _;
use mkimg::share::oci::{Descriptor, Index, MANIFEST, Manifest};
use mkimg::share::sign::{Claim, NAMESPACE};

use crate::bed::{Bed, digest_of};
use crate::cli::{Project, fails, run, stdout};
use crate::forged::Forger;
use crate::keys::ssh_sign;
use crate::tiny::two;

/// Verifies the x86_64 image of the tag 1, which must fail, and say why beside the manifest's digest.
fn refused(bed: &Bed, words: &[&str]) {
    let (_project, mut command) = bed.verify(&bed.at("1"), &["--arch", "x86_64"]);
    let said = fails(&mut command, 3);
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
}

#[test]
fn statements_that_do_not_count_are_named_with_the_reason() {
    let cases: [(&str, &dyn Fn(&Bed, &Forger<'_>)); 8] = [
        ("its key is not a trusted one (SHA256:", &|_, forger| {
            let (said, image) = forger.statement("1", Claim::Signature);
            let signature = forger.signature("eve", &said.bytes());
            forger.attach(&image, Claim::Signature, &said, &signature);
        }),
        (
            "is about another image: `manifest` is `sha256:",
            &|bed, forger| {
                bed.push("b", "2", &[]);
                let (_, image) = forger.statement("1", Claim::Signature);
                let (said, _) = forger.statement("2", Claim::Signature);
                let signature = forger.signature("ann", &said.bytes());
                forger.attach(&image, Claim::Signature, &said, &signature);
            },
        ),
        (
            "is about another image: `name` is `other`, here it is `two`",
            &|bed, forger| {
                // The same bytes, of a recipe of another name.
                let project = two("a");
                let recipe = fs::read_to_string(project.path("images/two.kdl")).unwrap();
                let recipe = recipe.replace("image \"two\"", "image \"other\"");
                project.recipe("other", &recipe);
                run(&mut project.mkimg(["push", "other", &bed.at("other")]));
                let (_, image) = forger.statement("1", Claim::Signature);
                let (said, _) = forger.statement("other", Claim::Signature);
                let signature = forger.signature("ann", &said.bytes());
                forger.attach(&image, Claim::Signature, &said, &signature);
            },
        ),
        (
            "is not one of its key over the statement",
            &|bed, forger| {
                // The statement fits the image, its signature is of another one.
                bed.push("b", "2", &[]);
                let (said, image) = forger.statement("1", Claim::Signature);
                let (other, _) = forger.statement("2", Claim::Signature);
                let signature = forger.signature("ann", &other.bytes());
                forger.attach(&image, Claim::Signature, &said, &signature);
            },
        ),
        (
            "its namespace is `file`, not `mkimg-image-v1`",
            &|bed, forger| {
                let (said, image) = forger.statement("1", Claim::Signature);
                let signature = ssh_sign(bed.key("ann").as_ref(), "file", &said.bytes());
                forger.attach(&image, Claim::Signature, &said, &signature);
            },
        ),
        (
            "`claim` is `reproduction`, here it is `signature`",
            &|_, forger| {
                let (_, image) = forger.statement("1", Claim::Signature);
                let (said, _) = forger.statement("1", Claim::Reproduction);
                let signature = forger.signature("ann", &said.bytes());
                forger.attach(&image, Claim::Signature, &said, &signature);
            },
        ),
        (
            "it has the annotation `note`, which the signature is not about",
            &|bed, forger| {
                // A good signature, put under another image, whose manifest says something more.
                let other = bed.manifest(&bed.push("b", "2", &[]));
                let (said, image) = forger.statement("1", Claim::Signature);
                let signature = forger.signature("ann", &said.bytes());
                forger.attach(&other, Claim::Signature, &said, &signature);
                let kind = "application/vnd.mkimg.signature.v1";
                let mut manifest = bed.referrers(&other, kind).remove(0);
                manifest.subject = Some(Descriptor::new(MANIFEST, image.digest, image.size));
                manifest
                    .annotations
                    .insert("note".to_owned(), "by the pope".to_owned());
                let (one, bytes) = (manifest.descriptor(), manifest.bytes());
                forger
                    .registry
                    .put_referrer(&image.digest, &one, &bytes)
                    .unwrap();
            },
        ),
        ("its subject is another manifest", &|bed, forger| {
            // A good signature of another image, listed here.
            let other = bed.push("b", "2", &["--sign", &bed.key("ann")]);
            let (_, image) = forger.statement("1", Claim::Signature);
            let kind = "application/vnd.mkimg.signature.v1";
            let found = bed.referrers(&bed.manifest(&other), kind);
            let (one, bytes) = (found[0].descriptor(), found[0].bytes());
            forger
                .registry
                .put_referrer(&image.digest, &one, &bytes)
                .unwrap();
        }),
    ];
    for (words, forge) in cases {
        let Some(bed) = Bed::start() else { return };
        let reference = bed.push("a", "1", &[]);
        forge(&bed, &Forger::new(&bed));
        let image = bed.manifest(&reference);
        refused(
            &bed,
            &[words, &image.digest.to_string(), "signed by no trusted key"],
        );
        // What is wrong hides nothing that is right.
        run(&mut Project::new().mkimg(["sign", &reference, "--key", &bed.key("bob")]));
        let (_project, mut command) = bed.verify(&reference, &[]);
        assert!(stdout(&run(&mut command)).contains("signed by bob"));
    }
}

#[test]
fn a_key_counts_only_in_its_time_and_for_its_purpose() {
    let Some(bed) = Bed::start() else { return };
    bed.push("a", "1", &["--sign", &bed.key("ann")]);
    for (options, words) in [
        (
            "valid-before=\"20200101Z\"",
            "has expired: it was valid until 20200101Z",
        ),
        (
            "valid-after=\"29990101Z\"",
            "is valid from 29990101Z on only",
        ),
        (
            "namespaces=\"git,file\"",
            "is trusted for the namespaces `git,file`",
        ),
    ] {
        bed.trust(&format!("ann {options} {}", bed.public("ann")));
        refused(&bed, &[words, "the key of `ann`"]);
    }
    bed.trust(&format!(
        "ann valid-after=\"20200101Z\",valid-before=\"29990101Z\",namespaces=\"{NAMESPACE}\" {}",
        bed.public("ann")
    ));
    run(&mut bed.verify(&bed.at("1"), &[]).1);
    for (text, words) in [
        ("", "it trusts nobody"),
        ("ann\n", "line 1: expected PRINCIPALS"),
        (
            "ann cert-authority ssh-ed25519 AAAA\n",
            "certificates are not known",
        ),
    ] {
        bed.trust(text);
        let (_project, mut command) = bed.verify(&bed.at("1"), &[]);
        let said = fails(&mut command, 2);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_older_signed_image_does_not_pass_for_a_pinned_one() {
    let Some(bed) = Bed::start() else { return };
    let sign = ["--sign", &bed.key("ann")];
    let old = bed.push("old", "1", &sign);
    let new = bed.push("new", "1", &sign);
    assert_ne!(old, new);
    let user = Project::new();
    let pull = |what: &str| user.mkimg(["pull", what, "--arch", "x86_64", "--pin", "pins"]);
    run(&mut pull(&bed.at("1")));
    // The registry goes back to the old one, whose signature is as good as ever.
    assert_eq!(bed.push("old", "1", &sign), old);
    run(&mut bed.verify(&bed.at("1"), &[]).1);
    let said = fails(&mut pull(&bed.at("1")), 3);
    assert!(said.contains("the tag moved"), "{said}");
    assert!(said.contains(digest_of(&new)), "{said}");
    // By digest it is the new one, or nothing.
    let (_project, mut command) = bed.verify(&new, &[]);
    assert!(stdout(&run(&mut command)).starts_with(&new));
    let (from, to) = (
        bed.debian.file(digest_of(&old)),
        bed.debian.file(digest_of(&new)),
    );
    fs::copy(from, to).unwrap();
    let (_project, mut command) = bed.verify(&new, &[]);
    let said = fails(&mut command, 3);
    assert!(said.contains(digest_of(&new)), "{said}");
}

#[test]
fn a_manifest_of_another_architecture_is_none() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &["--sign", &bed.key("ann")]);
    let bytes = fs::read(bed.debian.file(digest_of(&reference))).unwrap();
    let mut index = Index::parse(&bytes, "it").unwrap();
    // Each is signed, and each is said to be the other.
    let names: Vec<_> = index
        .manifests
        .iter()
        .map(|one| one.architecture.clone())
        .collect();
    for (entry, name) in index.manifests.iter_mut().zip(names.into_iter().rev()) {
        entry.architecture = name;
    }
    let forger = Forger::new(&bed);
    let (descriptor, bytes) = (index.descriptor(), index.bytes());
    forger
        .registry
        .put_manifest(&descriptor, &bytes, Some("1"))
        .unwrap();
    refused(
        &bed,
        &[
            "the platform of the manifest `sha256:",
            "expected arm64, found amd64",
        ],
    );
}

#[test]
fn garbage_among_the_statements_hides_none() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &["--sign", &bed.key("ann")]);
    let image = bed.manifest(&reference);
    let kind = "application/vnd.mkimg.signature.v1";
    let whole = bed.referrers(&image, kind).remove(0);
    let forger = Forger::new(&bed);
    let bare = Manifest {
        layers: Vec::new(),
        ..whole.clone()
    };
    let mut huge = whole.clone();
    huge.layers[1].size = 10 << 30;
    // Debian's registry checks sizes of nothing, but wants the blobs of a manifest.
    for odd in [bare, huge] {
        let put = forger
            .registry
            .put_referrer(&image.digest, &odd.descriptor(), &odd.bytes());
        put.unwrap();
    }
    let (_project, mut command) = bed.verify(&reference, &[]);
    assert!(stdout(&run(&mut command)).contains("signed by ann"));
    // Without the good one each is named.
    bed.trust(&format!("bob {}", bed.public("bob")));
    refused(&bed, &["and 2 more that do not count"]);
}

#[test]
fn a_list_of_hundreds_without_types_is_not_fetched_to_its_end() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &["--sign", &bed.key("ann")]);
    let image = bed.manifest(&reference);
    let whole = bed
        .referrers(&image, "application/vnd.mkimg.signature.v1")
        .remove(0);
    let forger = Forger::new(&bed);
    let junk = (0..300).map(|number| {
        let manifest = Manifest {
            artifact_type: None,
            ..whole.clone()
        };
        let mut manifest = manifest;
        manifest
            .annotations
            .insert("n".to_owned(), number.to_string());
        let descriptor = Descriptor::of(MANIFEST, &manifest.bytes());
        let put = forger
            .registry
            .put_manifest(&descriptor, &manifest.bytes(), None);
        put.unwrap();
        descriptor
    });
    let index = Index {
        artifact_type: None,
        manifests: junk.collect(),
        annotations: Default::default(),
    };
    let tag = format!("sha256-{}", image.digest);
    let put = forger
        .registry
        .put_manifest(&index.descriptor(), &index.bytes(), Some(&tag));
    put.unwrap();
    let before = bed.debian.requests("GET").len();
    refused(&bed, &["signed by no trusted key", "only the first 256"]);
    let asked = bed.debian.requests("GET").len() - before;
    assert!((256..290).contains(&asked), "{asked}");
}

#[test]
fn a_layer_that_only_a_later_mkimg_knows_is_held_to_its_digest_too() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &["--sign", &bed.key("ann")]);
    let entry = bed.manifest(&reference);
    let bytes = fs::read(bed.debian.file(&format!("sha256:{}", entry.digest))).unwrap();
    let mut manifest = Manifest::parse(&bytes, "it").unwrap();
    let forger = Forger::new(&bed);
    let extra = forger
        .store
        .blob_from(&mut &b"later"[..], forger.store.root())
        .unwrap();
    let layer = Descriptor::new("application/vnd.example.later", extra.digest, extra.size);
    forger.registry.put_blob(&layer, &extra).unwrap();
    manifest.layers.push(layer);
    let (descriptor, bytes) = (manifest.descriptor(), manifest.bytes());
    forger
        .registry
        .put_manifest(&descriptor, &bytes, Some("later"))
        .unwrap();
    run(&mut Project::new().mkimg(["verify", &bed.at("later")]));
    let file = bed.debian.file(&format!("sha256:{}", extra.digest));
    fs::write(file, b"LATER").unwrap();
    let said = fails(&mut Project::new().mkimg(["verify", &bed.at("later")]), 3);
    assert!(said.contains(&extra.digest.to_string()), "{said}");
}
