//! Where the bytes of a source are: a word that the recipe, the plan and whoever fetches share.

/// Where the bytes of a location are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `url`: an http or https address.
    Url(String),
    /// `debian`: a path below a Debian archive root.
    Debian {
        /// The path, `pool/..`: relative and normal.
        path: String,
        /// The snapshot archive's time stamp, such as `20260711T101637Z`.
        snapshot: Option<String>,
        /// The archive's name there: `debian`, `debian-security`, ...
        archive: String,
    },
    /// `local`: a file of this machine, absolute or relative to the recipe.
    Local(String),
    /// `oci`: a container image in a registry.
    Oci(String),
    /// `oci local=`: a container image on this machine, a layout or a tar.
    OciLocal(String),
}

impl Place {
    /// Says whether it is a container image.
    pub fn is_oci(&self) -> bool {
        matches!(self, Place::Oci(_) | Place::OciLocal(_))
    }
}
