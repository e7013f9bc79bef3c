//! `docs/image-json.md` and the file say the same: every key is in the table, and the table has no other.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cli::{Project, repository};
use serde_json::Value;

/// Returns the keys that the document's table names, `a.b` and `a[].b`.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("docs/image-json.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    cells
        .flat_map(|cell| cell.split(','))
        .map(|key| key.trim().trim_matches('`').to_owned())
        .collect()
}

/// Adds the paths of all values that are neither objects nor arrays of objects; of a location, the array alone.
fn collect(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !path.ends_with("locations[]") => {
            for (key, inner) in map {
                let dot = if path.is_empty() { "" } else { "." };
                collect(inner, &format!("{path}{dot}{key}"), keys);
            }
        }
        Value::Array(items) => {
            let path = format!("{path}[]");
            keys.insert(path.clone());
            for item in items {
                collect(item, &path, keys);
            }
        }
        _ => {
            keys.insert(path.to_owned());
        }
    }
}

#[test]
fn the_table_of_the_document_has_the_keys_of_the_file() {
    let project = Project::with("minimal");
    let image = project.realize("minimal", &["--arch", "x86_64"]);
    let path = Path::new(image["path"].as_str().unwrap()).join("image.json");
    let text = fs::read_to_string(path).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut keys = BTreeSet::new();
    collect(&value, "", &mut keys);
    assert_eq!(keys, documented());
    // Sorted keys, two blanks, a line feed: what any JSON library that sorts would write again.
    assert_eq!(text, format!("{value:#}\n"));
    assert!(!text.contains(project.path("").to_str().unwrap()));
}
