//! Credentials where Docker and Podman keep them: `config.json`, `auth.json`, and the programs that these name.
//!
//! A file is a JSON object with `auths` (a registry, or with Podman any repository or part of one, to `auth`, the base64 of
//! `NAME:PASSWORD`, or `identitytoken`), `credHelpers` (a registry to a helper) and `credsStore` (a helper for all). A helper
//! `docker-credential-NAME get` reads the server from standard input and prints `Username` and `Secret`
//! (github.com/docker/docker-credential-helpers).

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value};

use super::RegistryError;
use crate::share::ShareError;
use crate::text::shown;

/// The most bytes of a file, and of what a helper says.
const MAX_BYTES: u64 = 1 << 20;

/// What proves who asks. Its `Debug` keeps the secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// A name and a password.
    Password { user: String, password: String },
    /// A token that other tokens are had for.
    Identity(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Returns the value of an `Authorization` header with a name and a password.
    pub(super) fn basic(&self) -> Option<String> {
        match self {
            Secret::Password { user, password } => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("{user}:{password}"))
            )),
            Secret::Identity(_) => None,
        }
    }
}

/// Credentials, and the words that say where they are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) secret: Secret,
    pub(super) from: String,
}

/// Returns the credentials for a repository from the first file that has some. A file that is not there has none.
pub(super) fn find(
    files: &[PathBuf],
    registry: &str,
    repository: &str,
) -> Result<Option<Credentials>, ShareError> {
    for path in files {
        let Some(file) = read(path)? else {
            continue;
        };
        if let Some(found) = of_file(&file, path, registry, repository)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<Value>, ShareError> {
    let unreadable =
        |error: io::Error| ShareError::from(RegistryError::unreadable(path.to_path_buf(), &error));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let wrong = |problem: String| {
        ShareError::from(RegistryError::File {
            path: path.to_path_buf(),
            problem,
        })
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("it has more than {MAX_BYTES} bytes")));
    }
    // `docker logout` and podman leave empty files behind.
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        // Not serde's own words, which may quote what is in the file.
        wrong(format!(
            "it is no JSON, in line {} column {}",
            error.line(),
            error.column()
        ))
    })?;
    Ok(Some(value))
}

fn of_file(
    file: &Value,
    path: &Path,
    registry: &str,
    repository: &str,
) -> Result<Option<Credentials>, ShareError> {
    let named = |helper: &Value| {
        helper
            .as_str()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    };
    let own = file["credHelpers"]
        .as_object()
        .and_then(|helpers| helpers.get(registry))
        .and_then(named);
    if let Some(helper) = own {
        return ask(&helper, path, registry);
    }
    let entry = file["auths"]
        .as_object()
        .and_then(|auths| entry_for(auths, registry, repository));
    let stored = match entry {
        Some((key, entry)) => of_entry(key, entry, path)?,
        None => None,
    };
    match (stored, named(&file["credsStore"])) {
        (Some(stored), _) => Ok(Some(stored)),
        (None, Some(helper)) => ask(&helper, path, registry),
        (None, None) => Ok(None),
    }
}

/// Returns the entry of the longest key that names the repository or something that it is in.
fn entry_for<'v>(
    auths: &'v Map<String, Value>,
    registry: &str,
    repository: &str,
) -> Option<(&'v str, &'v Value)> {
    let whole = format!("{registry}/{repository}");
    let mut best: Option<(usize, &str, &Value)> = None;
    for (key, entry) in auths {
        // Docker writes some registries as URLs, whose paths mean nothing.
        let bare = match key.split_once("://") {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
            None => key.trim_end_matches('/'),
        };
        let fits = whole
            .strip_prefix(bare)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && bare.len() >= registry.len();
        if fits && best.is_none_or(|(length, ..)| bare.len() > length) {
            best = Some((bare.len(), key, entry));
        }
    }
    best.map(|(_, key, entry)| (key, entry))
}

fn of_entry(key: &str, entry: &Value, path: &Path) -> Result<Option<Credentials>, ShareError> {
    let from = format!("`{}`", path.display());
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credentials {
            secret: Secret::Identity(token.to_owned()),
            from,
        }));
    }
    let Some(auth) = text("auth") else {
        let secret = text("username").zip(text("password"));
        return Ok(secret.map(|(user, password)| Credentials {
            secret: Secret::Password {
                user: user.to_owned(),
                password: password.to_owned(),
            },
            from,
        }));
    };
    let decoded = STANDARD
        .decode(auth)
        .or_else(|_| STANDARD_NO_PAD.decode(auth))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let Some((user, password)) = pair else {
        let problem = format!(
            "`auth` of `{}` is not the base64 of NAME:PASSWORD",
            shown(key)
        );
        return Err(ShareError::from(RegistryError::File {
            path: path.to_path_buf(),
            problem,
        }));
    };
    Ok(Some(Credentials {
        secret: Secret::Password {
            user: user.to_owned(),
            // Docker's own files of old end in NUL.
            password: password.trim_end_matches('\0').to_owned(),
        },
        from,
    }))
}

/// Asks the helper `docker-credential-NAME`.
fn ask(name: &str, path: &Path, registry: &str) -> Result<Option<Credentials>, ShareError> {
    let program = format!("docker-credential-{name}");
    let failed = |problem: String| {
        ShareError::from(RegistryError::Helper {
            program: shown(&program),
            path: path.to_path_buf(),
            problem,
        })
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // A name with a `/` would be a program somewhere else.
    if !name.chars().all(is_word) {
        return Err(failed("its name is no name of a helper".to_owned()));
    }
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("could not run it: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that knows its answer without reading is fine too.
        let _ = input.write_all(registry.as_bytes());
    }
    let mut said = Vec::new();
    let read = match child.stdout.take() {
        Some(output) => output.take(MAX_BYTES).read_to_end(&mut said).map(|_| ()),
        None => Ok(()),
    };
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    read.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        // The words of github.com/docker/docker-credential-helpers, which all helpers repeat.
        let none = String::from_utf8_lossy(&said).contains("credentials not found");
        return if none {
            Ok(None)
        } else {
            Err(failed(status.to_string()))
        };
    }
    let answer: Value =
        serde_json::from_slice(&said).map_err(|_| failed("it printed no JSON".to_owned()))?;
    let (Some(user), Some(secret)) = (answer["Username"].as_str(), answer["Secret"].as_str())
    else {
        return Err(failed("it printed no `Username` and `Secret`".to_owned()));
    };
    if secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credentials {
        secret: match user {
            "<token>" => Secret::Identity(secret.to_owned()),
            user => Secret::Password {
                user: user.to_owned(),
                password: secret.to_owned(),
            },
        },
        from: format!("the helper `{program}`"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Secret {
        Secret::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn the_longest_key_that_names_the_repository_counts() {
        // base64 of `a:1`, `b:2`, `c:3`, `d:4:5`.
        let text = r#"{"auths": {
            "registry.example": {"auth": "YToxCg=="},
            "registry.example/team": {"auth": "Yjoy"},
            "registry.example/team/deep": {"auth": "Yzoz"},
            "https://other.example/v1/": {"auth": "ZDo0OjU"},
            "token.example": {"identitytoken": "abc"},
            "plain.example": {"username": "u", "password": "p"},
            "empty.example": {}
        }}"#;
        let file: Value = serde_json::from_str(text).unwrap();
        let cases = [
            ("registry.example", "x", Some(password("a", "1\n"))),
            ("registry.example", "teamwork", Some(password("a", "1\n"))),
            ("registry.example", "team", Some(password("b", "2"))),
            ("registry.example", "team/x", Some(password("b", "2"))),
            ("registry.example", "team/deep/x", Some(password("c", "3"))),
            ("other.example", "x", Some(password("d", "4:5"))),
            ("token.example", "x", Some(Secret::Identity("abc".into()))),
            ("plain.example", "x", Some(password("u", "p"))),
            ("empty.example", "x", None),
            ("registry.example:5000", "x", None),
            ("example", "registry", None),
        ];
        for (registry, repository, secret) in cases {
            let found = of_file(&file, Path::new("f"), registry, repository).unwrap();
            assert_eq!(found.map(|found| found.secret), secret, "{registry}");
        }
    }

    #[test]
    fn no_error_and_no_debug_text_has_a_secret_in_it() {
        let path = Path::new("f");
        let file: Value =
            serde_json::from_str(r#"{"auths": {"a.b": {"auth": "geheim!"}}}"#).unwrap();
        let error = of_file(&file, path, "a.b", "x").unwrap_err();
        assert!(error.to_string().contains("base64"), "{error}");
        assert!(!format!("{error:?}{error}").contains("geheim"), "{error:?}");
        let found = Credentials {
            secret: password("geheim", "geheim"),
            from: "f".to_owned(),
        };
        assert!(!format!("{found:?}").contains("geheim"));
        let bad: Value = serde_json::from_str(r#"{"credsStore": "../x"}"#).unwrap();
        let error = of_file(&bad, path, "a.b", "x").unwrap_err().to_string();
        assert!(error.contains("no name of a helper"), "{error}");
    }
}
