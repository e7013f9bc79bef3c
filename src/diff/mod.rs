//! What differs between two images, down to entry and field, and why.
//!
//! ```text
//! Side a --scan--> headers, digests of blocks, form --\
//!                                                      compare --> Difference: layers of changes --group, cause--> text, JSON
//! Side b --scan--> headers, digests of blocks, form --/     \--read again: the contents that differ
//! ```
//!
//! The layers go from what was meant to what came of it: sources, plan, kernel, tree, archive form, compression. No archive
//! is ever in memory: of an entry its header and one digest for each 64 KiB are kept, and both sides are read at once.

mod cause;
mod change;
mod content;
mod entries;
mod error;
mod form;
mod group;
mod json;
mod layers;
mod scan;
mod side;
mod text;

use std::thread;

pub use cause::causes;
pub use change::{Change, Detail, Field, Group, Layer, Layered};
pub use error::DiffError;
pub use side::Side;

/// What differs between two images.
#[derive(Debug)]
pub struct Difference {
    /// The name and the nature of each side.
    sides: [(String, String); 2],
    layers: Vec<Layered>,
    /// Numbers of entries, added, removed and changed.
    entries: [usize; 2],
}

/// Compares two images.
///
/// # Errors
/// [`DiffError`] where one of them cannot be read.
pub fn compare(a: &Side, b: &Side) -> Result<Difference, DiffError> {
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| scan::scan(b));
        let one = scan::scan(a);
        // The thread has no panic of its own: what it would panic with goes on here.
        let other = other
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (one, other)
    });
    let (one, other) = (one?, other?);
    let layers = layers::compare((a, &one), (b, &other))?;
    Ok(Difference {
        sides: [
            (a.name().to_owned(), one.nature(a)),
            (b.name().to_owned(), other.nature(b)),
        ],
        layers,
        entries: [one.entries.len(), other.entries.len()],
    })
}

impl Difference {
    /// Says whether nothing differs in what both sides have.
    pub fn is_same(&self) -> bool {
        self.layers.iter().all(|layered| layered.groups.is_empty())
    }

    /// Returns the layers, in their order.
    pub fn layers(&self) -> &[Layered] {
        &self.layers
    }
}
