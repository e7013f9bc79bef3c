//! A difference as JSON.

use serde_json::{Value, json};

use super::Difference;
use super::change::{Change, Group};

impl Difference {
    /// Returns it as JSON, complete: every layer, every group, every entry.
    pub fn json(&self) -> Value {
        let side = |index: usize| {
            let (name, nature) = &self.sides[index];
            json!({ "entries": self.entries[index], "is": nature, "name": name })
        };
        let layers = self.layers.iter().map(|layered| {
            let mut value = json!({
                "groups": layered.groups.iter().map(group).collect::<Value>(),
                "name": layered.layer.name(),
                "verdict": match (&layered.skipped, layered.groups.is_empty()) {
                    (Some(_), _) => "not compared",
                    (None, true) => "same",
                    (None, false) => "different",
                },
            });
            if let Some(why) = &layered.skipped {
                value["why"] = json!(why);
            }
            value
        });
        json!({ "a": side(0), "b": side(1), "layers": layers.collect::<Value>(), "same": self.is_same() })
    }
}

fn group(group: &Group) -> Value {
    let mut value = json!({
        "changes": group.changes.iter().map(change).collect::<Value>(),
        "field": group.field.name(),
    });
    if let Some((name, text)) = &group.cause {
        value["cause"] = json!({ "name": name, "text": text });
    }
    value
}

fn change(change: &Change) -> Value {
    let mut value = json!({ "new": change.new, "old": change.old });
    if !change.path.is_empty() {
        value["path"] = json!(change.path);
    }
    if let Some(offset) = change.detail.offset {
        value[if change.detail.block {
            "block"
        } else {
            "offset"
        }] = json!(offset);
    }
    if let Some(section) = &change.detail.section {
        value["section"] = json!(section);
    }
    if !change.detail.lines.is_empty() {
        value["lines"] = json!(change.detail.lines);
    }
    value
}
