//! `verify --rebuild` and `attest`: what the recipe inside gives, and who has seen it.

use mkimg::share::sign::Claim;

use crate::bed::Bed;
use crate::cli::{Project, fails, json, run, stdout};
use crate::forged::Forger;
use crate::tiny::two;

#[test]
fn a_pushed_image_is_rebuilt_and_one_repacked_by_hand_is_found_out() {
    let Some(bed) = Bed::start() else { return };
    let sign = bed.key("ann");
    let reference = bed.push("a", "1", &["--with-sources", "--sign", &sign]);
    let (project, mut command) = bed.verify(&reference, &["--rebuild", "--offline"]);
    // Offline is for the sources too, and the registry: nothing can be asked.
    fails(&mut command, 1);
    let (_project, mut command) = bed.verify(&reference, &["--rebuild"]);
    let table = stdout(&run(&mut command));
    for arch in ["x86_64 ", "aarch64"] {
        let line = format!("{arch}  rebuild     ok ");
        assert!(table.contains(&line), "{table}");
    }
    assert!(!project.path("cache/images-v1").exists());
    Forger::new(&bed).repack("1", "forged");
    run(&mut Project::new().mkimg(["sign", &bed.at("forged"), "--key", &sign]));
    // Every digest is right, and a trusted key signed it.
    run(&mut bed.verify(&bed.at("forged"), &[]).1);
    let (_project, mut command) = bed.verify(&bed.at("forged"), &["--rebuild"]);
    let output = command.output().unwrap();
    let table = stdout(&output);
    assert_eq!(output.status.code(), Some(4), "{table}");
    for words in [
        "x86_64   signature   ok",
        "x86_64   rebuild     FAILED",
        "the shared image",
        "/init",
    ] {
        assert!(table.contains(words), "`{words}` is missing: {table}");
    }
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("its recipe and sources give another image"),
        "{said}"
    );
    // Nobody can say that they got it.
    let project = Project::new();
    let mut attest = project.mkimg(["attest", &bed.at("forged"), "--key", &sign]);
    let said = fails(&mut attest, 4);
    assert!(said.contains("give another image"), "{said}");
    // Nor does it pass for the image of one's own recipe, once it was pulled into the same cache: that is made.
    let own = two("a");
    let pull = || own.mkimg(["pull", &bed.at("forged"), "--arch", "x86_64", "--json"]);
    let forged = json(&run(&mut pull()));
    let made = json(&run(
        &mut own.mkimg(["realize", "two", "--json", "--arch", "x86_64"])
    ));
    assert_eq!(made["plan"], forged["plan"]);
    assert_ne!(made["identities"], forged["identities"]);
    assert_ne!(made["path"], forged["path"]);
    run(&mut own.mkimg(["lock", "two"]));
    let locked = std::fs::read_to_string(own.path("images/two.lock")).unwrap();
    let digest = |value: &serde_json::Value| {
        let digest = &value["identities"]["image"]["initramfs"];
        digest.as_str().unwrap().to_owned()
    };
    assert!(locked.contains(&digest(&made)) && !locked.contains(&digest(&forged)));
    // It still answers to its reference, by the recipe that came along and its lock.
    let recipe = forged["recipe"].as_str().unwrap();
    let shown = json(&run(
        &mut own.mkimg(["show", recipe, "--json", "--arch", "x86_64"])
    ));
    assert_eq!(shown["identities"], forged["identities"]);
    // Now that the right one is known, the other is refused.
    let said = fails(&mut pull(), 3);
    assert!(said.contains("the image of the plan"), "{said}");
    let (_project, mut command) = bed.verify(&bed.at("forged"), &["--rebuild", "--json"]);
    let value = json(&command.output().unwrap());
    assert_eq!(value["holds"], false);
    assert!(value["checks"].to_string().contains("/init"), "{value}");
}

#[test]
fn two_users_who_rebuilt_it_are_two_and_one_twice_is_one() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &["--with-sources", "--sign", &bed.key("ann")]);
    let attest = |key: &str| {
        let project = Project::new();
        let output = run(&mut project.mkimg(["attest", &reference, "--key", &bed.key(key)]));
        assert_eq!(stdout(&output).trim_end(), reference);
    };
    let need = |count: &str| bed.verify(&reference, &["--need", count, "--arch", "x86_64"]);
    // A signature is no reproduction.
    let said = fails(&mut need("1").1, 3);
    assert!(
        said.contains("nobody has said that they rebuilt it"),
        "{said}"
    );
    attest("ann");
    attest("ann");
    run(&mut need("1").1);
    let said = fails(&mut need("2").1, 3);
    assert!(
        said.contains("1 trusted key of 2 that were asked for (ann"),
        "{said}"
    );
    // One key under two names is one key, also where it signs twice in different words.
    bed.trust(&format!(
        "ann {0}carl {0}bob {1}",
        bed.public("ann"),
        bed.public("bob")
    ));
    let forger = Forger::new(&bed);
    let (said, image) = forger.statement("1", Claim::Reproduction);
    let signature = forger.signature("ann", &said.bytes()) + "\n";
    forger.attach(&image, Claim::Reproduction, &said, &signature);
    fails(&mut need("2").1, 3);
    // A stranger's counts for nothing.
    attest("eve");
    let said = fails(&mut need("2").1, 3);
    assert!(said.contains("its key is not a trusted one"), "{said}");
    attest("bob");
    let table = stdout(&run(&mut need("2").1));
    for name in ["reproduced by ann (", "bob ("] {
        let other = table.contains(name) || table.contains(&name.replace("reproduced by ", ", "));
        assert!(other, "{table}");
    }
    fails(&mut need("3").1, 3);
}
