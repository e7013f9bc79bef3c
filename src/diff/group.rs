//! Differences of one kind together: nobody reads 349 lines that say the same.

use std::collections::BTreeMap;

use super::cause::{self, Facts};
use super::change::{Change, Field, Group};

/// As many pairs of values of one field are told apart; more become one group.
const PAIRS: usize = 4;

/// Returns the differences of a layer in groups, each with its likely cause.
pub(super) fn group(changes: Vec<Change>, facts: &Facts) -> Vec<Group> {
    let mut fields: BTreeMap<Field, Vec<Change>> = BTreeMap::new();
    for change in changes {
        fields.entry(change.field).or_default().push(change);
    }
    let mut groups = Vec::new();
    for (field, changes) in fields {
        let mut pairs: BTreeMap<(String, String), Vec<Change>> = BTreeMap::new();
        let apart = matches!(
            field,
            Field::Kind | Field::Mode | Field::Owner | Field::Nlink | Field::Name
        );
        for change in changes {
            let pair = match apart {
                true => (change.old.clone(), change.new.clone()),
                false => Default::default(),
            };
            pairs.entry(pair).or_default().push(change);
        }
        let mut parts: Vec<Vec<Change>> = pairs.into_values().collect();
        if parts.len() > PAIRS {
            parts = vec![parts.into_iter().flatten().collect()];
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        for mut changes in parts {
            changes.sort_by(|one, other| one.path.cmp(&other.path));
            let mut group = Group {
                field,
                changes,
                cause: None,
            };
            group.cause = cause::likely(&group, facts);
            groups.push(group);
        }
    }
    groups
}

impl Group {
    /// Returns the values of a side, as a range or one of them, where there are any.
    pub(super) fn values(&self, side: usize) -> String {
        let numbers: Option<Vec<u64>> = self
            .changes
            .iter()
            .map(|change| change.numbers.map(|numbers| numbers[side]))
            .collect();
        let texts = || {
            self.changes
                .iter()
                .map(|change| [&change.old, &change.new][side])
        };
        let first = texts().next().map_or("", |text| text.as_str());
        if texts().all(|text| text == first) {
            return first.to_owned();
        }
        let Some(numbers) = numbers.filter(|_| self.field != Field::Mode) else {
            return String::new();
        };
        let least = numbers.iter().min().copied().unwrap_or_default();
        let most = numbers.iter().max().copied().unwrap_or_default();
        format!("{least}..{most}")
    }
}
