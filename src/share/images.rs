//! Container images of registries, for recipes that name them.

use super::oci::Descriptor;
use super::registry::{Registry, RegistryOptions};
use super::{Origin as _, Reference, ShareError};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::fault::Fault as _;
use crate::progress::Progress;
use crate::source::oci::{self, Found, Remote, RemoteError};
use crate::store::Store;

/// The repositories of all registries.
#[derive(Debug)]
pub struct Repositories {
    /// How they are talked to.
    pub options: RegistryOptions,
}

impl Repositories {
    fn open<'p>(
        &self,
        reference: &str,
        progress: &'p dyn Progress,
    ) -> Result<(Registry<'p>, Reference), RemoteError> {
        let reference: Reference =
            reference
                .parse()
                .map_err(|error: super::ReferenceError| RemoteError {
                    message: error.to_string(),
                    help: Some("write `REGISTRY/REPOSITORY:TAG`".to_owned()),
                    mismatch: false,
                })?;
        // What Docker's own clients take for its registry.
        let host = match reference.registry.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io".to_owned(),
            host => host.to_owned(),
        };
        let at = Reference {
            registry: host,
            ..reference
        };
        let registry = Registry::new(&at, self.options.clone(), progress).map_err(told)?;
        Ok((registry, at))
    }

    fn document(
        &self,
        registry: &Registry<'_>,
        wanted: &str,
        store: &Store,
    ) -> Result<Digest, ShareError> {
        let Some(bytes) = registry.document(wanted)? else {
            return Err(ShareError::Missing {
                object: format!("`{wanted}`"),
                place: format!("`{}`", registry.name()),
            });
        };
        let blob = store.blob_from(&mut bytes.as_slice(), store.root())?;
        Ok(blob.digest)
    }

    fn fill(
        &self,
        registry: &Registry<'_>,
        digest: &Digest,
        arch: Arch,
        store: &Store,
    ) -> Result<(), ShareError> {
        loop {
            let found = oci::find(store, digest, arch);
            // What the documents say is judged by who asked for them.
            let Ok(Found::Missing(missing, descriptor)) = found else {
                return Ok(());
            };
            let Some(wanted) = descriptor else {
                self.document(registry, &format!("sha256:{missing}"), store)?;
                continue;
            };
            let most = self.options.fetch.max_download;
            if wanted.size > most {
                let object = format!("the blob `sha256:{missing}` of `{}`", registry.name());
                let problem = format!(
                    "it declares {} bytes, more than the {most} of `--max-download`",
                    wanted.size
                );
                return Err(ShareError::invalid(object, problem));
            }
            let wanted = Descriptor::new(&wanted.media_type, wanted.digest, wanted.size);
            registry.blob(&wanted, store)?;
        }
    }
}

impl Remote for Repositories {
    fn fetch(
        &self,
        reference: &str,
        digest: &Digest,
        arch: Arch,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(), RemoteError> {
        let (registry, _) = self.open(reference, progress)?;
        self.fill(&registry, digest, arch, store).map_err(told)
    }

    fn resolve(
        &self,
        reference: &str,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<Digest, RemoteError> {
        let (registry, at) = self.open(reference, progress)?;
        let tag = at.tag.as_deref().unwrap_or("latest");
        self.document(&registry, tag, store).map_err(told)
    }
}

fn told(error: ShareError) -> RemoteError {
    let help = match &error {
        ShareError::Registry(error) => error.help(),
        _ => None,
    };
    RemoteError {
        mismatch: matches!(error, ShareError::Mismatch { .. }),
        message: error.to_string(),
        help,
    }
}
