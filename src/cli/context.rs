//! What the verbs share: the session, and the terminal that it reports to.

use std::path::Path;

use super::failure::{self, Failure};
use super::global::Global;
use super::options;
use super::shared::Target;
use crate::realize::Realized;
use crate::recipe::{Diagnostic, Mode, SourceMap};
use crate::session::{Begun, Error, Loaded, RealizeOptions, Report, Session, Substitutes};
use crate::ui::{self, Terminal, Verbosity};

/// What a verb works with.
pub(super) struct Context<'t> {
    pub(super) session: Session<'t>,
    pub(super) terminal: &'t Terminal,
    /// Is all to be told?
    pub(super) verbose: bool,
}

impl<'t> Context<'t> {
    /// Returns the context of a process that has used no cache yet.
    pub(super) fn new(
        global: &Global,
        terminal: &'t Terminal,
        begun: Begun,
    ) -> Result<Context<'t>, Failure> {
        Ok(Context {
            session: Session::new(options::options(global, begun)?, terminal),
            terminal,
            verbose: global.verbose > 0,
        })
    }

    /// Reads the recipe that is named, else the only one there is.
    pub(super) fn open(&self, recipe: Option<&Path>) -> Result<Loaded<'_>, Failure> {
        Ok(self.session.load_as(recipe, Mode::Strict)?)
    }

    /// Realizes a recipe that is only looked at.
    pub(super) fn realized(&self, target: &Target) -> Result<Realized, Failure> {
        let opened = self.open(target.recipe.as_deref())?;
        let options = RealizeOptions {
            substitutes: Some(Substitutes::default()),
            ..RealizeOptions::look(target.arch)
        };
        Ok(opened.image(&options)?.realized)
    }
}

impl Report for Terminal {
    fn warnings(&self, source: &SourceMap, warnings: &[Diagnostic]) {
        if self.verbosity() > Verbosity::Quiet {
            ui::print_diagnostics(source, warnings, self.color());
        }
    }

    fn failed(&self, error: &Error) {
        Terminal::clear(self);
        failure::print(error, self);
    }

    fn clear(&self) {
        Terminal::clear(self);
    }
}
