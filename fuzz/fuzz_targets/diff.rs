//! Two archives that are compared, the second behind a length of the first.

use super::bed::with_bed;
use crate::diff::{Side, compare};

pub(super) fn run(data: &[u8]) {
    let Some((size, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let size = usize::from(u16::from_le_bytes(*size));
    let Some((one, other)) = rest.split_at_checked(size) else {
        return;
    };
    with_bed(|bed| {
        let (one, other) = (bed.file("one", one), bed.file("other", other));
        let sides = Side::open(&one).and_then(|one| Ok((one, Side::open(&other)?)));
        let Ok(found) = sides.and_then(|(one, other)| compare(&one, &other)) else {
            return;
        };
        for all in [false, true] {
            found.lines(all);
        }
        found.counts();
        found.json();
    });
}
