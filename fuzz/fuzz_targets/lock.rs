//! The files of a project that are written in KDL and come along with it: lock and configuration.

use std::path::Path;

use crate::fault::Fault as _;
use crate::lock::Lock;
use crate::share::config::{Config, Owner};

pub(super) fn run(data: &[u8]) {
    if let Err(error) = Lock::parse("x.lock", data) {
        let _ = (error.to_string(), error.help());
    }
    for owner in [Owner::Project, Owner::User] {
        let _ = Config::parse("mkimg.kdl", data, owner, Path::new("/base"), None);
    }
}
