//! What people see: bars and lines of progress, diagnostics, sizes. Everything goes to standard error; results are the
//! business of the verbs.

mod clip;
pub(crate) mod report;
mod terminal;

pub use crate::units::{bar, bytes, seconds};
pub use report::{print_diagnostics, print_error};
pub use terminal::{Terminal, Verbosity};
