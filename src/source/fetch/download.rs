//! One source from one location into a sink: tries, resumption, bounds, and the verdict on what came.

use std::io::{self, Read as _};
use std::thread;
use std::time::Duration;

use reqwest::Url;

use super::Fetcher;
use super::error::{Mismatch, Reason, passing};
use super::http::Answer;
use super::place::{At, Location};
use super::redirect::{shown, target};
use super::sink::Sink;
use crate::digest::Digest;
use crate::progress::Event;
use crate::source::local::{self, Regular};
use crate::store::StoreError;
use crate::text;

/// Bytes between two events about a download's progress, at least.
const EVENT_BYTES: u64 = 64 * 1024;
/// Bytes that count as progress: who brings them again and again is asked again and again.
const PROGRESS_BYTES: u64 = 1024 * 1024;
/// Bytes that an answer with a part of the file has at least, where the next part is asked for at once.
const PIECE: u64 = 16 * 1024;
/// Bytes read at once.
const BUFFER: usize = 128 * 1024;
/// Bytes kept from the beginning of a file, to show what came instead of it.
const HEAD: usize = 512;

/// What ended an attempt.
pub(super) enum Halt {
    /// The location is of no use; another may be.
    Location(Reason),
    /// The cache cannot take the bytes: no location helps.
    Store(StoreError),
}

impl From<Reason> for Halt {
    fn from(reason: Reason) -> Halt {
        Halt::Location(reason)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        Halt::Store(error)
    }
}

/// One source on its way into one sink.
pub(super) struct Download<'d, 'f> {
    pub(super) fetcher: &'d Fetcher<'f>,
    pub(super) name: &'d str,
    pub(super) expected: Option<Digest>,
    /// The size that the source may not exceed.
    pub(super) bound: Option<u64>,
    pub(super) sink: &'d mut dyn Sink,
    /// The first bytes of the file, where this process saw them.
    pub(super) head: Vec<u8>,
    /// Bytes in the file when the last event told of them.
    pub(super) told: u64,
}

/// A body that came to its end.
struct Body {
    /// It began after what was there already.
    resumed: bool,
    /// Its end was marked, and is no cut connection.
    whole: bool,
    encoding: Option<String>,
}

impl Download<'_, '_> {
    /// Fills the sink from one location. On success it holds the expected bytes, or, when none are known, all of them.
    pub(super) fn fill(&mut self, location: &Location) -> Result<(), Halt> {
        if self.is_done() {
            return Ok(());
        }
        match &location.at {
            At::Http(_) if self.fetcher.options.offline => Err(Reason::Offline.into()),
            At::Http(url) => self.ask_server(&location.shown, url),
            At::Local(base, path) => {
                let file = Regular::open(base, path).map_err(Reason::Local)?;
                // Nothing but a hash tells that the recipe's author knew the bytes.
                if let (Some(reach), None) = (&self.fetcher.options.reach, self.expected) {
                    reach.check(&file).map_err(Reason::Local)?;
                }
                self.read_file(&location.shown, file)
            }
            At::File(path) => {
                let file = Regular::open_own(path).map_err(Reason::Local)?;
                self.read_file(&location.shown, file)
            }
            At::Mirror(paths) => match paths.iter().find(|path| path.is_file()) {
                Some(path) => {
                    let file = Regular::open_own(path).map_err(Reason::Local)?;
                    self.read_file(&path.display().to_string(), file)
                }
                None => Err(Reason::NotInMirror.into()),
            },
            At::NoUrl => Err(Reason::NoUrl.into()),
            At::NoRoot => Err(Reason::NoRoot.into()),
        }
    }

    /// Says whether an earlier process left the whole file, and only the renaming is missing.
    fn is_done(&self) -> bool {
        self.sink.size() > 0 && self.expected == Some(self.sink.digest())
    }

    fn ask_server(&mut self, location: &str, url: &Url) -> Result<(), Halt> {
        let origin = url.origin().ascii_serialization();
        let options = &self.fetcher.options;
        // Who could not be reached for one source is not asked four times again for each of the others.
        let tries = if self.fetcher.is_down(&origin) {
            1
        } else {
            options.tries
        };
        let mut failures = 0;
        let mut furthest = self.sink.size();
        let mut from_zero = false;
        let mut refused = false;
        loop {
            // A server that fails at a range may still have the whole: the last try finds out.
            let ranged = !(refused && failures + 1 >= tries);
            let reason = match self.once(location, url, ranged) {
                Ok(body) => match self.judge(&body) {
                    Ok(()) => return Ok(()),
                    Err(reason) => {
                        let keep = matches!(reason, Reason::Truncated { .. });
                        if !keep {
                            self.restart()?;
                            // What was there before may have been the wrong part: that is not this location's fault.
                            if body.resumed && !from_zero {
                                from_zero = true;
                                self.retried(location, &reason, Duration::ZERO);
                                continue;
                            }
                        }
                        reason
                    }
                },
                Err(Halt::Location(reason)) => reason,
                Err(halt) => return Err(halt),
            };
            if self.sink.size() >= furthest.saturating_add(PROGRESS_BYTES) {
                furthest = self.sink.size();
                failures = 0;
            }
            failures += 1;
            if !reason.passes() || failures >= tries {
                if matches!(&reason, Reason::Network(error) if error.is_connect()) {
                    self.fetcher.mark_down(origin);
                }
                return Err(reason.into());
            }
            refused = matches!(reason, Reason::Status { .. });
            let pause = options.pause_after(failures, &reason);
            self.retried(location, &reason, pause);
            thread::sleep(pause);
        }
    }

    /// Makes requests until the file came to its end: more than one where the server gives it in pieces. Without `ranged` the
    /// whole is asked for, whatever is there.
    fn once(&mut self, location: &str, url: &Url, ranged: bool) -> Result<Body, Halt> {
        // What is as long as the whole and yet not the whole cannot become it.
        let full = self.sink.size() >= self.limit();
        if full || !self.sink.resumes() {
            self.restart()?;
        }
        let mut ranged = ranged;
        loop {
            let answer = self.ask(url, ranged)?;
            let start = self.sink.size();
            let whole = answer.range().and_then(|piece| piece.total);
            let body = self.take_in(location, answer)?;
            let end = self.sink.size();
            // RFC 9110, section 15.3.7: a server may give less than was asked for.
            match whole.filter(|whole| end < *whole && !self.is_done()) {
                None => return Ok(body),
                Some(_) if end.saturating_sub(start) >= PIECE => ranged = true,
                Some(whole) => {
                    return Err(Halt::Location(Reason::Truncated {
                        got: end,
                        declared: Some(whole),
                    }));
                }
            }
        }
    }

    /// Asks for what the sink lacks, or for the whole; returns an answer whose body goes on where the sink ends. What the sink has
    /// stays until something else is on its way.
    fn ask(&mut self, url: &Url, ranged: bool) -> Result<Answer, Halt> {
        let from = if ranged { self.sink.size() } else { 0 };
        let answer = self.get(url, from)?;
        if self.goes_on(&answer, from)? {
            return Ok(answer);
        }
        let code = answer.status();
        // Neither a passing trouble, nor the question who asks, nor a file that is not there is about the range.
        if from == 0 || passing(code) || matches!(code, 401 | 404 | 407 | 410) {
            return Err(answer.refusal().into());
        }
        // Another range than the asked one, none beyond what we have, or a server that wants no ranges at all.
        drop(answer);
        let answer = self.get(url, 0)?;
        match self.goes_on(&answer, 0)? {
            true => Ok(answer),
            false => Err(answer.refusal().into()),
        }
    }

    /// Says whether an answer to a request from byte `from` on has bytes of the file, and empties the sink where they begin anew.
    fn goes_on(&mut self, answer: &Answer, from: u64) -> Result<bool, StoreError> {
        let piece = || answer.range().map(|piece| piece.first) == Some(from);
        let whole = answer.status() == 200;
        if !(whole || from > 0 && answer.status() == 206 && self.sink.resumes() && piece()) {
            return Ok(false);
        }
        if whole {
            self.restart()?;
        }
        Ok(true)
    }

    /// Makes one request. Object stores take a `+` in a path for a space, as in a form: where there is nothing, it is asked for once
    /// more as `%2B`.
    fn get(&self, url: &Url, from: u64) -> Result<Answer, Reason> {
        let fetcher = self.fetcher;
        let get = |url: &Url| {
            let contact = |asked: &Url| {
                let shown = if asked == url {
                    shown(asked)
                } else {
                    target(asked)
                };
                fetcher
                    .progress
                    .event(Event::Detail(format!("contacting `{shown}`")));
            };
            let authorization = fetcher.authorization.as_ref();
            fetcher
                .http
                .get(url, from, authorization, &fetcher.options, &contact)
        };
        let answer = get(url)?;
        if !(matches!(answer.status(), 400 | 403 | 404) && url.path().contains('+')) {
            return Ok(answer);
        }
        let mut escaped = url.clone();
        escaped.set_path(&url.path().replace('+', "%2B"));
        match get(&escaped) {
            Ok(other) if matches!(other.status(), 200 | 206) => Ok(other),
            _ => Ok(answer),
        }
    }

    /// Takes in the body of an answer.
    fn take_in(&mut self, location: &str, mut answer: Answer) -> Result<Body, Halt> {
        let start = self.sink.size();
        let sent = answer.length().and_then(|length| start.checked_add(length));
        let total = sent.or(answer.range().and_then(|piece| piece.total));
        if total.is_some_and(|total| total > self.limit()) {
            // What is there is the beginning of that file.
            self.restart()?;
            return Err(self.too_long(total).into());
        }
        let body = Body {
            resumed: start > 0,
            whole: answer.ends_by_itself(),
            encoding: answer.encoding(),
        };
        self.started(location, total.or(self.bound));
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let count = match answer.read(&mut buffer, self.sink.size(), sent) {
                Ok(count) => count,
                // The bytes are all there: whatever the transfer lacked is none of them.
                Err(_) if self.is_done() => return Ok(body),
                Err(reason) => return Err(reason.into()),
            };
            match buffer.get(..count) {
                Some(bytes) if count > 0 => self.take(bytes)?,
                _ => return Ok(body),
            }
        }
    }

    /// The most bytes that the source may have.
    fn limit(&self) -> u64 {
        self.bound.unwrap_or(self.fetcher.options.max_download)
    }

    fn too_long(&self, declared: Option<u64>) -> Reason {
        match self.bound {
            Some(bound) => Reason::TooLong { bound, declared },
            None => Reason::TooLarge {
                bound: self.limit(),
                declared,
            },
        }
    }

    /// Compares what the sink holds with what it should hold.
    fn judge(&self, body: &Body) -> Result<(), Reason> {
        let Some(expected) = self.expected else {
            return Ok(());
        };
        let actual = self.sink.digest();
        if actual == expected {
            return Ok(());
        }
        let got = self.sink.size();
        let begins = first_line(&self.head);
        if !body.whole && begins.is_none() && self.bound.is_some_and(|bound| got < bound) {
            return Err(Reason::Truncated {
                got,
                declared: self.bound,
            });
        }
        Err(Reason::Mismatch(Box::new(Mismatch {
            expected,
            actual,
            got,
            size: self.bound,
            begins,
            encoding: body.encoding.clone(),
        })))
    }

    fn read_file(&mut self, location: &str, mut file: Regular) -> Result<(), Halt> {
        let size = file.size();
        if let Some(reason) = over(size, self.bound, self.fetcher.options.max_download) {
            return Err(reason.into());
        }
        self.restart()?;
        self.started(location, Some(size));
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // What came was the beginning of no file.
                    self.restart()?;
                    return Err(Reason::Local(local::reading_error(error)).into());
                }
            };
            match buffer.get(..count) {
                Some(bytes) if count > 0 => self.take(bytes)?,
                _ => break,
            }
        }
        let body = Body {
            resumed: false,
            whole: true,
            encoding: None,
        };
        if let Err(reason) = self.judge(&body) {
            self.restart()?;
            return Err(reason.into());
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        let before = self.sink.size();
        let after = before.saturating_add(bytes.len() as u64);
        if after > self.limit() {
            // These bytes are of another file.
            self.restart()?;
            return Err(self.too_long(None).into());
        }
        if before == self.head.len() as u64 {
            let room = HEAD.saturating_sub(self.head.len());
            self.head.extend(bytes.iter().take(room));
        }
        self.sink.append(bytes)?;
        if after.saturating_sub(self.told) >= EVENT_BYTES {
            self.told = after;
            self.fetcher.progress.event(Event::DownloadAdvanced {
                name: self.name.to_owned(),
                have: after,
            });
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), StoreError> {
        self.head.clear();
        if self.sink.size() > 0 {
            self.sink.restart()?;
        }
        Ok(())
    }

    fn started(&mut self, location: &str, size: Option<u64>) {
        let have = self.sink.size();
        self.told = have;
        self.fetcher.progress.event(Event::DownloadStarted {
            name: self.name.to_owned(),
            url: location.to_owned(),
            size,
            have,
        });
    }

    fn retried(&self, location: &str, reason: &Reason, pause: Duration) {
        self.fetcher.progress.event(Event::DownloadRetried {
            name: self.name.to_owned(),
            url: location.to_owned(),
            reason: reason.to_string(),
            pause,
        });
    }
}

/// Returns why a file of this size is too large, where it is: for the size that the recipe declares, or for the user's bound.
pub(super) fn over(size: u64, bound: Option<u64>, max_download: u64) -> Option<Reason> {
    let declared = Some(size);
    match bound {
        Some(bound) => (size > bound).then_some(Reason::TooLong { bound, declared }),
        None => (size > max_download).then_some(Reason::TooLarge {
            bound: max_download,
            declared,
        }),
    }
}

/// Returns the first line of what looks like text, cut to a length that fits into a message.
pub(crate) fn first_line(head: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end in the middle of a letter.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.contains(odd) {
        return None;
    }
    let line = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    let line: String = line.chars().take(100).collect();
    Some(text::shown(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_text_is_shown_and_bytes_are_not() {
        let long = "x".repeat(300);
        let cases: [(&[u8], Option<&str>); 8] = [
            (
                b"\xef\xbb\xbf\r\n  <!DOCTYPE html>\n<html>",
                Some("<!DOCTYPE html>"),
            ),
            (b"404", Some("404")),
            ("caf\u{e9}".as_bytes().split_last().unwrap().1, Some("caf")),
            (long.as_bytes(), Some(&long[..100])),
            (b"\x1b[31mred", None),
            (b"\x1f\x8b\x08", None),
            (b"!<arch>\n\0", None),
            (b" \n", None),
        ];
        for (head, line) in cases {
            assert_eq!(first_line(head).as_deref(), line, "{head:?}");
        }
    }
}
