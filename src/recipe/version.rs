//! A recipe in its versions: for each variant, and where `when` tells architectures apart for each of those.

use std::collections::BTreeMap;

use super::choose::ArchError;
use super::compose::{Item, Items, items};
use super::decode::{Decoded, architectures, recipe};
use super::diagnostic::Diagnostic;
use super::include::Documents;
use super::model::{Recipe, Source};
use super::param::{self, Values};
use super::report::Report;
use super::source_map::SourceMap;
use super::word::{list, suggest};
use super::{Invalid, Mode};
use crate::arch::Arch;
use crate::text::shown;

/// How a recipe is to be read.
#[derive(Debug, Clone)]
pub struct Options {
    /// How strict the parser is.
    pub mode: Mode,
    /// Values of parameters, by their names.
    pub values: BTreeMap<String, String>,
    /// The variant; `None` is the first one.
    pub variant: Option<String>,
}

impl From<Mode> for Options {
    fn from(mode: Mode) -> Options {
        Options {
            mode,
            values: BTreeMap::new(),
            variant: None,
        }
    }
}

/// A recipe that can be used.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What it says, of the variant that was chosen. Where `when` tells architectures apart, this is one of them: see
    /// [`Parsed::of`].
    pub recipe: Recipe,
    /// The texts of its files, into which all spans point: each without a byte order mark.
    pub source: SourceMap,
    /// What its author should perhaps know, in the order of the text.
    pub warnings: Vec<Diagnostic>,
    /// The names of the variants, in their order; empty where there are none.
    pub variants: Vec<String>,
    /// The variant that was chosen; `None` where there are none.
    pub variant: Option<String>,
    /// The values of parameters that were given to it.
    pub values: BTreeMap<String, String>,
    versions: Vec<Version>,
}

#[derive(Debug, Clone)]
struct Version {
    variant: Option<String>,
    /// `None` is all of them.
    arch: Option<Arch>,
    recipe: Recipe,
}

impl Parsed {
    /// Returns what the chosen variant says for an architecture.
    pub fn of(&self, arch: Arch) -> &Recipe {
        self.get(arch).unwrap_or(&self.recipe)
    }

    fn get(&self, arch: Arch) -> Option<&Recipe> {
        let mut own = self.own();
        let found = own.find(|version| version.arch.is_none_or(|own| own == arch))?;
        Some(&found.recipe)
    }

    fn own(&self) -> impl Iterator<Item = &Version> {
        let own = |version: &&Version| version.variant == self.variant;
        self.versions.iter().filter(own)
    }

    /// Returns the recipe with another variant chosen.
    ///
    /// # Errors
    /// [`Invalid::Unreadable`] where it has no such variant.
    pub fn select(&self, variant: &str) -> Result<Parsed, Invalid> {
        let variant = chosen(&self.variants, Some(variant))?;
        let mut other = Parsed {
            variant,
            ..self.clone()
        };
        let first = other.own().next().map(|first| first.recipe.clone());
        other.recipe = first.unwrap_or(other.recipe);
        Ok(other)
    }

    /// Returns what every variant says for every architecture.
    pub fn recipes(&self) -> impl Iterator<Item = &Recipe> {
        self.versions.iter().map(|version| &version.recipe)
    }

    /// Says whether there is more than one version of it: variants, or what `when` tells apart.
    pub fn has_versions(&self) -> bool {
        self.versions.len() > 1
    }

    /// Returns the sources of all variants and architectures, each node once.
    pub fn sources(&self) -> Vec<&Source> {
        let mut found: Vec<&Source> = Vec::new();
        for source in self.recipes().flat_map(|recipe| &recipe.sources) {
            if !found.iter().any(|other| other.span == source.span) {
                found.push(source);
            }
        }
        found
    }

    /// Returns the architectures that the chosen variant can be realized for, in the order of their names.
    pub fn archs(&self) -> Vec<Arch> {
        let has = |arch: &Arch| {
            let recipe = self.get(*arch);
            recipe.is_some_and(|recipe| recipe.archs().contains(arch))
        };
        Arch::ALL.into_iter().filter(has).collect()
    }

    /// Returns the architectures to realize where all are wanted: see [`Recipe::archs_for`].
    pub fn archs_for(&self, host: Option<Arch>) -> Vec<Arch> {
        let recipe = host.and_then(|host| self.get(host)).unwrap_or(&self.recipe);
        match self.own().any(|version| version.arch.is_some()) && recipe.names_archs() {
            true => self.archs(),
            false => recipe.archs_for(host),
        }
    }

    /// Returns the architecture to realize: see [`Recipe::choose_arch`].
    ///
    /// # Errors
    /// [`ArchError`].
    pub fn choose_arch(&self, asked: Option<Arch>, host: Option<Arch>) -> Result<Arch, ArchError> {
        if self.own().all(|version| version.arch.is_none()) {
            return self.recipe.choose_arch(asked, host);
        }
        let archs = self.archs();
        let known: Vec<String> = archs.iter().map(|arch| format!("`{arch}`")).collect();
        let known = known.join(" and ");
        match (asked, archs.as_slice()) {
            (Some(asked), archs) if archs.contains(&asked) => Ok(asked),
            (Some(asked), _) => match self.get(asked) {
                Some(recipe) => recipe.choose_arch(Some(asked), host),
                None => Err(ArchError::Absent { asked, known }),
            },
            (None, [only]) => Ok(*only),
            (None, archs) => match host.filter(|host| archs.contains(host)) {
                Some(host) => Ok(host),
                None => Err(ArchError::Ambiguous { known }),
            },
        }
    }
}

impl Documents {
    /// Says whether the recipe has parameters.
    pub fn has_params(&self) -> bool {
        let mut nodes = self.nodes().into_iter();
        nodes.any(|(_, node)| node.name().value() == param::PARAM.name)
    }

    /// Returns the texts of the files.
    pub fn source(&self) -> &SourceMap {
        &self.map
    }

    /// Returns the recipe that the nodes are.
    ///
    /// # Errors
    /// [`Invalid`], with every mistake of meaning, of all variants.
    pub fn recipe(&self, options: &Options) -> Result<Parsed, Invalid> {
        let none = Values::new();
        let reports = Report::each(&self.map, options.mode, &none);
        let Items { all, variants } = items(self, &reports);
        let variants: Vec<String> = variants.into_iter().map(|name| name.value).collect();
        let variant = chosen(&variants, options.variant.as_deref())?;
        let mut found = Vec::new();
        if let Some(report) = reports.first() {
            found.extend(report.take_found());
        }
        if self.nodes().is_empty()
            && let Some(report) = reports.first()
        {
            let help = "`mkimg new NAME` writes a recipe to start from";
            report.error(
                "the recipe is empty",
                &report.place(0..0),
                "no node is here",
                help,
            );
            return Err(Invalid::wrong(self.map.clone(), report.take_found()));
        }
        if found.is_empty() {
            let items: Vec<&Item<'_>> = all.iter().collect();
            param::check_given(&items, &reports, &options.values)?;
        }
        let named = named_archs(&all);
        let mut reader = Reader {
            map: &self.map,
            all: &all,
            options,
            named: &named,
            found,
            warnings: Vec::new(),
            versions: Vec::new(),
        };
        match variants.is_empty() {
            true => reader.variant(None),
            false => variants.iter().for_each(|name| reader.variant(Some(name))),
        }
        reader.parsed(variants, variant)
    }
}

struct Reader<'r, 'd> {
    map: &'r SourceMap,
    all: &'r [Item<'d>],
    options: &'r Options,
    /// The architectures that `when` names; empty where all are the same.
    named: &'r [Arch],
    found: Vec<Diagnostic>,
    /// Those of each version.
    warnings: Vec<Vec<Diagnostic>>,
    versions: Vec<Version>,
}

impl Reader<'_, '_> {
    /// Reads a variant, for each architecture where they are told apart.
    fn variant(&mut self, variant: Option<&String>) {
        if self.named.is_empty() {
            return self.version(variant, None);
        }
        let before = self.versions.len();
        for arch in Arch::ALL {
            self.version(variant, Some(arch));
        }
        let mut own = self.versions.iter().skip(before);
        let served = own.any(|version| {
            version
                .arch
                .is_some_and(|arch| version.recipe.archs().contains(&arch))
        });
        if !served && let Some(version) = self.versions.get(before) {
            self.unserved(&version.recipe.clone());
        }
    }

    fn version(&mut self, variant: Option<&String>, arch: Option<Arch>) {
        let counts = |item: &&Item<'_>| item.counts(arch, variant.map(String::as_str));
        let items: Vec<&Item<'_>> = self.all.iter().filter(counts).collect();
        let none = Values::new();
        let plain = Report::each(self.map, self.options.mode, &none);
        let values = param::values(&items, self.map, &plain, &self.options.values);
        let reports = Report::each(self.map, self.options.mode, &values);
        let Decoded {
            recipe,
            mut errors,
            warnings,
        } = recipe(&items, self.map, &reports, &which(variant, arch));
        if let Some(report) = plain.first() {
            errors.extend(report.take_found());
        }
        // Nothing says that the recipe is for this one.
        let is_other = arch.is_some_and(|arch| !self.named.contains(&arch));
        if is_other && !errors.is_empty() {
            return;
        }
        self.found.extend(errors);
        let Some(recipe) = recipe else { return };
        if arch.is_none() && recipe.archs().is_empty() {
            self.unserved(&recipe);
        }
        self.warnings.push(warnings);
        self.versions.push(Version {
            variant: variant.cloned(),
            arch,
            recipe,
        });
    }

    /// Reports sources that have no architecture in common.
    fn unserved(&mut self, recipe: &Recipe) {
        let none = Values::new();
        if let Some(report) = Report::each(self.map, self.options.mode, &none).first() {
            architectures(recipe, report);
            self.found.extend(report.take_found());
        }
    }

    fn parsed(self, variants: Vec<String>, variant: Option<String>) -> Result<Parsed, Invalid> {
        let source = self.map.clone();
        let mut own = self.versions.iter();
        let first = own.find(|version| version.variant == variant);
        let Some(recipe) = first.map(|version| version.recipe.clone()) else {
            return Err(Invalid::wrong(source, self.found));
        };
        if !self.found.is_empty() {
            return Err(Invalid::wrong(source, self.found));
        }
        // What holds for one version alone is meant.
        let mut warnings = self.warnings.into_iter();
        let first = warnings.next().unwrap_or_default();
        let others: Vec<Vec<Diagnostic>> = warnings.collect();
        let everywhere = |one: &Diagnostic| others.iter().all(|other| other.contains(one));
        Ok(Parsed {
            recipe,
            source,
            warnings: first.into_iter().filter(everywhere).collect(),
            variants,
            variant,
            values: self.options.values.clone(),
            versions: self.versions,
        })
    }
}

/// Says of a version that something is missing.
fn which(variant: Option<&String>, arch: Option<Arch>) -> String {
    match (variant, arch) {
        (None, None) => "ends without one".to_owned(),
        (Some(variant), None) => format!("the variant `{variant}` has none"),
        (None, Some(arch)) => format!("there is none for {arch}"),
        (Some(variant), Some(arch)) => format!("the variant `{variant}` has none for {arch}"),
    }
}

/// Returns the architectures that `when` names.
fn named_archs(items: &[Item<'_>]) -> Vec<Arch> {
    let mut named: Vec<Arch> = items.iter().filter_map(|item| item.arch).collect();
    named.sort_unstable();
    named.dedup();
    named
}

/// Returns the variant that was asked for, or the first one.
fn chosen(variants: &[String], asked: Option<&str>) -> Result<Option<String>, Invalid> {
    let Some(asked) = asked else {
        return Ok(variants.first().cloned());
    };
    if variants.iter().any(|name| name == asked) {
        return Ok(Some(asked.to_owned()));
    }
    let known: Vec<&str> = variants.iter().map(String::as_str).collect();
    let rest = match known.is_empty() {
        true => "it has none: leave `--variant` out".to_owned(),
        false => format!("its variants are {}", list(&known)),
    };
    Err(Invalid::Unreadable {
        message: format!("the recipe has no variant `{}`", shown(asked)),
        help: suggest(asked, &known, &rest),
    })
}
