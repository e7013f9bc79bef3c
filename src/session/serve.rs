//! The pages that a test's `serve` nodes name, over HTTP at the one address that its guest reaches.
//!
//! ```text
//! guest --10.0.2.100:80--> QEMU's own network --a process for each connection--> mkimg answer DIRECTORY
//! ```
//!
//! No port of the host is opened: QEMU hands each connection to a new `mkimg answer` as its standard input and output. That
//! answers `GET` and `HEAD` of a known path, one request a connection (RFC 9112); anything else is 404 or 400. A guest may be
//! hostile: a request has a bound, a connection has a time, and there are only so many at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::error::Error;
use super::open::Session;
use crate::check::Place;
use crate::recipe::{StepKind, Test};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of a request that are read.
const REQUEST: u64 = 16 * 1024;
/// The most connections of a guest at once.
const AT_ONCE: usize = 16;
/// The file with the pages in the directory.
const PAGES: &str = "pages.json";

/// Paths and their bodies.
type Pages = BTreeMap<String, String>;

/// What a test serves. Dropped, it is gone.
pub(crate) struct Served {
    directory: Place,
}

impl Served {
    /// Writes down what a test serves; `None` where it serves nothing.
    pub(crate) fn of(session: &Session<'_>, test: &Test) -> Result<Option<Served>, Error> {
        let pages = test.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Serve { path, text } => Some((path.clone(), text.clone())),
            _ => None,
        });
        let pages: Pages = pages.collect();
        if pages.is_empty() {
            return Ok(None);
        }
        let directory = Place::new(&session.options.environment.temporary)?;
        let path = directory.path();
        let text = serde_json::Value::from_iter(pages).to_string();
        let written = fs::write(path.join(PAGES), text)
            .and_then(|()| slots(path).try_for_each(|slot| File::create(slot).map(drop)));
        written.map_err(|error| Error::io("write the pages of a test into", path, error))?;
        Ok(Some(Served { directory }))
    }

    /// Returns the command that answers one connection.
    pub(crate) fn command(&self, session: &Session<'_>) -> Result<Vec<OsString>, Error> {
        Ok(vec![
            session.program()?.into(),
            "answer".into(),
            self.directory.path().into(),
        ])
    }
}

/// The files of which each connection holds one.
fn slots(directory: &Path) -> impl Iterator<Item = PathBuf> {
    (0..AT_ONCE).map(|number| directory.join(format!("connection-{number}")))
}

/// Answers the connection that is this process's standard input and output, and its standard error, too: nothing is said.
pub(crate) fn serve(directory: &Path) {
    let late = thread::Builder::new().spawn(|| {
        thread::sleep(PATIENCE);
        std::process::exit(1);
    });
    let free = slots(directory).find_map(|slot| {
        let slot = File::open(slot).ok()?;
        slot.try_lock().ok().map(|()| slot)
    });
    let pages: Option<Pages> = fs::read(directory.join(PAGES))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    if let (Ok(_), Some(_slot), Some(pages)) = (late, free, pages) {
        // A client that goes away, or says nothing sensible, is the test's business.
        let from = BufReader::new(io::stdin().lock().take(REQUEST));
        let _ = answer(from, &mut io::stdout().lock(), &pages);
    }
}

fn answer(mut from: impl BufRead, to: &mut dyn Write, pages: &Pages) -> io::Result<()> {
    let mut request = Vec::new();
    from.read_until(b'\n', &mut request)?;
    let request = String::from_utf8_lossy(&request).into_owned();
    let mut words = request.split_ascii_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut ends = false;
    while !ends {
        let mut header = Vec::new();
        let count = from.read_until(b'\n', &mut header)?;
        ends = header.trim_ascii_end().is_empty() && count > 0;
        if count == 0 {
            break;
        }
    }
    let page = pages.get(path);
    let (status, body) = match (method, page) {
        _ if !ends => ("400 Bad Request", "the request has no end\n"),
        ("GET" | "HEAD", Some(text)) => ("200 OK", text.as_str()),
        ("GET" | "HEAD", None) => ("404 Not Found", "no such page\n"),
        _ => ("400 Bad Request", "GET or HEAD\n"),
    };
    let length = body.len();
    let body = if method == "HEAD" { "" } else { body };
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_and_what_is_none_is_refused_within_its_bound() {
        let pages = Pages::from([("/a".to_owned(), "hello".to_owned())]);
        let said = |request: &[u8]| {
            let mut out = Vec::new();
            answer(request.take(REQUEST), &mut out, &pages).unwrap();
            String::from_utf8(out).unwrap()
        };
        let page = said(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\nhello"));
        let head = said(b"HEAD /a HTTP/1.1\n\n");
        assert!(head.contains("Content-Length: 5\r\n") && head.ends_with("\r\n\r\n"));
        let endless = [b"GET /a HTTP/1.1\r\nx: ".to_vec(), vec![b'y'; 1 << 20]].concat();
        for (request, status) in [
            (&b"GET /b HTTP/1.1\r\n\r\n"[..], "404"),
            (b"PUT /a HTTP/1.1\r\n\r\n", "400"),
            (b"GET /a HTTP/1.1\r\nHost: x\r\n", "400"),
            (b"\xff\xfe\r\n\r\n", "400"),
            (b"", "400"),
            (&endless, "400"),
        ] {
            let start = format!("HTTP/1.1 {status} ");
            assert!(said(request).starts_with(&start), "{request:?}");
        }
    }
}
