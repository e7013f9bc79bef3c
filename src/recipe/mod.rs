//! KDL text to a typed [`Recipe`] that keeps its places, or to diagnostics. No file or network access.

pub mod diagnostic;
pub mod model;

pub use diagnostic::{Diagnostic, Located, Severity, SourceText};
pub use model::*;
