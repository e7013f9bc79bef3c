//! What is said about a manifest: the referrers API where a registry has it, else the tag `sha256-HEX` (distribution
//! specification, "Referrers Tag Schema").

use reqwest::Method;
use reqwest::header;

use super::exchange::{Outgoing, Question};
use super::{Registry, RegistryError};
use crate::digest::Digest;
use crate::share::oci::{Descriptor, INDEX, Index, MAX_MANIFEST};
use crate::share::{Origin as _, ShareError};

/// How often the index of a tag is read again after it was written: another writer may have been there in between, and the
/// protocol has no way to lock.
const ROUNDS: usize = 3;

/// Returns the tag that lists the referrers of a manifest.
pub(super) fn tag(subject: &Digest) -> String {
    format!("sha256-{subject}")
}

impl Registry<'_> {
    /// Returns the referrers of a manifest, by their digests.
    pub(super) fn list_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ShareError> {
        let what = "list what is said about the image";
        let digest = format!("sha256:{subject}");
        let reply = self.exchange(&Question {
            what,
            method: Method::GET,
            url: &self.url(&["referrers", &digest]),
            headers: &[(header::ACCEPT, INDEX.to_owned())],
            body: Outgoing::Nothing,
            limit: MAX_MANIFEST,
            tries: self.options.fetch.tries,
        })?;
        let mut found = match reply.status() {
            200 => {
                let object = format!("the list of referrers of `sha256:{subject}`");
                Index::parse(&reply.body, &object)?.manifests
            }
            404 => Vec::new(),
            _ => return Err(self.odd(what, &reply)),
        };
        // Also where the API says that there are none: they may be from before the registry had it.
        if found.is_empty() {
            found = self.tagged_referrers(subject)?;
        }
        sort(&mut found);
        Ok(found)
    }

    fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ShareError> {
        let tag = tag(subject);
        // What an earlier question gave may be out of date.
        let Some(descriptor) = self.resolve(&tag)? else {
            return Ok(Vec::new());
        };
        let object = format!("the tag `{tag}` of `{}`", self.name());
        Ok(Index::parse(&self.manifest(&descriptor)?, &object)?.manifests)
    }

    /// Sends a manifest with a subject, and sees to it that it is found from there.
    pub(super) fn send_referrer(
        &self,
        subject: &Digest,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), ShareError> {
        let is_it = |entry: &Descriptor| entry.digest == descriptor.digest;
        if self.list_referrers(subject)?.iter().any(is_it) {
            return Ok(());
        }
        let digest = format!("sha256:{}", descriptor.digest);
        if self.send_manifest(descriptor, bytes, &digest)?.indexed {
            return Ok(());
        }
        for round in 0.. {
            let mut listed = self.tagged_referrers(subject)?;
            if listed.iter().any(is_it) {
                break;
            }
            if round == ROUNDS {
                return Err(ShareError::from(RegistryError::Answer {
                    what: format!("list `{digest}` under the tag `{}`", tag(subject)),
                    place: self.name(),
                    problem: "others keep writing that tag: try again".to_owned(),
                    said: None,
                }));
            }
            listed.push(descriptor.clone());
            sort(&mut listed);
            let index = Index {
                artifact_type: None,
                manifests: listed,
                annotations: std::collections::BTreeMap::new(),
            };
            self.send_manifest(&index.descriptor(), &index.bytes(), &tag(subject))?;
        }
        Ok(())
    }
}

fn sort(descriptors: &mut Vec<Descriptor>) {
    descriptors.sort_by_key(|entry| entry.digest);
    descriptors.dedup_by_key(|entry| entry.digest);
}
