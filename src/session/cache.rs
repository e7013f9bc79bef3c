//! Which cache serves, and whether what is in it may be believed.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::open::{Session, locked};
use super::places::cache_around;
use crate::store::owner::{self, Origin};
use crate::store::{Store, StoreError};

/// A cache that was chosen.
pub(crate) struct Choice {
    /// Its directory.
    pub(crate) path: PathBuf,
    /// Is it this user's alone?
    own: bool,
}

impl Choice {
    /// Opens it. One that is made now is recorded, so that it is known again where nobody names it.
    pub(crate) fn open(&self, session: &Session<'_>) -> Result<Store, StoreError> {
        let state = session.options.environment.state.as_ref();
        let state = state.filter(|_| self.own);
        let is_new = |state: &&PathBuf| match owner::origin(&self.path, state) {
            Ok(origin) => origin == Origin::Empty,
            Err(_) => !self.path.exists(),
        };
        let new = state.filter(|state| !self.path.join("lock").exists() && is_new(state));
        let store = Store::open(&self.path)?;
        if let Some(state) = new {
            // Without a record it has to be named again, as it was now.
            let _ = owner::take(store.root(), state);
        }
        match self.own {
            true => Ok(store),
            false => Ok(store.distrusted()),
        }
    }
}

impl Session<'_> {
    /// Returns the cache that serves a recipe's directory.
    pub(crate) fn cache(&self, base: &Path) -> Result<Choice, Error> {
        if let Some(named) = &self.options.cache {
            return self.judged(named.clone());
        }
        let absolute = fs::canonicalize(base).unwrap_or_else(|_| base.to_path_buf());
        let around = cache_around(&absolute);
        let users = self.options.environment.user_cache.clone();
        for path in [around, beside(&absolute)].into_iter().flatten() {
            let is_users = || fs::canonicalize(users.as_ref()?).ok();
            if is_users().is_some_and(|users| users == path) {
                break;
            }
            match self.stranger(&path) {
                None => return Ok(Choice { path, own: true }),
                Some(why) => self.pass_over(&path, &why),
            }
        }
        let Some(users) = users else {
            return Err(Error::usage(
                "there is no place for the cache: HOME is not set",
                "name one with `--cache DIR` or MKIMG_CACHE",
            ));
        };
        self.judged(users)
    }

    /// Refuses a cache into which others may have put something, unless the user said that they may.
    fn judged(&self, path: PathBuf) -> Result<Choice, Error> {
        match owner::fault(&path)? {
            None => Ok(Choice {
                own: !self.options.shared_cache,
                path,
            }),
            Some(_) if self.options.shared_cache => Ok(Choice { path, own: false }),
            Some(why) => Err(Error::usage(
                format!("the cache `{}` {why}", path.display()),
                "give it an owner and a mode that keep others out (chown, chmod go-w), name another with `--cache DIR`, or use \
                 it as it is with `--shared-cache`: then everything is hashed that is taken from it",
            )),
        }
    }

    /// Says why a cache that nobody named is not used; `None` where it is.
    fn stranger(&self, path: &Path) -> Option<String> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            return Some("is a symlink".to_owned());
        }
        let Some(state) = &self.options.environment.state else {
            return Some(
                "cannot be told from one that came with a clone: HOME is not set".to_owned(),
            );
        };
        let judged = owner::origin(path, state).and_then(|origin| match origin {
            // What is in it mkimg made, for nobody else to write.
            Origin::Here => owner::own_fault(path),
            Origin::Empty => match owner::fault(path)? {
                Some(why) => Ok(Some(why)),
                None => owner::take(path, state).map(|()| None),
            },
            Origin::Unknown => Ok(Some("was not made by mkimg on this machine".to_owned())),
        });
        judged.unwrap_or_else(|error| {
            let text = format!("cannot be told from one that came with a clone: {error}");
            Some(text)
        })
    }

    /// Says once that a cache is not used.
    fn pass_over(&self, path: &Path, why: &str) {
        if locked(&self.passed_over).insert(path.to_path_buf()) {
            let path = path.display();
            self.warn(format!(
                "`{path}` {why}: not used, the user's own cache is. If it is yours: `mkimg cache adopt {path}`, or name it with \
                 `--cache`"
            ));
        }
    }
}

/// Returns the `cache/` beside `images/`, where there is one.
fn beside(base: &Path) -> Option<PathBuf> {
    let beside = base.with_file_name("cache");
    let found = fs::symlink_metadata(&beside).ok()?;
    let is_there = base.file_name()? == "images" && (found.is_dir() || found.is_symlink());
    is_there.then_some(beside)
}
