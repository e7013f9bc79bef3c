//! What somebody who may push can put into a registry, by hand, with digests that all agree.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use mkimg::digest::Digest;
use mkimg::lock::{Key, Lock, Locked};
use mkimg::progress::Silent;
use mkimg::realize::Realized;
use mkimg::share::oci::Descriptor;
use mkimg::share::registry::{Registry, RegistryOptions};
use mkimg::share::sign::{Claim, SshSig, Statement, attach_statement, private_key};
use mkimg::share::{
    Artifact, Examined, Found, Reference, Selection, Shareable, copy, examine, find,
};
use mkimg::store::Store;

use crate::bed::Bed;

/// The repository, and a cache of its own.
pub struct Forger<'b> {
    bed: &'b Bed,
    pub registry: Registry<'static>,
    pub store: Store,
    _dir: tempfile::TempDir,
}

impl<'b> Forger<'b> {
    pub fn new(bed: &'b Bed) -> Forger<'b> {
        let dir = tempfile::tempdir().unwrap();
        let reference: Reference = bed.at("1").parse().unwrap();
        let options = RegistryOptions::default();
        Forger {
            bed,
            registry: Registry::new(&reference, options, &Silent).unwrap(),
            store: Store::open(&dir.path().join("cache")).unwrap(),
            _dir: dir,
        }
    }

    pub fn examine(&self, tag: &str) -> (Found, Examined) {
        let found = find(&self.registry, tag).unwrap();
        let selection = Selection {
            arch: None,
            sources: true,
            limit: 1 << 30,
        };
        let examined = examine(&self.registry, &found, &selection, &self.store).unwrap();
        (found, examined)
    }

    /// The statement about the x86_64 image of a tag, and its manifest.
    pub fn statement(&self, tag: &str, claim: Claim) -> (Statement, Descriptor) {
        let (_, examined) = self.examine(tag);
        let part = examined.parts.into_iter();
        let part = part.last().unwrap().shared;
        assert_eq!(part.image.arch.name(), "x86_64");
        (
            Statement::new(claim, &part.image, &part.descriptor.digest),
            part.descriptor,
        )
    }

    pub fn signature(&self, key: &str, message: &[u8]) -> String {
        let text = fs::read_to_string(self.bed.key(key)).unwrap();
        SshSig::sign(&private_key(&text).unwrap().unwrap(), message).armoured()
    }

    pub fn attach(&self, to: &Descriptor, claim: Claim, said: &Statement, signature: &str) {
        attach_statement(&self.registry, to, claim, said, signature, &self.store).unwrap();
    }

    /// Pushes the x86_64 image of a tag with another byte in its archive, as another tag; everything that names it says so.
    pub fn repack(&self, tag: &str, to: &str) {
        let (_, examined) = self.examine(tag);
        let part = examined.parts.last().unwrap();
        let mut archive = Vec::new();
        let packed = fs::File::open(&part.initramfs.path).unwrap();
        GzDecoder::new(packed).read_to_end(&mut archive).unwrap();
        let at = archive
            .windows(9)
            .position(|part| part == b"#!/bin/sh")
            .unwrap();
        archive[at + 8] = b'H';
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&archive).unwrap();
        let packed = encoder.finish().unwrap();
        let mut image = part.shared.image.clone();
        image.tree = Digest::of(&archive);
        image.initramfs.digest = Digest::of(&packed);
        image.initramfs.size = packed.len() as u64;
        let path = self.store.root().join("forged");
        fs::create_dir(&path).unwrap();
        fs::copy(&part.kernel.path, path.join(&image.kernel.name)).unwrap();
        fs::write(path.join(&image.initramfs.name), packed).unwrap();
        let mut project = examined.project.clone();
        let mut lock = Lock::parse("two.lock", project.lock.as_bytes()).unwrap();
        lock.images = BTreeMap::from([(
            Key {
                variant: None,
                arch: image.arch,
            },
            Locked::of(&image),
        )]);
        project.lock = lock.to_string();
        let blob = |digest: &Digest| self.store.blob(digest).unwrap();
        let sources = part.plan.sources.iter();
        let sources = sources.map(|(name, source)| (name.clone(), blob(&source.digest)));
        let shareable = Shareable {
            sources: BTreeMap::from([(image.arch, sources.collect())]),
            images: &[Realized {
                path,
                image,
                up_to_date: false,
                warnings: Vec::new(),
            }],
            project: &project,
        };
        let artifact = Artifact::new(&shareable, &self.store).unwrap();
        let (from, index) = (&artifact.layout, &artifact.index);
        copy(from, &self.registry, &self.store, index, to).unwrap();
    }
}
