//! A shared image, read back: from its manifest to what can be believed of it.
//!
//! Nothing here trusts a text because it came along with another: `image.json`, config, annotations and platform must all say
//! the same, and the recipe inside must give the plan that the image says it realizes.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use serde_json::{Value, json};

use super::artifact::{CONFIG, FORMAT_KEY, PLAN, labels};
use super::included::Layers;
use super::layer::Role;
use super::oci::{DESCRIPTION, Descriptor, IMAGE, Manifest, TITLE};
use super::origin::fetch;
use super::project::{Project, check_names, names};
use super::text::fit;
use super::{Origin, ShareError};
use crate::digest;
use crate::dir;
use crate::pack::read::sole;
use crate::plan::{FORMAT, LocalFile, Plan};
use crate::realize::{Image, KERNEL};
use crate::recipe::Parsed;
use crate::store::{Blob, Store, StoreError};

/// The most bytes of a config, of `image.json`, of a recipe or of a lock.
const MAX_TEXT: u64 = 1 << 20;
/// The most layers that an image can have.
const MAX_LAYERS: usize = 4096;

/// The image of one architecture.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Its manifest.
    pub descriptor: Descriptor,
    /// What `image.json` says, which the rest agrees with.
    pub image: Image,
    /// The layers by their roles.
    layers: BTreeMap<Role, Descriptor>,
    /// What the manifest says that the recipe says about itself.
    description: Option<String>,
    /// The config's text, whose recipe digest is compared once the recipe is there.
    config: Value,
    /// What it is called in errors.
    object: String,
}

impl Shared {
    /// Reads the manifest of an image, its config and `image.json`. `limit` bounds what any layer may claim to have, in bytes.
    ///
    /// # Errors
    /// [`ShareError`] where they do not agree.
    pub fn read(
        origin: &dyn Origin,
        descriptor: &Descriptor,
        store: &Store,
        limit: u64,
    ) -> Result<Shared, ShareError> {
        let object = format!("the manifest `sha256:{}`", descriptor.digest);
        let manifest = Manifest::parse(&origin.manifest(descriptor)?, &object)?;
        if manifest.artifact_type.as_deref() != Some(IMAGE) {
            return Err(ShareError::invalid(object, "it is no image of mkimg"));
        }
        if manifest.config.media_type != CONFIG {
            return Err(ShareError::invalid(object, "its config is none of mkimg's"));
        }
        let layers = layers(&manifest, &object, limit)?;
        let Some(layer) = layers.get(&Role::Image) else {
            return Err(ShareError::invalid(object, "it has no `image.json`"));
        };
        let bytes = text(origin, layer, store, "`image.json`")?;
        let image = Image::parse(&bytes)
            .map_err(|error| ShareError::invalid("`image.json`", error.to_string()))?;
        if image.text().as_bytes() != bytes {
            return Err(ShareError::invalid(
                "`image.json`",
                "it is not as mkimg writes it",
            ));
        }
        // A few bytes can unpack to any number.
        if image.archive_size > limit {
            let problem = format!(
                "its archive declares {} bytes, more than the {limit} of `--max-unpacked`",
                image.archive_size
            );
            return Err(ShareError::invalid("`image.json`", problem));
        }
        let config = text(origin, &manifest.config, store, "the config")?;
        let config = serde_json::from_slice(&config).map_err(|error| {
            ShareError::invalid("the config", format!("it is no JSON: {error}"))
        })?;
        let shared = Shared {
            descriptor: descriptor.clone(),
            image,
            layers,
            description: manifest.annotations.get(DESCRIPTION).cloned(),
            config,
            object,
        };
        shared.check(&manifest)?;
        Ok(shared)
    }

    /// Compares what the manifest, the config and the index say with `image.json`.
    fn check(&self, manifest: &Manifest) -> Result<(), ShareError> {
        let image = &self.image;
        let arch = image.arch.facts().oci;
        let differs = |object: &str, expected: String, found: String| ShareError::Mismatch {
            object: object.to_owned(),
            expected,
            found,
        };
        if let Some(found) = self
            .descriptor
            .architecture
            .as_deref()
            .filter(|found| *found != arch)
        {
            let object = format!("the platform of {}", self.object);
            return Err(differs(&object, arch.to_owned(), fit(found)));
        }
        if image.kernel.name != KERNEL
            || !matches!(
                image.initramfs.name.as_str(),
                "initramfs.cpio" | "initramfs.cpio.gz"
            )
            || image.is_compressed() != image.initramfs.name.ends_with(".gz")
        {
            return Err(ShareError::invalid(
                "`image.json`",
                "its files have other names than mkimg's",
            ));
        }
        for (role, file) in [
            (Role::Kernel, &image.kernel),
            (Role::Initramfs, &image.initramfs),
        ] {
            let Some(layer) = self.layers.get(&role) else {
                return Err(ShareError::invalid(
                    &*self.object,
                    format!("it has no {}", role.word()),
                ));
            };
            if (layer.digest, layer.size) != (file.digest, file.size) {
                return Err(differs(
                    &format!("the layer `{}` of {}", file.name, self.object),
                    format!(
                        "sha256:{} in {} bytes, as `image.json` says",
                        file.digest, file.size
                    ),
                    format!("sha256:{} in {} bytes", layer.digest, layer.size),
                ));
            }
        }
        // Other tools write a layer to disk by its title.
        for (role, layer) in &self.layers {
            if layer.annotations.get(TITLE) != Some(&role.title(image)) {
                let problem = format!("its {} layer has another title", role.word());
                return Err(ShareError::invalid(&*self.object, problem));
            }
        }
        let named = |digest: &digest::Digest| json!(format!("sha256:{digest}"));
        for (key, expected) in [
            ("architecture", json!(arch)),
            ("cmdline", json!(image.cmdline)),
            ("cpus", json!(image.cpus)),
            ("format", json!(FORMAT)),
            ("initramfs", named(&image.initramfs.digest)),
            ("kernel", named(&image.kernel.digest)),
            ("memory", json!(image.memory)),
            ("name", json!(image.name)),
            ("os", json!("linux")),
            ("plan", named(&image.plan)),
            ("sources", named(&image.sources)),
            ("tree", named(&image.tree)),
        ] {
            if self.config[key] != expected {
                let object = format!("`{key}` of the config");
                return Err(differs(
                    &object,
                    format!("{expected}, as `image.json` says"),
                    fit(&self.config[key].to_string()),
                ));
            }
        }
        // What other tools show is to be as true as what is read here.
        for (key, expected) in labels(image) {
            let found = &self.config["config"]["Labels"][key];
            if found != expected.as_str() {
                let object = format!("the label `{key}` of the config");
                return Err(differs(&object, expected, fit(&found.to_string())));
            }
        }
        for (key, expected) in [
            (FORMAT_KEY, FORMAT.to_string()),
            (PLAN, image.plan.to_string()),
            (TITLE, image.name.clone()),
        ] {
            let found = manifest.annotations.get(key);
            if found != Some(&expected) {
                let found = found.map_or("none".to_owned(), |text| fit(text));
                let object = format!("the annotation `{key}` of {}", self.object);
                return Err(differs(&object, expected, found));
            }
        }
        Ok(())
    }

    /// Says whether the sources came along.
    pub fn has_sources(&self) -> bool {
        let mut roles = self.layers.keys();
        roles.any(|role| matches!(role, Role::Source(_)))
    }

    /// Brings kernel and initramfs into the cache and compares them, and the archive inside, with `image.json`.
    ///
    /// # Errors
    /// [`ShareError`] where they are not what they should be.
    pub fn files(&self, origin: &dyn Origin, store: &Store) -> Result<(Blob, Blob), ShareError> {
        let kernel = self.fetch(origin, &Role::Kernel, store)?;
        let initramfs = self.fetch(origin, &Role::Initramfs, store)?;
        self.check_archive(&initramfs)?;
        Ok((kernel, initramfs))
    }

    fn fetch(&self, origin: &dyn Origin, role: &Role, store: &Store) -> Result<Blob, ShareError> {
        let layer = self.layers.get(role).ok_or_else(|| {
            ShareError::invalid(&*self.object, format!("it has no {}", role.word()))
        })?;
        fetch(origin, layer, store)
    }

    /// Unpacks the archive, but no further than it should go, and compares its digest with the tree identity.
    fn check_archive(&self, initramfs: &Blob) -> Result<(), ShareError> {
        let image = &self.image;
        let object = || {
            format!(
                "the archive in `{}` of {}",
                image.initramfs.name, self.object
            )
        };
        let io = |error| StoreError::io("open", &initramfs.path, error);
        let file = dir::open(&initramfs.path).map_err(io)?;
        let file = BufReader::with_capacity(128 * 1024, file);
        let most = image.archive_size.saturating_add(1);
        let found = sole(file, image.is_compressed(), most).map_err(|error| {
            ShareError::invalid(object(), format!("it cannot be unpacked: {error}"))
        })?;
        let (tree, size) = (found.tree, found.size);
        if (tree, size) == (image.tree, image.archive_size) {
            return match found.odd {
                Some(odd) => Err(ShareError::invalid(object(), odd)),
                None => Ok(()),
            };
        }
        let over = if size > image.archive_size {
            "more than "
        } else {
            ""
        };
        Err(ShareError::Mismatch {
            object: object(),
            expected: format!("sha256:{} in {} bytes", image.tree, image.archive_size),
            found: format!(
                "sha256:{tree} in {over}{} bytes",
                size.min(image.archive_size)
            ),
        })
    }

    /// Returns the recipe inside with its lock and files, compared with the image; `None` where there is none.
    ///
    /// # Errors
    /// [`ShareError`] where the recipe gives another plan than the image says.
    pub fn project(
        &self,
        origin: &dyn Origin,
        store: &Store,
    ) -> Result<Option<(Project, Plan)>, ShareError> {
        let Some(layer) = self.layers.get(&Role::Recipe) else {
            return Ok(None);
        };
        let utf8 = |bytes: Vec<u8>, object: &str| {
            String::from_utf8(bytes).map_err(|_| ShareError::invalid(object, "it is not UTF-8"))
        };
        let recipe = utf8(
            text(origin, layer, store, "the recipe inside")?,
            "the recipe inside",
        )?;
        let lock = match self.layers.get(&Role::Lock) {
            Some(layer) => utf8(
                text(origin, layer, store, "the lock inside")?,
                "the lock inside",
            )?,
            None => return Err(ShareError::invalid(&*self.object, "it has no lock")),
        };
        let files = || {
            self.layers.iter().filter_map(|(role, layer)| match role {
                Role::File(path) => Some((path, layer)),
                _ => None,
            })
        };
        check_names(files().map(|(path, _)| path))?;
        let mut project = Project {
            name: self.image.name.clone(),
            description: None,
            recipe,
            digest: digest::Digest::of(b""),
            lock,
            files: BTreeMap::new(),
        };
        let mut included = Layers {
            files: files().collect(),
            origin,
            store,
        };
        let parsed = project.parsed_with(&mut included)?;
        project.description.clone_from(&parsed.recipe.description);
        if project.description != self.description {
            return Err(ShareError::invalid(
                format!("the annotation `{DESCRIPTION}` of {}", self.object),
                "the recipe inside says something else",
            ));
        }
        let named = names(&parsed);
        // Before any is fetched: a manifest can list thousands.
        if let Some((other, _)) = files().find(|(path, _)| !named.contains(*path)) {
            let object = format!("the file `{}`", fit(other));
            return Err(ShareError::invalid(
                object,
                "the recipe inside names no such file",
            ));
        }
        for (path, layer) in files() {
            let blob = fetch(origin, layer, store)?;
            let file = LocalFile {
                path: blob.path,
                digest: blob.digest,
                size: blob.size,
            };
            project.files.insert(path.clone(), file);
        }
        project.check_paths()?;
        let plan = self.plan(&parsed, &project)?;
        if plan.id() != self.image.plan {
            return Err(ShareError::Mismatch {
                object: "the plan of the recipe inside".to_owned(),
                expected: format!("{}, as `image.json` says", self.image.plan),
                found: plan.id().to_string(),
            });
        }
        if !self.image.is_of(&plan) {
            let problem = "it says something else than the plan of the recipe inside";
            return Err(ShareError::invalid("`image.json`", problem));
        }
        Ok(Some((project, plan)))
    }

    /// Returns the plan of the variant that the image is of.
    fn plan(&self, parsed: &Parsed, project: &Project) -> Result<Plan, ShareError> {
        let arch = self.image.arch;
        let locals = project.locals(parsed)?;
        let resolved = |parsed: &Parsed| {
            Plan::lower(parsed.of(arch), arch, &locals).map_err(|problems| {
                let problem = problems.first().map(|problem| problem.message.clone());
                ShareError::invalid("the recipe inside", problem.unwrap_or_default())
            })
        };
        let others = parsed
            .variants
            .iter()
            .filter_map(|name| parsed.select(name).ok());
        let own = |plan: &Plan| plan.id() == self.image.plan;
        let mut others = others.filter_map(|other| resolved(&other).ok().filter(own));
        match others.next() {
            Some(plan) => Ok(plan),
            None => resolved(parsed),
        }
    }

    /// Compares the recipe digest that the config names. It is known only to who can compute it: the lock.
    ///
    /// # Errors
    /// [`ShareError::Mismatch`].
    pub fn check_recipe_digest(&self, recipe: &digest::Digest) -> Result<(), ShareError> {
        let expected = format!("sha256:{recipe}");
        if self.config["recipe"] == expected.as_str() {
            return Ok(());
        }
        Err(ShareError::Mismatch {
            object: "`recipe` of the config".to_owned(),
            expected,
            found: fit(&self.config["recipe"].to_string()),
        })
    }

    /// Brings the sources that came along into the cache, and compares them with the plan.
    ///
    /// # Errors
    /// [`ShareError`] where one is not what the plan says.
    pub fn sources(
        &self,
        origin: &dyn Origin,
        plan: &Plan,
        store: &Store,
    ) -> Result<(), ShareError> {
        for (role, layer) in &self.layers {
            let Role::Source(name) = role else { continue };
            let object = || format!("the source `{}`", fit(name));
            // A part of a container image is known by its own digest, and is asked for by nothing else.
            if let Some((image, digest)) = name.split_once("@sha256:")
                && plan
                    .sources
                    .get(image)
                    .is_some_and(|source| source.is_oci())
                && digest == layer.digest.to_string()
            {
                fetch(origin, layer, store)?;
                continue;
            }
            let Some(source) = plan.sources.get(name) else {
                return Err(ShareError::invalid(
                    object(),
                    "the recipe inside has no such source",
                ));
            };
            if source.digest != layer.digest {
                return Err(ShareError::Mismatch {
                    object: object(),
                    expected: format!("sha256:{}, as the recipe inside says", source.digest),
                    found: format!("sha256:{}", layer.digest),
                });
            }
            fetch(origin, layer, store)?;
        }
        Ok(())
    }
}

/// Returns the layers by their roles.
fn layers(
    manifest: &Manifest,
    object: &str,
    limit: u64,
) -> Result<BTreeMap<Role, Descriptor>, ShareError> {
    if manifest.layers.len() > MAX_LAYERS {
        return Err(ShareError::invalid(object, "it has too many layers"));
    }
    let mut layers = BTreeMap::new();
    for layer in &manifest.layers {
        if layer.size > limit {
            let problem = format!(
                "its layer `sha256:{}` declares {} bytes, more than the {limit} of `--max-unpacked`",
                layer.digest, layer.size
            );
            return Err(ShareError::invalid(object, problem));
        }
        let Some(role) = Role::of(layer, object)? else {
            continue;
        };
        let word = role.word();
        if layers.insert(role, layer.clone()).is_some() {
            return Err(ShareError::invalid(
                object,
                format!("it has a {word} twice"),
            ));
        }
    }
    Ok(layers)
}

/// Returns the bytes of a small layer.
fn text(
    origin: &dyn Origin,
    layer: &Descriptor,
    store: &Store,
    object: &str,
) -> Result<Vec<u8>, ShareError> {
    if layer.size > MAX_TEXT {
        let problem = format!(
            "it declares {} bytes, at most {MAX_TEXT} are read",
            layer.size
        );
        return Err(ShareError::invalid(object, problem));
    }
    let blob = fetch(origin, layer, store)?;
    let mut bytes = Vec::new();
    blob.open()?
        .read_to_end(&mut bytes)
        .map_err(|error| StoreError::io("read", &blob.path, error))?;
    Ok(bytes)
}
