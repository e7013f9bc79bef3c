//! What a session has begun, and a process that is about to end must not leave behind.

use std::sync::Arc;

use crate::check::Children;
use crate::store;

/// What a session has begun outside of its process. A clone is of the same: a thread that waits for signals has one.
#[derive(Debug, Clone, Default)]
pub struct Begun {
    pub(super) children: Arc<Children>,
}

impl Begun {
    /// Ends and removes it, for a process that is about to end: whoever would begin more waits for that.
    pub fn abandon(&self) {
        self.children.abandon();
        store::abandon_scratch();
    }
}
