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

/// The most parts of a list that are read.
const PARTS: usize = 16;

/// Returns the tag that lists the referrers of a manifest.
pub(super) fn tag(subject: &Digest) -> String {
    format!("sha256-{subject}")
}

impl Registry<'_> {
    /// Returns the referrers of a manifest, by their digests.
    pub(super) fn list_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ShareError> {
        let mut found = self.listed_referrers(subject)?;
        // Also where the registry has the API: they may be from before that.
        found.extend(self.tagged_referrers(subject)?);
        sort(&mut found);
        Ok(found)
    }

    /// Returns what the API lists; nothing where a registry has none.
    fn listed_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ShareError> {
        let what = "list what is said about the image";
        let mut url = self.url(&["referrers", &format!("sha256:{subject}")]);
        let mut found = Vec::new();
        for part in 0..PARTS {
            let reply = self.exchange(&Question {
                what,
                method: Method::GET,
                url: &url,
                headers: &[(header::ACCEPT, INDEX.to_owned())],
                body: Outgoing::Nothing,
                limit: MAX_MANIFEST,
                tries: self.options.fetch.tries,
            })?;
            match reply.status() {
                200 => {
                    let object = format!("the list of referrers of `sha256:{subject}`");
                    let said = reply.header(header::CONTENT_TYPE.as_str());
                    found.extend(index(&reply.body, said.unwrap_or_default(), &object)?);
                }
                // What registries say to a path that they do not know.
                400 | 404 | 405 | 406 | 501 if part == 0 => break,
                _ => return Err(self.odd(what, &reply)),
            }
            match reply.next_part() {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(found)
    }

    fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ShareError> {
        let tag = tag(subject);
        // What an earlier question gave may be out of date.
        let Some(descriptor) = self.resolve(&tag)? else {
            return Ok(Vec::new());
        };
        // GitLab's registry takes the tag for the digest, and gives the manifest itself.
        if descriptor.digest == *subject {
            return Ok(Vec::new());
        }
        let object = format!("the tag `{tag}` of `{}`", self.name());
        index(
            &self.manifest(&descriptor)?,
            &descriptor.media_type,
            &object,
        )
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

/// Returns the manifests that an index lists. What is none and does not say that it is, the page of a web server say, lists
/// nothing (distribution specification, "Listing Referrers": there are none then).
fn index(bytes: &[u8], media_type: &str, object: &str) -> Result<Vec<Descriptor>, ShareError> {
    match Index::parse(bytes, object) {
        Ok(index) => Ok(index.manifests),
        Err(error) if media_type.starts_with(INDEX) => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

fn sort(descriptors: &mut Vec<Descriptor>) {
    descriptors.sort_by_key(|entry| entry.digest);
    descriptors.dedup_by_key(|entry| entry.digest);
}
