//! https against OpenSSL's test server, with a certificate of our own.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use mkimg::digest::Digest;
use mkimg::recipe::Place;
use mkimg::source::fetch::Kind;

use crate::bed::{Bed, bytes, places, run_alone, told_to};
use crate::server::{Reply, Server};

/// OpenSSL's server; it ends when dropped.
struct Https(Child);

impl Https {
    /// Serves the files of `directory`, each of them a whole answer with its headers.
    fn start(directory: &Path, port: u16) -> Https {
        let server = Command::new("openssl")
            .args([
                "s_server", "-quiet", "-HTTP", "-cert", "cert.pem", "-key", "key.pem",
            ])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Https(server);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs in a process of its own, which is told whom to trust.
#[test]
#[ignore = "run by the test below"]
fn fetch_from_an_https_server() {
    let Some(base) = told_to("MKIMG_TEST_HTTPS") else {
        return;
    };
    let (bed, file) = (Bed::new(), bytes(100_000));
    bed.fetch_whole(&file, &[format!("{base}/file")]);
    bed.store.remove_blob(&Digest::of(&file)).unwrap();
    let urls = places(&[format!("{base}/downgrade")]);
    let error = bed.fetch(Digest::of(&file), None, &urls).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    let text = error.to_string();
    assert!(
        text.contains(": it redirects from https to http, to `http://127.0.0.1:"),
        "{text}"
    );
}

#[test]
fn https_works_where_the_certificate_is_trusted_and_leads_to_no_plain_http() {
    if Command::new("openssl").arg("version").output().is_err() {
        return crate::bed::missing("openssl");
    }
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days", "2", "-subj", "/CN=test", "-keyout", "key.pem", "-out", "cert.pem",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let file = bytes(100_000);
    let served = file.clone();
    let plain = Server::start(move |request| Reply::file(request, &served));
    let redirect = format!(
        "HTTP/1.0 302 Found\r\nLocation: {}\r\n\r\n",
        plain.url("/file")
    );
    fs::write(dir.path().join("downgrade"), redirect).unwrap();
    let mut answer = b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
    answer.extend(&file);
    fs::write(dir.path().join("file"), answer).unwrap();
    let port = crate::bed::free_port();
    let _server = Https::start(dir.path(), port);
    let base = format!("https://127.0.0.1:{port}");

    let cert = dir.path().join("cert.pem");
    let mut child = run_alone("tls::fetch_from_an_https_server");
    child.env("SSL_CERT_FILE", &cert).env_remove("SSL_CERT_DIR");
    assert!(
        child
            .env("MKIMG_TEST_HTTPS", &base)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(plain.connections(), 0);

    // This process does not trust it, and asking again would not help.
    let bed = Bed::new();
    let place = [Place::Url(format!("{base}/file"))];
    let error = bed.fetch(Digest::of(&file), None, &place).unwrap_err();
    assert_eq!((error.kind(), bed.seen.retries()), (Kind::Unreachable, 0));
    let text = error.to_string();
    assert!(
        text.contains("no trusted connection: invalid peer certificate: UnknownIssuer"),
        "{text}"
    );
    assert!(error.help()[0].contains("ca-certificates"));
}
