//! An HTTP server on the loopback interface that answers as a test tells it to, right or wrong.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method of the request line.
    pub method: String,
    /// The target of the request line: a path, or a whole URL where a proxy is asked.
    pub target: String,
    /// Headers by their lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body, where a length is announced.
    pub body: Vec<u8>,
    /// How many requests for this target, with this method, came before.
    pub before: usize,
}

impl Request {
    /// The first byte that a `Range` header asks for.
    pub fn from(&self) -> Option<usize> {
        let range = self.headers.get("range")?;
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// An answer, byte for byte, and how the connection ends after it.
#[derive(Debug, Clone)]
pub struct Reply {
    head: String,
    body: Vec<u8>,
    length: Option<usize>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    Hang,
    Mute,
    Trickle,
}

impl Reply {
    /// An answer with this status line, the body's length announced.
    pub fn new(status: &str, body: &[u8]) -> Reply {
        Reply {
            head: format!("HTTP/1.1 {status}\r\nConnection: close\r\n"),
            body: body.to_vec(),
            length: Some(body.len()),
            end: End::Close,
        }
    }

    /// The whole file, whatever was asked.
    pub fn ok(body: &[u8]) -> Reply {
        Reply::new("200 OK", body)
    }

    /// The file as a good server gives it: the asked range, where one is asked.
    pub fn file(request: &Request, file: &[u8]) -> Reply {
        match request.from() {
            None => Reply::ok(file),
            Some(from) if from >= file.len() => Reply::new("416 Range Not Satisfiable", b""),
            Some(from) => Reply::new("206 Partial Content", &file[from..]).header(
                "Content-Range",
                &format!("bytes {from}-{}/{}", file.len() - 1, file.len()),
            ),
        }
    }

    /// A redirect.
    pub fn to(location: &str) -> Reply {
        Reply::new("302 Found", b"").header("Location", location)
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    /// Announces this length instead of the body's.
    pub fn announcing(mut self, length: usize) -> Reply {
        self.length = Some(length);
        self
    }

    /// Announces no length: the end of the connection is the end of the body.
    pub fn unannounced(mut self) -> Reply {
        self.length = None;
        self
    }

    /// Sends the body in chunks of 1000 bytes, without a length.
    pub fn chunked(mut self) -> Reply {
        let mut body = Vec::new();
        for chunk in self.body.chunks(1000) {
            body.extend(format!("{:x}\r\n", chunk.len()).bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        self.body = body;
        self.length = None;
        self.header("Transfer-Encoding", "chunked")
    }

    /// Sends no more of the body than this, and closes the connection.
    pub fn cut(mut self, bytes: usize) -> Reply {
        self.body.truncate(bytes);
        self
    }

    /// Resets the connection after the body instead of closing it.
    pub fn reset(mut self) -> Reply {
        self.end = End::Reset;
        self
    }

    /// Keeps the connection open and says nothing at all.
    pub fn mute() -> Reply {
        Reply {
            end: End::Mute,
            ..Reply::ok(b"")
        }
    }

    /// Sends the body a byte at a time, ten in a second.
    #[allow(dead_code)]
    pub fn trickle(mut self) -> Reply {
        self.end = End::Trickle;
        self
    }

    /// Keeps the connection open and silent after the body.
    pub fn hang(mut self) -> Reply {
        self.end = End::Hang;
        self
    }
}

/// The server; it stops when dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server that answers each request as `answer` says.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::start_on("127.0.0.1", answer)
    }

    /// Starts a server on an address of the loopback network.
    pub fn start_on(
        ip: &str,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let thread = thread::spawn({
            let (requests, connections, stop) =
                (requests.clone(), connections.clone(), stop.clone());
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (requests, answer, stop) = (requests.clone(), answer.clone(), stop.clone());
                    thread::spawn(move || {
                        // A client that goes away in the middle is none of the server's business.
                        let _ = serve(stream.unwrap(), &requests, &*answer, &stop);
                    });
                }
            }
        });
        Server {
            address,
            requests,
            connections,
            stop,
            thread: Some(thread),
        }
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The targets and range starts of the requests so far.
    pub fn asked(&self) -> Vec<(String, Option<usize>)> {
        let requests = self.requests();
        requests
            .iter()
            .map(|request| (request.target.clone(), request.from()))
            .collect()
    }

    /// The connections so far, with or without a request.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    requests: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Reply,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut bytes = vec![0u8; 64 * 1024];
    // Only looked at: closing a socket with something unread is what makes the kernel send a reset.
    let (text, length) = loop {
        let count = stream.peek(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            break (text[..end].to_owned(), end + 4);
        }
        if count == 0 || stop.load(Ordering::SeqCst) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    };
    let mut lines = text.lines();
    let mut line = lines.next().unwrap_or_default().split(' ');
    let method = line.next().unwrap_or_default().to_owned();
    let target = line.next().unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let announced = headers.get("content-length").map(|text| text.parse());
    let mut body = vec![0; announced.map_or(0, Result::unwrap)];
    let mut unread = length;
    if !body.is_empty() {
        stream.read_exact(&mut bytes[..length])?;
        stream.read_exact(&mut body)?;
        unread = 0;
    }
    let request = {
        let mut requests = requests.lock().unwrap();
        let before = requests
            .iter()
            .filter(|other| other.target == target && other.method == method)
            .count();
        let request = Request {
            method,
            target,
            headers,
            body,
            before,
        };
        requests.push(request.clone());
        request
    };
    let reply = answer(&request);
    let mut head = reply.head;
    if let Some(length) = reply.length {
        head += &format!("Content-Length: {length}\r\n");
    }
    if reply.end != End::Reset {
        stream.read_exact(&mut bytes[..unread])?;
    }
    if reply.end != End::Mute {
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"\r\n")?;
        if reply.end == End::Trickle {
            for byte in reply.body.chunks(1) {
                if stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                stream.write_all(byte)?;
                thread::sleep(Duration::from_millis(100));
            }
        } else if request.method != "HEAD" {
            stream.write_all(&reply.body)?;
        }
        stream.flush()?;
    }
    if reply.end == End::Reset {
        // What the client has not read by then may be lost to it.
        thread::sleep(Duration::from_millis(50));
    }
    while matches!(reply.end, End::Hang | End::Mute) && !stop.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
