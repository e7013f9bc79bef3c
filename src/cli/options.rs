//! The options of a session: the flags that every verb takes, and what the environment says. Only here is that read.
#![allow(
    clippy::disallowed_methods,
    reason = "`cli` is where environment and clock are read"
)]

use std::env;
use std::path::{self, PathBuf};
use std::time::SystemTime;

use super::failure::Failure;
use super::global::Global;
use super::seen::seen;
use crate::session::{Begun, Environment, Options};
use crate::source::fetch::redirect::redacted;
use crate::source::fetch::{Mirror, Proxies};

/// Returns the options of a session.
pub(super) fn options(global: &Global, begun: Begun) -> Result<Options, Failure> {
    let mirror = |text: &String| {
        text.parse::<Mirror>().map_err(|error| {
            Failure::usage(
                format!("`--mirror {}`: {error}", redacted(text)),
                "name a directory, or a file:// URL of one",
            )
        })
    };
    Ok(Options {
        cache: global.cache.clone().or_else(|| set("MKIMG_CACHE")),
        shared_cache: global.shared_cache,
        offline: global.offline,
        jobs: global.jobs,
        mirrors: global
            .mirrors
            .iter()
            .map(mirror)
            .collect::<Result<_, _>>()?,
        debian_mirrors: global.debian_mirror.clone(),
        max_unpacked: global.max_unpacked,
        max_download: global.max_download,
        allow_local: global.allow_local.clone(),
        environment: environment(global, begun),
    })
}

fn environment(global: &Global, begun: Begun) -> Environment {
    let home = set("HOME");
    let (cache, state) = match cfg!(target_os = "macos") {
        true => ("Library/Caches", "Library/Application Support"),
        false => (".cache", ".local/state"),
    };
    Environment {
        user_cache: of_user("XDG_CACHE_HOME", cache),
        state: of_user("XDG_STATE_HOME", state),
        config: of_user("XDG_CONFIG_HOME", ".config").map(|directory| directory.join("config.kdl")),
        home,
        credentials: credential_files(),
        temporary: env::temp_dir(),
        path: env::var_os("PATH"),
        proxies: Proxies {
            http: proxy("http_proxy"),
            https: proxy("https_proxy"),
            all: proxy("all_proxy"),
            no: proxy("no_proxy"),
        },
        clock: SystemTime::now,
        seen,
        begun,
        program: env::current_exe().ok(),
        program_options: program_options(global),
    }
}

/// Returns the path in an environment variable; an empty one counts as unset.
fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Returns a directory for mkimg by the XDG base directory specification, in which a relative path is to be ignored.
fn of_user(variable: &str, at_home: &str) -> Option<PathBuf> {
    let named = set(variable).filter(|path| path.is_absolute());
    let base = named.or_else(|| Some(set("HOME")?.join(at_home)));
    Some(base?.join("mkimg"))
}

/// Returns a proxy variable, lower case first as curl does; upper-case HTTP_PROXY is left alone where a web server may have
/// set it from a request's header (CVE-2016-5385).
fn proxy(name: &str) -> Option<String> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let served = name == "http_proxy" && env::var_os("REQUEST_METHOD").is_some();
    set(name).or_else(|| set(&name.to_uppercase()).filter(|_| !served))
}

/// Returns the files that may have credentials: what a variable names first, then Podman's and Docker's own.
fn credential_files() -> Vec<PathBuf> {
    let below = |name: &str, rest: &str| set(name).map(|path| path.join(rest));
    let absolute = |path: Option<PathBuf>| path.filter(|path| path.is_absolute());
    let uid = rustix::process::getuid().as_raw();
    let found = [
        set("REGISTRY_AUTH_FILE"),
        below("DOCKER_CONFIG", "config.json"),
        // What Podman takes without the variable: containers-auth.json(5).
        absolute(below("XDG_RUNTIME_DIR", "containers/auth.json"))
            .or_else(|| Some(PathBuf::from(format!("/run/containers/{uid}/auth.json")))),
        absolute(below("XDG_CONFIG_HOME", "containers/auth.json")),
        below("HOME", ".config/containers/auth.json"),
        below("HOME", ".docker/config.json"),
    ];
    let mut files: Vec<PathBuf> = Vec::new();
    for file in found.into_iter().flatten() {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// Returns the options of every verb that a program of the same session takes over.
fn program_options(global: &Global) -> Vec<String> {
    let mut options: Vec<String> = [
        ("--max-unpacked", global.max_unpacked),
        ("--max-download", global.max_download),
    ]
    .map(|(name, size)| [name.to_owned(), size.to_string()])
    .concat();
    for path in &global.allow_local {
        let path = path::absolute(path).unwrap_or_else(|_| path.clone());
        options.extend(["--allow-local".to_owned(), path.display().to_string()]);
    }
    if global.offline {
        options.push("--offline".to_owned());
    }
    for mirror in &global.mirrors {
        options.extend(["--mirror".to_owned(), from_anywhere(mirror)]);
    }
    for mirror in global
        .debian_mirror
        .iter()
        .filter(|mirror| !mirror.is_empty())
    {
        options.extend(["--debian-mirror".to_owned(), from_anywhere(mirror)]);
    }
    options
}

/// Returns a mirror as it is called in any directory.
fn from_anywhere(mirror: &str) -> String {
    match path::absolute(mirror) {
        Ok(path) if !mirror.starts_with("file:") && !mirror.contains("://") => {
            path.display().to_string()
        }
        _ => mirror.to_owned(),
    }
}
