//! One request: the client that is made when it is first needed, redirects followed by our own rule, failures named.
//!
//! reqwest reads no environment here. The certificates are the system's, and the library that finds them heeds `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`: that decides who is trusted to talk, never which bytes are taken.

use std::error::Error;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::blocking::{Body, Client, ClientBuilder, Response};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, NoProxy, Proxy, Url};

use super::deadline::Deadline;
use super::error::{Reason, chain};
use super::options::FetchOptions;
use super::redirect;

/// The most header fields of an answer.
const MAX_HEADERS: usize = 1000;

/// Makes requests. Nothing is set up before the first one, and the certificates are read before the first https one: a
/// machine without them can still use the http mirrors that its own apt uses.
#[derive(Debug, Default)]
pub(crate) struct Http {
    plain: Mutex<Option<Client>>,
    secure: Mutex<Option<Client>>,
}

/// An answer, its headers read, its body not.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    idle: Duration,
    deadline: Option<Deadline>,
}

/// Who asks, for one server alone: a redirect to another scheme, host or port goes without it.
#[derive(Debug, Clone)]
pub(crate) struct Authorization {
    origin: String,
    value: HeaderValue,
}

impl Authorization {
    /// Returns the `Authorization` header for the server of a URL; `None` where the text cannot be a header.
    pub(crate) fn new(url: &Url, text: &str) -> Option<Authorization> {
        let mut value = HeaderValue::from_str(text).ok()?;
        // Its `Debug` says nothing then.
        value.set_sensitive(true);
        Some(Authorization {
            origin: url.origin().ascii_serialization(),
            value,
        })
    }

    fn for_server_of(&self, url: &Url) -> Option<&HeaderValue> {
        (self.origin == url.origin().ascii_serialization()).then_some(&self.value)
    }
}

/// A request that may be more than "give me that file".
#[derive(Debug)]
pub(crate) struct Request<'r> {
    pub(crate) method: Method,
    pub(crate) url: &'r Url,
    pub(crate) headers: &'r [(HeaderName, String)],
    pub(crate) authorization: Option<&'r Authorization>,
    /// What is sent, and how long that may take beyond the usual patience.
    pub(crate) body: Option<(Body, Duration)>,
}

impl Http {
    /// Asks for a URL, from byte `from` on, and for what it redirects to. `contact` is told each URL before it is asked.
    pub(super) fn get(
        &self,
        url: &Url,
        from: u64,
        authorization: Option<&Authorization>,
        options: &FetchOptions,
        contact: &dyn Fn(&Url),
    ) -> Result<Answer, Reason> {
        let range = [(header::RANGE, format!("bytes={from}-"))];
        let request = Request {
            method: Method::GET,
            url,
            headers: if from > 0 { &range } else { &[] },
            authorization,
            body: None,
        };
        self.send(request, options, contact)
    }

    /// Makes a request, and where it only reads also the ones that it is redirected to: what is sent goes nowhere but where it
    /// was addressed to. `contact` is told each URL before it is asked.
    pub(crate) fn send(
        &self,
        request: Request<'_>,
        options: &FetchOptions,
        contact: &dyn Fn(&Url),
    ) -> Result<Answer, Reason> {
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        let mut body = request.body;
        let mut asked = vec![request.url.clone()];
        let mut url = request.url.clone();
        loop {
            options.deadline.as_ref().map_or(Ok(()), Deadline::check)?;
            contact(&url);
            let client = self.client(&url, options)?;
            let mut one = client
                .request(request.method.clone(), url.clone())
                // The hash is over the bytes of the file, not over what a server makes of it on the way (pitfall 40).
                .header(header::ACCEPT_ENCODING, "identity");
            for (name, value) in request.headers {
                one = one.header(name, value);
            }
            if let Some(value) = request
                .authorization
                .and_then(|authorization| authorization.for_server_of(&url))
            {
                one = one.header(header::AUTHORIZATION, value);
            }
            if let Some((body, longer)) = body.take() {
                one = one.body(body).timeout(options.idle_timeout + longer);
            }
            let response = one.send().map_err(|error| failed(error, options))?;
            if !(reads && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)) {
                return Ok(Answer {
                    response,
                    idle: options.idle_timeout,
                    deadline: options.deadline.clone(),
                });
            }
            let target = location(&response);
            url = redirect::next(&asked, &target, options.plain_http)?;
            asked.push(url.clone());
        }
    }

    fn client(&self, url: &Url, options: &FetchOptions) -> Result<Client, Reason> {
        let secure = url.scheme() == "https" || options.proxies.any_is_https();
        let slot = if secure { &self.secure } else { &self.plain };
        // Held while the client is made, so that it is made once.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = build(secure, options)?;
        *slot = Some(client.clone());
        Ok(client)
    }
}

/// The part of a file that an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its first byte.
    pub(super) first: u64,
    /// The bytes of the whole file, where the server knows.
    pub(super) total: Option<u64>,
}

impl Piece {
    /// Reads a `Content-Range`: `bytes FIRST-LAST/SIZE` (RFC 9110, section 14.4). The unit's case does not count, and some
    /// servers write it as in a request, `bytes=`.
    fn parse(text: &str) -> Option<Piece> {
        let (unit, rest) = text.split_at_checked(5)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (span, total) = rest.trim_start_matches([' ', '\t', '=']).split_once('/')?;
        Some(Piece {
            first: span.split_once('-')?.0.trim().parse().ok()?,
            total: total.trim().parse().ok(),
        })
    }
}

fn location(response: &Response) -> String {
    let location = response.headers().get(header::LOCATION);
    let bytes = location.map_or(b"".as_slice(), |value| value.as_bytes());
    String::from_utf8_lossy(bytes).into_owned()
}

fn build(secure: bool, options: &FetchOptions) -> Result<Client, Reason> {
    // Fails where a provider is there already: the one of an earlier client, or of a program that uses this library.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = ClientBuilder::new()
        .user_agent(&options.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(options.connect_timeout)
        // The library's own bound is 100, which proxies and object stores pass; it reads no more than 400 KiB of them anyway.
        .http1_max_headers(MAX_HEADERS)
        // In reqwest's blocking client this is the time that one wait takes: for the headers, then for each read.
        .timeout(options.idle_timeout)
        // The environment is the command line's to read.
        .no_proxy();
    if !secure {
        builder = builder.tls_certs_only([]);
    }
    for proxy in options.proxies.to_reqwest()? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| {
        // rustls-platform-verifier says so in words only.
        let bare = |error: &(dyn Error + 'static)| error.to_string().contains("No CA certificates");
        if chain(&error).any(bare) {
            Reason::NoCertificates(error)
        } else {
            Reason::Client(error)
        }
    })
}

impl super::options::Proxies {
    fn values(&self) -> impl Iterator<Item = &str> {
        let all = [&self.http, &self.https, &self.all];
        all.into_iter()
            .flatten()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
    }

    fn any_is_https(&self) -> bool {
        self.values().any(|text| text.starts_with("https:"))
    }

    fn to_reqwest(&self) -> Result<Vec<Proxy>, Reason> {
        type Make = fn(Url) -> reqwest::Result<Proxy>;
        let kinds: [(&'static str, &Option<String>, Make); 3] = [
            ("http_proxy", &self.http, Proxy::http),
            ("https_proxy", &self.https, Proxy::https),
            ("all_proxy", &self.all, Proxy::all),
        ];
        let direct = self.no.as_deref().and_then(NoProxy::from_string);
        let mut proxies = Vec::new();
        for (variable, text, make) in kinds {
            let Some(text) = text
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
            else {
                continue;
            };
            let url = if text.contains("://") {
                Url::parse(text)
            } else {
                Url::parse(&format!("http://{text}"))
            };
            let proxy = url
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .and_then(|url| make(url).ok());
            let Some(proxy) = proxy else {
                let scheme = text.split_once("://").map(|(scheme, _)| scheme);
                let is_name = |scheme: &&str| {
                    scheme.len() <= 20 && scheme.chars().all(|c| c.is_ascii_alphanumeric())
                };
                let scheme = scheme.filter(is_name);
                return Err(Reason::Proxy {
                    variable,
                    scheme: scheme
                        .filter(|scheme| !matches!(*scheme, "http" | "https"))
                        .map(str::to_owned),
                });
            };
            proxies.push(proxy.no_proxy(direct.clone()));
        }
        Ok(proxies)
    }
}

fn failed(error: reqwest::Error, options: &FetchOptions) -> Reason {
    let error = error.without_url();
    if error.is_timeout() && !error.is_connect() {
        Reason::Silent {
            after: options.idle_timeout,
        }
    } else if chain(&error).any(|error| error.is::<rustls::Error>()) {
        Reason::Untrusted(error)
    } else {
        Reason::Network(error)
    }
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Returns the URL that answered, behind all redirects.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    /// Returns the `Location`; empty where there is none.
    pub(crate) fn location(&self) -> String {
        location(&self.response)
    }

    /// Returns every value of a header.
    pub(crate) fn headers(&self, name: HeaderName) -> Vec<&str> {
        let values = self.response.headers().get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok()).collect()
    }

    /// Returns the first value of a header.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        let headers: &HeaderMap = self.response.headers();
        headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// Returns the bytes that the body will have, where the server says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Says whether the end of the body is marked, so that a cut connection is not taken for it (RFC 9112, section 6.3).
    pub(super) fn ends_by_itself(&self) -> bool {
        self.length().is_some() || self.header(header::TRANSFER_ENCODING).is_some()
    }

    /// Returns what a 206 answer says that it has.
    pub(super) fn range(&self) -> Option<Piece> {
        Piece::parse(self.header(header::CONTENT_RANGE)?)
    }

    /// Returns the `Content-Encoding`, where it is one.
    pub(super) fn encoding(&self) -> Option<String> {
        let encoding = self.header(header::CONTENT_ENCODING)?;
        let used = !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity");
        used.then(|| encoding.chars().take(40).collect())
    }

    /// Returns the reason that a status which is no file amounts to.
    pub(crate) fn refusal(&self) -> Reason {
        let status = self.response.status();
        // The other form is a date, and mkimg reads no clock.
        let seconds = self
            .header(header::RETRY_AFTER)
            .and_then(|text| text.parse().ok());
        Reason::Status {
            code: status.as_u16(),
            text: status.canonical_reason().unwrap_or("unknown status"),
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    /// Reads more of the body; 0 is its end. `got` and `total` are for the message of a body that ends too soon.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        got: u64,
        total: Option<u64>,
    ) -> Result<usize, Reason> {
        loop {
            self.deadline.as_ref().map_or(Ok(()), Deadline::check)?;
            let error = match self.response.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let timeout = chain(&error)
                .filter_map(|error| error.downcast_ref::<reqwest::Error>())
                .any(reqwest::Error::is_timeout);
            // hyper reports a body that is shorter than announced as an unexpected end, a cut connection as the system does.
            let ended = chain(&error)
                .filter_map(|error| error.downcast_ref::<io::Error>())
                .any(|error| error.kind() == io::ErrorKind::UnexpectedEof);
            return Err(if timeout {
                Reason::Silent { after: self.idle }
            } else if ended {
                Reason::Truncated {
                    got,
                    declared: total,
                }
            } else {
                Reason::Broke(error)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_however_it_is_written() {
        let piece = |first, total| Some(Piece { first, total });
        let cases = [
            ("bytes 5-9/10", piece(5, Some(10))),
            ("Bytes 5-9/10", piece(5, Some(10))),
            ("BYTES  5 - 9 / 10 ", piece(5, Some(10))),
            ("bytes=5-9/10", piece(5, Some(10))),
            ("bytes 5-9/*", piece(5, None)),
            ("bytes */10", None),
            ("bytes 5-9", None),
            ("lines 5-9/10", None),
            ("b\u{e9}tes 5-9/10", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Piece::parse(text), expected, "{text}");
        }
    }
}
