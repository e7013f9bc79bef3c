//! Text of strangers that is shown, and texts out of packages.

use crate::share::Licence;
use crate::text::{is_unsafe, json, safe, shown};

pub(super) fn run(data: &[u8]) {
    let piece = shown(data);
    assert!(!piece.contains(is_unsafe), "{piece:?}");
    let text = String::from_utf8_lossy(data);
    let whole = safe(&text);
    assert!(!whole.contains(|c| is_unsafe(c) && !matches!(c, '\n' | '\t')));
    assert_eq!(safe(&whole), whole);
    json(&text);
    Licence::parse(&text);
}
