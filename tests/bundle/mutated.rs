//! Every value of every JSON text in a bundle, one at a time another one, all digests made to fit again.

use std::fs;

use mkimg::fault::{Fault as _, Outcome};
use mkimg::realize::Image;
use mkimg::share::bundle::Bundle;
use mkimg::share::{Selection, ShareError, find, import};
use mkimg::store::Store;
use serde_json::{Value, json};

use crate::parts::{Parts, of_two};

/// The JSON pointers of all values in a text, the whole of it left out.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let place = format!("{at}/{key}");
        places(child, &place, into);
        into.push(place);
    }
}

/// Takes a bundle in; returns its images.
fn taken(parts: &Parts, path: &std::path::Path, store: &Store) -> Result<Vec<Image>, ShareError> {
    fs::write(path, parts.tar()).unwrap();
    let bundle = Bundle::open(path)?;
    let selection = Selection {
        arch: None,
        sources: true,
        limit: 1 << 20,
    };
    let imported = import(&bundle, &find(&bundle, &bundle.name)?, &selection, store)?;
    let images = imported.images.into_iter();
    Ok(images.map(|made| made.image).collect())
}

#[test]
fn another_value_anywhere_is_refused_or_changes_no_image() {
    let (project, path) = of_two();
    let parts = Parts::read(&path);
    let store = Store::open(&project.path("taken")).unwrap();
    let file = project.path("mutated.mkimg");
    let right = taken(&parts, &file, &store).unwrap();
    let texts = [
        parts.root(),
        parts.manifest("amd64"),
        parts.config("amd64"),
        parts.layer("amd64", "image"),
    ];
    let (mut refused, mut accepted) = (0, Vec::new());
    for hex in texts {
        let text = parts.json(&hex);
        let mut all = Vec::new();
        places(&text, "", &mut all);
        assert!(all.len() > 10, "{text:#}");
        for place in all {
            let long = "x".repeat(70_000);
            for other in [
                None,
                Some(json!(null)),
                Some(json!(u64::MAX)),
                Some(json!(-1)),
                Some(json!("")),
                Some(json!("../../x\u{1b}[2J")),
                Some(json!(long)),
                Some(json!([])),
                Some(json!({})),
            ] {
                let mut mutated = text.clone();
                let (parent, key) = place.rsplit_once('/').unwrap();
                let shown = format!("{other:?}").chars().take(40).collect::<String>();
                match (other, mutated.pointer_mut(parent).unwrap()) {
                    (Some(other), _) => *mutated.pointer_mut(&place).unwrap() = other,
                    (None, Value::Object(map)) => {
                        map.remove(&key.replace("~1", "/").replace("~0", "~"));
                    }
                    (None, Value::Array(list)) => drop(list.remove(key.parse().unwrap())),
                    _ => unreachable!(),
                }
                let mut bundle = parts.clone();
                bundle.replace(&hex, mutated.to_string().as_bytes());
                match taken(&bundle, &file, &store) {
                    Ok(images) => {
                        let known = images.iter().all(|image| right.contains(image));
                        assert!(known, "{place} {shown}");
                        accepted.push(place.clone());
                    }
                    Err(error) => {
                        refused += 1;
                        assert_eq!(
                            error.outcome(),
                            Outcome::Mismatch,
                            "{place} {shown}: {error}"
                        );
                        let said = error.to_string();
                        assert!(!said.contains('\u{1b}'), "{place} {shown}: {said:?}");
                        assert!(said.len() < 2000, "{place} {shown}: {} bytes", said.len());
                    }
                }
            }
        }
    }
    // What may be missing, or what a later mkimg may know and this one passes over; and an empty command line, which is its own.
    let free = [
        "/manifests/0/platform",
        "/manifests/1/platform",
        "/mediaType",
        "/cmdline",
        "/rootfs",
    ];
    let sources = [
        "/layers/5",
        "/layers/5/mediaType",
        "/layers/6",
        "/layers/6/mediaType",
    ];
    for place in accepted {
        let fine = free.iter().any(|free| place.starts_with(free)) || sources.contains(&&*place);
        assert!(fine, "{place} is held to nothing");
    }
    assert!(refused > 1000, "only {refused} were refused");
}
