//! The text of a lock to a [`Lock`]: read line by line, printed again and compared. mkimg wrote it, so the first line that is not as
//! mkimg writes it is all that can be said of another text.

use super::line::Line;
use super::{Lock, Locked, VERSION, v1};
use crate::fault::{Fault, Outcome};
use crate::plan::FORMAT;
use crate::realize::ArtifactRole;

/// Why a text is no lock of this version of mkimg.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is not what mkimg wrote.
    #[error("the lock `{name}` is not as mkimg wrote it: line {line} is another, or missing")]
    Line {
        /// The file.
        name: String,
        /// The first line that differs.
        line: usize,
    },
    /// A merge left its marks in it.
    #[error("the lock `{name}` has the marks of an unfinished merge at line {line}")]
    Merge {
        /// The file.
        name: String,
        /// The line of the first mark.
        line: usize,
    },
    /// It was written by the rules of another format version.
    #[error("the lock `{name}` is of format {found}, this mkimg makes format {FORMAT}")]
    Format {
        /// The file.
        name: String,
        /// Its format version.
        found: u32,
    },
    /// A newer mkimg wrote it.
    #[error("the lock `{name}` is of version {found}, this mkimg reads up to version {VERSION}")]
    Version {
        /// The file.
        name: String,
        /// Its version.
        found: u32,
    },
}

impl Fault for LockError {
    fn outcome(&self) -> Outcome {
        match self {
            LockError::Format { .. } | LockError::Version { .. } => Outcome::Different,
            LockError::Line { .. } | LockError::Merge { .. } => Outcome::Wrong,
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            LockError::Line { .. } => {
                "a lock is not edited: `mkimg lock` writes it anew; git has what it was"
            }
            LockError::Merge { .. } => {
                "finish the merge of the recipe first; then `mkimg lock` writes the lock anew, whatever is in it"
            }
            LockError::Format { found, .. } if *found < FORMAT => {
                "the bytes changed with the format: `mkimg lock` accepts those of this mkimg"
            }
            LockError::Format { .. } | LockError::Version { .. } => {
                "a newer mkimg wrote it: use that one, or let `mkimg lock` write what this one makes"
            }
        };
        Some(text.to_owned())
    }
}

/// What a line that cannot be read is about.
pub(super) enum Odd {
    /// Itself, or one that is missing there.
    Line(usize),
    Format(u32),
    Version(u32),
}

impl Lock {
    /// Reads the text of a lock. `name` is the path, as messages show it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Lock, LockError> {
        let name = name.to_owned();
        if let Some(line) = merge_mark(bytes) {
            return Err(LockError::Merge { name, line });
        }
        let Some(text) = normal(bytes) else {
            return Err(LockError::Line { name, line: 1 });
        };
        read(&text).map_err(|odd| match odd {
            Odd::Line(line) => LockError::Line { name, line },
            Odd::Format(found) => LockError::Format { name, found },
            Odd::Version(found) => LockError::Version { name, found },
        })
    }
}

/// Returns the text with LF line ends and without a byte order mark: what a checkout may have changed.
fn normal(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Some(text.replace("\r\n", "\n"))
}

fn read(text: &str) -> Result<Lock, Odd> {
    let comments = text
        .lines()
        .take_while(|line| line.starts_with("//"))
        .count();
    let mut lines = text.lines().zip(1..).skip(comments);
    let (head, number) = lines.next().unwrap_or(("", 1 + comments));
    let odd = Odd::Line(number);
    let head = Line::read(head).filter(|head| head.word == "lock");
    let Some(head) = head else { return Err(odd) };
    match head.number("format") {
        Some(FORMAT) => {}
        Some(other) => return Err(Odd::Format(other)),
        None => return Err(odd),
    }
    let version = match head.arguments() {
        // The first version has its name there.
        Some([name]) => match head.text("name") {
            Some(_) => name.parse().map_err(|_| odd)?,
            None => 1,
        },
        None => return Err(odd),
    };
    match version {
        1 => v1::begun(&head)
            .ok_or(Odd::Line(number))
            .and_then(|lock| v1::read(lock, lines)),
        VERSION => whole(&head, text, number),
        newer => Err(Odd::Version(newer)),
    }
}

/// Reads a lock of this version.
fn whole(head: &Line<'_>, text: &str, number: usize) -> Result<Lock, Odd> {
    let mut lock = begun(head).ok_or(Odd::Line(number))?;
    for (line, number) in text.lines().zip(1..).skip(number) {
        Line::read(line)
            .and_then(|line| take(&mut lock, &line))
            .ok_or(Odd::Line(number))?;
    }
    let written = lock.to_string();
    if written == text && lock.images.values().all(Locked::is_whole) {
        return Ok(lock);
    }
    let same = written.lines().zip(text.lines());
    Err(Odd::Line(
        1 + same.take_while(|(one, other)| one == other).count(),
    ))
}

fn begun(head: &Line<'_>) -> Option<Lock> {
    Some(Lock {
        version: VERSION,
        name: head.text("name")?.to_owned(),
        format: FORMAT,
        recipe: head.text("recipe")?.strip_prefix("sha256:")?.parse().ok()?,
        images: Default::default(),
        statements: Default::default(),
        files: Default::default(),
    })
}

/// Takes in what a line says.
fn take(lock: &mut Lock, line: &Line<'_>) -> Option<()> {
    match line.word {
        "image" => {
            let [arch] = line.arguments()?;
            let locked = lock.image(arch)?;
            locked.plan = line.digest("plan")?;
            locked.sources = line.digest("sources")?;
            (locked.tree, locked.archive_size) = line.sized("tree")?;
            locked.compressor = line.text("compressor")?.to_owned();
        }
        "artifact" => {
            let [arch, role] = line.arguments()?;
            let role: ArtifactRole = role.parse().ok()?;
            let file = line.sized("sha256")?;
            lock.image(arch)?.artifacts.insert(role, file);
        }
        "source" => {
            let [arch, name] = line.arguments()?;
            let digest = line.digest("sha256")?;
            lock.image(arch)?.inputs.insert(name.to_owned(), digest);
        }
        "statement" => {
            let [name, digest] = line.arguments()?;
            lock.statements.insert(name.to_owned(), digest.to_owned());
        }
        "file" => {
            let [path, digest] = line.arguments()?;
            lock.files.insert(path.to_owned(), digest.to_owned());
        }
        _ => return None,
    }
    Some(())
}

impl Lock {
    /// Returns what the lock says of an architecture, which may be nothing as yet.
    fn image(&mut self, arch: &str) -> Option<&mut Locked> {
        let arch = arch.parse().ok()?;
        Some(self.images.entry(arch).or_insert_with(Locked::empty))
    }
}

/// Returns the line of the first mark that git leaves where two changes met.
fn merge_mark(bytes: &[u8]) -> Option<usize> {
    let marks: [&[u8]; 3] = [b"<<<<<<< ", b">>>>>>> ", b"||||||| "];
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let found = lines.position(|line| marks.iter().any(|mark| line.starts_with(mark)));
    found.map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../images/minimal.lock");

    fn line(text: &str) -> Option<usize> {
        match Lock::parse("x.lock", text.as_bytes()) {
            Ok(_) => None,
            Err(LockError::Line { line, .. }) => Some(line),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_mkimg_wrote_is_read_and_the_line_that_it_did_not_write_is_named() {
        assert_eq!(line(TEXT), None);
        // What a checkout may do to a text file.
        let checked_out = format!("\u{feff}{}", TEXT.replace('\n', "\r\n"));
        assert_eq!(line(&checked_out), None);
        let number = |word: &str| {
            1 + TEXT
                .lines()
                .position(|line| line.starts_with(word))
                .unwrap()
        };
        let (image, source) = (number("image"), number("source"));
        for (from, to, expected) in [
            ("lock 2", "lock two", 3),
            ("sha256:", "", 3),
            ("name=\"minimal\"", "name=\"mini\\u{6d}al\"", 3),
            ("name=\"minimal\"", "name=\"other\"", 1),
            ("source \"aarch64\"", "source \"riscv128\"", source),
            (
                "source \"aarch64\" \"busybox\"",
                "source \"aarch64\" \"zoo\"",
                source,
            ),
            ("source", "// a comment\nsource", source),
            ("plan=", "plans=", image),
            ("size=", "size=0", image),
            (" compressor", "  compressor", image),
            (
                "artifact \"aarch64\" \"kernel\"",
                "artifact \"aarch64\" \"colonel\"",
                image + 2,
            ),
        ] {
            let edited = TEXT.replacen(from, to, 1);
            assert_ne!(edited, TEXT, "{from}");
            assert_eq!(line(&edited), Some(expected), "{to}");
        }
        // Of a lock that was cut off, too; the statements at its end decide nothing.
        let needed = TEXT.find("statement").unwrap();
        // One that ends behind its head has nothing for any architecture, which is said in other words.
        let head = TEXT.find("source").unwrap();
        for end in (0..needed).filter(|end| *end != head) {
            assert!(line(&TEXT[..end]).is_some(), "{end}");
        }
    }
}
