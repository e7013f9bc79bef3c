//! One source from one location into a sink: tries, resumption, bounds, and the verdict on what came.

use std::io::{self, Read as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use reqwest::Url;

use super::Fetcher;
use super::error::{Mismatch, Reason};
use super::place::{At, Location};
use super::redirect::{shown, target};
use super::sink::Sink;
use crate::digest::Digest;
use crate::dir;
use crate::progress::Event;
use crate::store::StoreError;

/// Bytes between two events about a download's progress, at least.
const EVENT_BYTES: u64 = 64 * 1024;
/// Bytes that count as progress: who brings them again and again is asked again and again.
const PROGRESS_BYTES: u64 = 1024 * 1024;
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
            At::File(path) => self.read_file(&location.shown, path),
            At::Mirror(paths) => match paths.iter().find(|path| path.is_file()) {
                Some(path) => self.read_file(&path.display().to_string(), path),
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
        loop {
            let reason = match self.once(location, url) {
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
            let pause = options.pause_after(failures, &reason);
            self.retried(location, &reason, pause);
            thread::sleep(pause);
        }
    }

    /// Makes one request, and takes in its body.
    fn once(&mut self, location: &str, url: &Url) -> Result<Body, Halt> {
        // What is as long as the whole and yet not the whole cannot become it.
        let full = self.bound.is_some_and(|bound| self.sink.size() >= bound);
        if full || !self.sink.resumes() {
            self.restart()?;
        }
        let fetcher = self.fetcher;
        let own = url;
        let contact = |url: &Url| {
            let shown = if url == own { shown(url) } else { target(url) };
            fetcher
                .progress
                .event(Event::Detail(format!("contacting `{shown}`")));
        };
        let mut answer = loop {
            let from = self.sink.size();
            let answer = fetcher.http.get(
                url,
                from,
                fetcher.authorization.as_ref(),
                &fetcher.options,
                &contact,
            )?;
            match answer.status() {
                200 => {
                    // The server knows no ranges.
                    self.restart()?;
                    break answer;
                }
                206 if from > 0 && answer.range_start() == Some(from) => break answer,
                // Another range than the asked one, or none beyond what we have: from the start, without a range.
                206 | 416 if from > 0 => self.restart()?,
                _ => return Err(answer.refusal().into()),
            }
        };
        let start = self.sink.size();
        let total = answer.length().and_then(|length| start.checked_add(length));
        if let (Some(bound), Some(total)) = (self.bound, total)
            && total > bound
        {
            return Err(Reason::TooLong {
                bound,
                declared: Some(total),
            }
            .into());
        }
        let body = Body {
            resumed: start > 0,
            whole: answer.ends_by_itself(),
            encoding: answer.encoding(),
        };
        self.started(location, total.or(self.bound));
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let count = answer.read(&mut buffer, self.sink.size(), total)?;
            match buffer.get(..count) {
                Some(bytes) if count > 0 => self.take(bytes)?,
                _ => return Ok(body),
            }
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

    fn read_file(&mut self, location: &str, path: &Path) -> Result<(), Halt> {
        let failed = |source: io::Error| {
            Halt::Location(Reason::File {
                path: path.to_path_buf(),
                source,
            })
        };
        // Asked before it is opened: opening a pipe would wait for somebody to write into it.
        let found = path.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(Reason::NoFile.into());
        }
        if let Some(bound) = self.bound
            && found.len() > bound
        {
            return Err(Reason::TooLong {
                bound,
                declared: Some(found.len()),
            }
            .into());
        }
        let mut file = dir::open(path).map_err(failed)?;
        self.restart()?;
        self.started(location, Some(found.len()));
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
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
        if let Some(bound) = self.bound
            && after > bound
        {
            // These bytes are of another file.
            self.restart()?;
            return Err(Reason::TooLong {
                bound,
                declared: None,
            }
            .into());
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

/// Returns the first line of what looks like text, cut to a length that fits into a message.
pub(super) fn first_line(head: &[u8]) -> Option<String> {
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
    Some(line.chars().take(100).collect())
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
