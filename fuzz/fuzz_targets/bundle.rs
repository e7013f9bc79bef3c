//! Bundles.

use super::bed::with_bed;
use crate::share::bundle::{Bundle, begins_bundle};
use crate::share::{Origin as _, Shared, find};

pub(super) fn run(data: &[u8]) {
    begins_bundle(data);
    with_bed(|bed| {
        let path = bed.file("bundle", data);
        let Ok(bundle) = Bundle::open_as(&path, "input") else {
            return;
        };
        let Ok(found) = find(&bundle, &bundle.name) else {
            return;
        };
        for image in &found.images {
            let _ = Shared::read(&bundle, image, &bed.store, 1 << 24);
            let _ = bundle.referrers(&image.digest);
        }
    });
}
