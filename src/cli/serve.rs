//! The pages that a test's `serve` nodes name, over HTTP on the host's loopback, for as long as the test is there.
//!
//! QEMU's user network leads the guest's connections to 10.0.2.2 to this host's loopback. Answers `GET` and `HEAD` of a known
//! path, one request a connection (RFC 9112); anything else is 404 or 400.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::recipe::{StepKind, Test};

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of a request that are read.
const REQUEST: u64 = 16 * 1024;

/// A running server. Ends when dropped.
pub(super) struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Paths and their bodies.
type Pages = Vec<(String, String)>;

impl Server {
    /// Starts the server for a test that serves something; `None` where it serves nothing.
    pub(super) fn of(test: &Test) -> io::Result<Option<Server>> {
        let pages: Pages = test
            .steps
            .iter()
            .filter_map(|step| match &step.kind {
                StepKind::Serve { path, text } => Some((path.clone(), text.clone())),
                _ => None,
            })
            .collect();
        if pages.is_empty() {
            return Ok(None);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        let thread = thread::Builder::new().spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away, or says nothing sensible, is the test's business, not the server's.
                let _ = stream.and_then(|stream| answer(stream, &pages));
            }
        })?;
        Ok(Some(Server {
            address,
            stopped,
            thread: Some(thread),
        }))
    }

    /// Returns the address as the guest reaches it.
    pub(super) fn guest_address(&self) -> String {
        format!("10.0.2.2:{}", self.address.port())
    }
}

fn answer(mut stream: TcpStream, pages: &Pages) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new((&stream).take(REQUEST));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 0 && !header.trim_end().is_empty() {
        header.clear();
    }
    let mut words = request.split_ascii_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let page = pages.iter().find(|(name, _)| name == path);
    let (status, body) = match (method, page) {
        ("GET" | "HEAD", Some((_, text))) => ("200 OK", text.as_str()),
        ("GET" | "HEAD", None) => ("404 Not Found", "no such page\n"),
        _ => ("400 Bad Request", "GET or HEAD\n"),
    };
    let length = body.len();
    let body = if method == "HEAD" { "" } else { body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.flush()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread out of its waiting; where even that fails it ends with the process.
        if TcpStream::connect_timeout(&self.address, PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}
