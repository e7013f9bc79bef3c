//! One difference: where, which field, old and new.

/// What an image is made in: from what was meant to the bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The pinned inputs.
    Sources,
    /// Everything that decides the bytes.
    Plan,
    /// The kernel.
    Kernel,
    /// What the guest sees: paths, modes, owners, times, contents.
    Tree,
    /// What only a reader of the archive sees: inode numbers, links, order, padding.
    Form,
    /// The compressed bytes around the archive.
    Compression,
}

impl Layer {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Sources => "sources",
            Layer::Plan => "plan",
            Layer::Kernel => "kernel",
            Layer::Tree => "tree",
            Layer::Form => "archive form",
            Layer::Compression => "compression",
        }
    }
}

macro_rules! fields {
    ($($name:ident, $doc:literal, $word:literal;)*) => {
        /// What differs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Field { $(#[doc = $doc] $name,)* }

        impl Field {
            /// Returns its name.
            pub fn name(self) -> &'static str {
                match self { $(Field::$name => $word,)* }
            }
        }
    };
}

fields! {
    Added, "In b alone.", "added";
    Removed, "In a alone.", "removed";
    Kind, "File, directory, symlink, device.", "kind";
    Content, "The bytes of a file.", "content";
    Target, "Where a symlink points.", "target";
    Device, "The device that a node stands for.", "device";
    Mode, "Permission bits.", "mode";
    Owner, "User and group id.", "owner";
    Mtime, "Modification time.", "mtime";
    Source, "The sha256 of an input.", "source";
    Setting, "A line of the plan.", "setting";
    Archives, "How many archives follow each other.", "archives";
    Segment, "In which of the archives an entry is.", "archive";
    Replaced, "Entries that a later one takes the place of.", "replaced entry";
    Order, "In which order the entries come.", "order";
    Name, "What stands before the path.", "name begins with";
    Inode, "Inode number.", "inode";
    Host, "The device that held the file.", "host device";
    Nlink, "Number of links.", "nlink";
    Links, "How many names of the archive are one file.", "hard link";
    LinkData, "With which of a file's names its data is.", "data at the hard link";
    TargetSize, "The size of a symlink, with the NUL that it may end with.", "symlink size";
    Check, "The check field.", "check";
    Sums, "Whether the headers are those of an archive with sums.", "archive with sums";
    Nuls, "NULs behind the name, beside its own.", "NULs behind the name";
    Digits, "The letters of hexadecimal numbers.", "hexadecimal digits";
    Trailer, "The entry that ends an archive.", "trailer";
    Padding, "Zeros behind the archive.", "padding";
    Format, "The compression's format.", "format";
    Compressor, "What an image says it was compressed with.", "compressor";
    Time, "The time stamp of a gzip header.", "gzip header: time stamp";
    FileName, "The file name of a gzip header.", "gzip header: file name";
    Comment, "The comment or extra field of a gzip header.", "gzip header: comment or extra field";
    System, "The operating system of a gzip header.", "gzip header: OS byte";
    Effort, "The XFL byte of a gzip header.", "gzip header: XFL byte";
    Stream, "The compressed bytes.", "stream";
}

/// What more there is to say of a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// The first byte that differs.
    pub offset: Option<u64>,
    /// The offset is that of the block of 64 KiB which differs first: of very many contents no byte is looked for.
    pub block: bool,
    /// The section of the ELF file that it is in.
    pub section: Option<String>,
    /// The lines of a unified diff, or of an explanation.
    pub lines: Vec<String>,
}

/// One difference.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which field.
    pub field: Field,
    /// The entry's path or what else has the field; empty where it is the archive.
    pub path: String,
    /// What a has.
    pub old: String,
    /// What b has.
    pub new: String,
    /// Both as numbers, where they are.
    pub(super) numbers: Option<[u64; 2]>,
    /// Of a directory, how many others are in it.
    pub(super) directories: Option<u64>,
    /// What more there is to say.
    pub detail: Detail,
}

impl Change {
    /// Returns a change of texts.
    pub(super) fn new(
        field: Field,
        path: impl Into<String>,
        old: impl Into<String>,
        new: impl Into<String>,
    ) -> Change {
        Change {
            field,
            path: path.into(),
            old: old.into(),
            new: new.into(),
            numbers: None,
            directories: None,
            detail: Detail::default(),
        }
    }

    /// Returns a change of numbers.
    pub(super) fn numbers(field: Field, path: impl Into<String>, numbers: [u64; 2]) -> Change {
        let [old, new] = numbers.map(|number| number.to_string());
        Change::new(field, path, old, new).with(numbers)
    }

    pub(super) fn with(mut self, numbers: [u64; 2]) -> Change {
        self.numbers = Some(numbers);
        self
    }
}

/// Differences of one field that are alike.
#[derive(Debug)]
pub struct Group {
    /// Which field.
    pub field: Field,
    /// The differences, by path.
    pub changes: Vec<Change>,
    /// The cause's name and what is likely to have happened.
    pub cause: Option<(&'static str, String)>,
}

/// What was found in one layer.
#[derive(Debug)]
pub struct Layered {
    /// Which.
    pub layer: Layer,
    /// Why it was not compared, where it was not.
    pub skipped: Option<String>,
    /// What differs.
    pub groups: Vec<Group>,
}

/// Returns a number of bytes in words.
pub(super) fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".to_owned(),
        count => format!("{count} bytes"),
    }
}
