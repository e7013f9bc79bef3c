//! Whether a shared image is what it says, who vouches for it, and whether its recipe gives it again.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::open::Session;
use super::place::Place;
use super::places::base;
use super::registry::Connection;
use super::signing::{Key, trusted};
use crate::arch::Arch;
use crate::diff::{Side, compare};
use crate::digest::Digest;
use crate::fault::Outcome;
use crate::realize::Image;
use crate::share::oci::Manifest;
use crate::share::sign::{AllowedSigners, Claim, Vouched, vouched};
use crate::share::{Examined, Part, Rebuilt, ShareError, examine, rebuild};
use crate::store::Store;

/// What is wanted of a shared image.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Only this architecture.
    pub arch: Option<Arch>,
    /// Want the signature of a key in this file.
    pub trust: Option<PathBuf>,
    /// Want so many different trusted keys to have said that they rebuilt the image and got the same.
    pub need: Option<u32>,
    /// Make the image again and compare.
    pub rebuild: bool,
    /// Name every entry that differs.
    pub verbose: bool,
    /// How to reach the registry.
    pub connection: Connection,
}

/// What was found out about a shared image, as far as it goes.
pub struct Verified {
    /// What was looked at, by its digest once that is known.
    pub image: String,
    /// Its digest.
    pub digest: Option<String>,
    /// Was anybody trusted to sign it?
    pub signatures_judged: bool,
    /// What was found out.
    pub judgements: Vec<Judgement>,
    /// Why it is not what was wanted, where it is not.
    pub error: Option<Error>,
}

/// Images that were made again and came out the same, and where that was attested.
pub struct Attested {
    /// What was looked at, by its digest.
    pub place: String,
    /// The images.
    pub images: Vec<Image>,
}

/// What was found out about one image in one respect.
pub struct Judgement {
    /// The architecture, `all` or `others`.
    pub arch: String,
    /// In what respect: `bytes`, `signature`, `reproduced` or `rebuild`.
    pub check: &'static str,
    /// Why it does not hold, where it does not.
    pub failed: Option<Outcome>,
    /// What was found out, for people.
    pub text: String,
    /// Whether it was asked for: what was not says so to people, and is no check to a script.
    pub asked: bool,
    /// What differs, where the image came out otherwise.
    pub explanation: Vec<String>,
    /// Who said so, and what does not count.
    pub vouched: Option<Vouched>,
}

impl Judgement {
    fn new(
        arch: impl ToString,
        check: &'static str,
        failed: Option<Outcome>,
        text: String,
    ) -> Judgement {
        Judgement {
            arch: arch.to_string(),
            check,
            failed,
            text,
            asked: true,
            explanation: Vec::new(),
            vouched: None,
        }
    }

    /// Says that nobody was asked whom to trust: every byte may be what it says, and anybody's.
    fn not_judged(arch: Arch) -> Judgement {
        let text = "not judged: without `--trust FILE` it may be anybody's".to_owned();
        Judgement {
            asked: false,
            ..Judgement::new(arch, "signature", None, text)
        }
    }

    /// Says that the index lists images for architectures that a later mkimg may know. Who wants signatures has none of these.
    fn not_looked_at(count: usize, trusting: bool) -> Judgement {
        let text = format!(
            "{count} for an architecture that this mkimg does not know: not looked at (`--arch` names one)"
        );
        let failed = trusting.then_some(Outcome::Mismatch);
        Judgement {
            asked: trusting,
            ..Judgement::new("others", "bytes", failed, text)
        }
    }
}

impl Session<'_> {
    /// Looks at a shared image: a bundle, or a reference to a registry.
    ///
    /// # Errors
    /// [`Error`] where it cannot be looked at; what does not hold is in [`Verified::error`].
    pub fn verify(&self, what: &str, options: &VerifyOptions) -> Result<Verified, Error> {
        let trust = options.trust.as_deref().map(trusted).transpose()?;
        let mut verified = Verified {
            image: what.to_owned(),
            digest: None,
            signatures_judged: trust.is_some(),
            judgements: Vec::new(),
            error: None,
        };
        verified.error = match look(self, options, trust.as_ref(), &mut verified) {
            Ok(()) => verdict(&verified.image, &verified.judgements),
            Err(error) if error.outcome() == Outcome::Mismatch => {
                let text = error.first_line();
                let bytes = Judgement::new("all", "bytes", Some(Outcome::Mismatch), text);
                verified.judgements.push(bytes);
                Some(error)
            }
            // What could not be looked at has no answer.
            Err(error) => return Err(error),
        };
        Ok(verified)
    }

    /// Makes a shared image again and, where it is the same, says so beside it, signed with the key in a file.
    ///
    /// # Errors
    /// [`Error`]; where it came out otherwise, what was found out is in [`Verified::error`].
    pub fn attest(
        &self,
        what: &str,
        key: &Path,
        options: &VerifyOptions,
    ) -> Result<Result<Attested, Verified>, Error> {
        let key = Key::open(key)?;
        let place = Place::open(self, what, &options.connection)?;
        let found = place.found()?;
        let exact = place.exact(&found);
        let store = self.store(base())?;
        let selection = self.selection(options.arch);
        let examined = examine(place.origin(), &found, &selection, &store);
        self.report.clear();
        let examined = examined?;
        let mut judgements = Vec::new();
        for part in &examined.parts {
            let rebuilt = again(self, &place, part, &examined, &store)?;
            judgements.push(compared(part, &rebuilt, options.verbose)?);
        }
        if let Some(error) = verdict(&exact, &judgements) {
            return Ok(Err(Verified {
                image: exact,
                digest: Some(format!("sha256:{}", found.root.digest)),
                signatures_judged: false,
                judgements,
                error: Some(error),
            }));
        }
        place.attach(&key, Claim::Reproduction, &found, &examined, &store)?;
        let images = examined.parts.into_iter().map(|part| part.shared.image);
        Ok(Ok(Attested {
            place: exact,
            images: images.collect(),
        }))
    }

    /// Signs a shared image where it is, with the key in a file; returns what was signed, and each manifest's digest.
    ///
    /// # Errors
    /// [`Error`] where the image is not what it says it is, or where the signature cannot be put there.
    pub fn sign(
        &self,
        what: &str,
        key: &Path,
        connection: &Connection,
    ) -> Result<(String, Vec<(Image, Digest)>), Error> {
        let key = Key::open(key)?;
        let place = Place::open(self, what, connection)?;
        let found = place.found()?;
        let store = self.store(base())?;
        // Nobody signs what is not what it says it is.
        let examined = examine(place.origin(), &found, &self.selection(None), &store);
        self.report.clear();
        let examined = examined?;
        place.attach(&key, Claim::Signature, &found, &examined, &store)?;
        let signed = examined.parts.into_iter();
        let signed = signed.map(|part| (part.shared.image, part.shared.descriptor.digest));
        Ok((place.exact(&found), signed.collect()))
    }
}

/// Looks at an image; an error is one of the place or of the bytes.
fn look(
    session: &Session<'_>,
    options: &VerifyOptions,
    trust: Option<&AllowedSigners>,
    answer: &mut Verified,
) -> Result<(), Error> {
    let place = Place::open(session, &answer.image, &options.connection)?;
    let found = place.found()?;
    answer.image = place.exact(&found);
    answer.digest = Some(format!("sha256:{}", found.root.digest));
    let store = session.store(base())?;
    let selection = session.selection(options.arch);
    let examined = examine(place.origin(), &found, &selection, &store);
    session.report.clear();
    answer.judgements = check(session, options, &place, &examined?, trust, &store)?;
    if options.arch.is_none() && found.others > 0 {
        let others = Judgement::not_looked_at(found.others, trust.is_some());
        answer.judgements.push(others);
    }
    session.report.clear();
    Ok(())
}

/// Looks at all that was asked for, also where something before it does not hold.
fn check(
    session: &Session<'_>,
    options: &VerifyOptions,
    place: &Place<'_>,
    examined: &Examined,
    trust: Option<&AllowedSigners>,
    store: &Store,
) -> Result<Vec<Judgement>, Error> {
    let mut rows = Vec::new();
    for part in &examined.parts {
        let image = &part.shared.image;
        let arch = image.arch;
        every_blob(place, part, store)?;
        rows.push(Judgement::new(
            arch,
            "bytes",
            None,
            format!("`{}`, every byte is what its digest says", image.name),
        ));
        rows.push(match trust {
            Some(trust) => signatures(session, place, part, trust, store, Claim::Signature, 1)?,
            None => Judgement::not_judged(arch),
        });
        if let (Some(trust), Some(need)) = (trust, options.need) {
            let row = signatures(
                session,
                place,
                part,
                trust,
                store,
                Claim::Reproduction,
                need,
            )?;
            rows.push(row);
        }
        if options.rebuild {
            let rebuilt = again(session, place, part, examined, store)?;
            rows.push(compared(part, &rebuilt, options.verbose)?);
        }
    }
    Ok(rows)
}

/// Brings also those layers that this mkimg does not know, which only their digests can be held to.
fn every_blob(place: &Place<'_>, part: &Part, store: &Store) -> Result<(), Error> {
    let descriptor = &part.shared.descriptor;
    let object = format!("the manifest `sha256:{}`", descriptor.digest);
    let manifest = Manifest::parse(&place.origin().manifest(descriptor)?, &object)?;
    for layer in &manifest.layers {
        place.origin().blob(layer, store)?;
    }
    Ok(())
}

fn signatures(
    session: &Session<'_>,
    place: &Place<'_>,
    part: &Part,
    trust: &AllowedSigners,
    store: &Store,
    claim: Claim,
    need: u32,
) -> Result<Judgement, Error> {
    let shared = &part.shared;
    let vouched = vouched(
        place.origin(),
        &shared.descriptor,
        &shared.image,
        claim,
        trust,
        session.now(),
        store,
    )?;
    let (check, done, nobody) = match claim {
        Claim::Signature => ("signature", "signed by", "signed by no trusted key"),
        Claim::Reproduction => (
            "reproduced",
            "reproduced by",
            "reproduced by no trusted key",
        ),
    };
    let count = vouched.by.len();
    let who = names(&vouched);
    let (failed, text) = match count >= need as usize {
        true => (None, format!("{done} {who}")),
        false => {
            let object = format!(
                "the manifest `sha256:{}` of `{}`",
                shared.descriptor.digest, shared.image.name
            );
            let ignored = match (vouched.ignored.is_empty(), claim) {
                (false, _) => vouched.why_not(),
                (true, Claim::Signature) => "nobody has signed it".to_owned(),
                (true, Claim::Reproduction) if count == 0 => {
                    "nobody has said that they rebuilt it".to_owned()
                }
                (true, Claim::Reproduction) => "nobody else has".to_owned(),
            };
            let text = match count {
                0 => format!("{object} is {nobody}: {ignored}"),
                _ => format!(
                    "{object} is {done} {count} trusted key of {need} that were asked for ({who}): {ignored}"
                ),
            };
            (Some(Outcome::Mismatch), text)
        }
    };
    let mut row = Judgement::new(shared.image.arch, check, failed, text);
    row.vouched = Some(vouched);
    Ok(row)
}

/// Returns whose keys they are, each with its fingerprint.
fn names(vouched: &Vouched) -> String {
    let each = vouched.by.iter();
    let each: Vec<String> = each
        .map(|by| format!("{} ({})", by.principals, by.key.fingerprint()))
        .collect();
    each.join(", ")
}

/// Makes an image again.
fn again(
    session: &Session<'_>,
    place: &Place<'_>,
    part: &Part,
    examined: &Examined,
    store: &Store,
) -> Result<Rebuilt, Error> {
    let fetch = session.fetch_options()?;
    let workshop = session.workshop(store, &fetch);
    let rebuilt = rebuild(place.origin(), part, &examined.project, &workshop);
    session.report.clear();
    rebuilt.map_err(|error| match error {
        ShareError::Realize(error) => match examined.project.parsed() {
            Ok(parsed) => Error::realize(error, &parsed),
            Err(other) => other.into(),
        },
        error => error.into(),
    })
}

fn compared(part: &Part, rebuilt: &Rebuilt, verbose: bool) -> Result<Judgement, Error> {
    let image = &part.shared.image;
    if rebuilt.is_same(part) {
        let text = "made again from the recipe inside and its sources: the same bytes".to_owned();
        return Ok(Judgement::new(image.arch, "rebuild", None, text));
    }
    let a = Side::open(&rebuilt.shared)?.named("the shared image");
    let b = Side::open(&rebuilt.made.path)?.named("the image made again");
    let difference = compare(&a, &b)?;
    let text = format!(
        "the initramfs `sha256:{}` of `{}`: its recipe and sources give another image",
        image.initramfs.digest, image.name
    );
    let mut row = Judgement::new(image.arch, "rebuild", Some(Outcome::Different), text);
    row.explanation = difference.lines(verbose);
    Ok(row)
}

/// Returns the failure that the answer is, if it is one: what does not match counts more than what differs.
fn verdict(exact: &str, rows: &[Judgement]) -> Option<Error> {
    let failed = |code: Outcome| rows.iter().find(|row| row.failed == Some(code));
    let worst = failed(Outcome::Mismatch).or_else(|| failed(Outcome::Different))?;
    let code = worst.failed?;
    let help = match (code, worst.check) {
        (Outcome::Different, _) => {
            "do not use it: somebody changed it by hand, or it was made by another mkimg; above is what differs"
        }
        (_, "reproduced") => {
            "rebuild it yourself with `--rebuild`, or let others say what they got with `mkimg attest`"
        }
        _ => {
            "do not use it, unless you know who made it: then add the key to the file of `--trust`"
        }
    };
    let message = format!("{exact}: {}: {}", worst.arch, worst.text);
    Some(Error::new(code, message, Some(help.to_owned())))
}
