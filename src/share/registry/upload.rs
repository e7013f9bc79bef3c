//! Blobs to a registry: `POST` opens an upload, one `PUT` sends it whole (distribution specification, "Pushing a blob
//! monolithically").

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use reqwest::header;

use super::exchange::{Outgoing, Question};
use super::{Registry, blob_name, label};
use crate::progress::{Event, Stage};
use crate::share::ShareError;
use crate::share::oci::Descriptor;
use crate::source::fetch::redirect;
use crate::store::Blob;

/// How often it is told how far an upload is.
const TELL: Duration = Duration::from_millis(100);
/// The most bytes of an answer to an upload: it should have none.
const MAX_ANSWER: u64 = 64 << 10;

impl Registry<'_> {
    /// Says whether the registry has a blob, of the right size.
    pub(super) fn has_blob(&self, wanted: &Descriptor) -> Result<bool, ShareError> {
        let what = format!("look for {}", blob_name(wanted));
        let digest = format!("sha256:{}", wanted.digest);
        let reply = self.exchange(&Question {
            what: &what,
            method: Method::HEAD,
            url: &self.url(&["blobs", &digest]),
            headers: &[],
            body: Outgoing::Nothing,
            limit: 0,
            tries: self.options.fetch.tries,
        })?;
        match reply.status() {
            200 => Ok(reply
                .announced_length()
                .is_none_or(|length| length == wanted.size)),
            // Who does not want to be asked is told instead.
            404 | 405 => Ok(false),
            _ => Err(self.odd(&what, &reply)),
        }
    }

    /// Sends a blob, and tells how far it is.
    pub(super) fn send_blob(&self, descriptor: &Descriptor, blob: &Blob) -> Result<(), ShareError> {
        // What the cache lost is not the registry's to find.
        blob.verify()?;
        let stage = Stage::Send;
        self.progress.event(Event::StageStarted {
            stage,
            what: label(descriptor),
            size: Some(blob.size),
        });
        let sent = Arc::new(AtomicU64::new(0));
        let result = thread::scope(|scope| {
            let (sending, ended) = mpsc::channel::<()>();
            let tell = || {
                let ended = ended;
                while ended.recv_timeout(TELL) == Err(RecvTimeoutError::Timeout) {
                    let done = sent.load(Ordering::Relaxed);
                    self.progress.event(Event::StageAdvanced { stage, done });
                }
            };
            // Without a thread nothing is told; it is sent all the same.
            let _ = thread::Builder::new().spawn_scoped(scope, tell);
            let result = self.send_again(descriptor, blob, &sent);
            drop(sending);
            result
        });
        self.progress.event(Event::StageFinished { stage });
        result
    }

    /// Sends a blob. An upload that broke is begun anew.
    fn send_again(
        &self,
        descriptor: &Descriptor,
        blob: &Blob,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), ShareError> {
        let what = format!("send {}", blob_name(descriptor));
        let options = &self.options.fetch;
        let mut failures = 0;
        loop {
            let error = match self.upload(&what, descriptor, blob, sent) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            failures += 1;
            let passing = match &error {
                ShareError::Registry(error) => error.passing(),
                _ => None,
            };
            let Some(reason) = passing.filter(|_| failures < options.tries) else {
                return Err(error);
            };
            let pause = options.pause_after(failures, reason);
            self.progress.event(Event::DownloadRetried {
                name: what.clone(),
                url: self.reference.name(),
                reason: reason.to_string(),
                pause,
            });
            thread::sleep(pause);
        }
    }

    fn upload(
        &self,
        what: &str,
        descriptor: &Descriptor,
        blob: &Blob,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), ShareError> {
        let mut url = self.url(&["blobs", "uploads"]);
        // The specification's paths end in `/` here, and some registries insist.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push("");
        }
        let opened = self.exchange(&Question {
            what,
            method: Method::POST,
            url: &url,
            headers: &[(header::CONTENT_LENGTH, "0".to_owned())],
            body: Outgoing::Nothing,
            limit: MAX_ANSWER,
            tries: 1,
        })?;
        if opened.status() != 202 {
            return Err(self.odd(what, &opened));
        }
        let location = opened.location();
        let base = [opened.url().clone()];
        let mut url = redirect::next(&base, &location, self.options.fetch.plain_http)
            .map_err(|error| self.unreachable(what, error.into(), None))?;
        url.query_pairs_mut()
            .append_pair("digest", &format!("sha256:{}", descriptor.digest));
        let sent = self.exchange(&Question {
            what,
            method: Method::PUT,
            url: &url,
            headers: &[(header::CONTENT_TYPE, "application/octet-stream".to_owned())],
            body: Outgoing::Blob(blob, sent.clone()),
            limit: MAX_ANSWER,
            tries: 1,
        })?;
        match sent.status() {
            200 | 201 | 204 => Ok(()),
            _ => Err(self.odd(what, &sent)),
        }
    }
}
