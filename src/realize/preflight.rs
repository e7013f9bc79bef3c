//! What would only show as a dead virtual machine, refused before an image is written.
//!
//! The kernel's own rules: `/init` is what `kernel_init` in `init/main.c` runs when the initramfs has it; a script's
//! interpreter is read by `fs/binfmt_script.c` from its first line, a program's loader by `fs/binfmt_elf.c` from `PT_INTERP`.

use super::elf::Elf;
use super::script::Shebang;
use super::{kernel, programs};
use crate::plan::{FileOrigin, Plan, PlannedKind, Problem, StatementId, Word};
use crate::tree::lookup::{self, Lost, Root};
use crate::tree::{Content, Entry, EntryPath, Kind, Tree};

/// Bytes at the start of a kernel or a program that are looked at; the rest of an ELF file's headers is read where it is.
const HEAD: u64 = 64 * 1024;
/// How many interpreters of interpreters the kernel follows (`exec_binprm` in `fs/exec.c`).
const DEPTH: usize = 5;
/// Returns what is in the image and would not work in it, as warnings.
///
/// # Errors
/// Everything that would keep the image from starting.
pub(super) fn preflight(
    plan: &Plan,
    tree: &Tree,
    kernel: &Content,
) -> Result<Vec<Problem>, Vec<Problem>> {
    let check = Check { plan, tree };
    let mut problems: Vec<Problem> = Vec::new();
    problems.extend(check.kernel(kernel));
    problems.extend(check.init().err());
    problems.extend(check.busyboxes());
    match problems.is_empty() {
        true => Ok(programs::warnings(plan, tree)),
        false => Err(problems),
    }
}

struct Check<'a> {
    plan: &'a Plan,
    tree: &'a Tree,
}

impl Check<'_> {
    /// Returns the place in the recipe that put an entry where it is.
    fn span(&self, entry: &Entry) -> StatementId {
        StatementId::of_entry(entry.origin)
    }

    fn kernel(&self, kernel: &Content) -> Option<Problem> {
        let arch = self.plan.arch;
        let span = StatementId::Kernel(Word::Whole);
        let head = match kernel.head(HEAD) {
            Ok(head) => head,
            Err(error) => {
                return Some(Problem::error(
                    format!("the kernel cannot be read: {error}"),
                    span.clone(),
                    "",
                ));
            }
        };
        let found = kernel::arch(&head, kernel);
        if found == Some(arch) {
            return None;
        }
        let message = match found {
            Some(other) => format!("the kernel is for {other}, the image for {arch}"),
            None => format!("what `kernel` names is no kernel that {arch} could start"),
        };
        let expected = arch.facts().kernel_described;
        let label = format!("starts with {}", sample(&head));
        let help = match (&self.plan.kernel, is_archive(&head)) {
            (FileOrigin::Source { path: None, .. }, true) if found.is_none() => {
                "this is an archive: name the kernel in it, `path=\"boot/vmlinuz-*\"`".to_owned()
            }
            (FileOrigin::Local { .. }, _) => format!("expected {expected}: name another file"),
            _ => format!("expected {expected}: change `path=` or the source's location for {arch}"),
        };
        Some(Problem::error(message, span.clone(), label).help(help))
    }

    fn init(&self) -> Result<(), Problem> {
        let name = b"init";
        let missing = || {
            let span = StatementId::Kernel(Word::Whole);
            Problem::error("the image has no `/init`", span, "this kernel would find nothing to start").help(
                "declare one: file \"/init\" mode=0o755 text=\"...\", or symlink \"/init\" target=\"/bin/busybox\"",
            )
        };
        let (path, entry) = self.resolve(name, missing)?;
        self.executable(&path, entry, "/init", 0)
    }

    /// Follows symlinks from a path to the entry that the kernel would open.
    fn resolve(
        &self,
        path: &[u8],
        missing: impl Fn() -> Problem,
    ) -> Result<(EntryPath, &Entry), Problem> {
        lookup::find(self.tree, Root(b""), path).map_err(|lost| match lost {
            Lost::Missing { link: None } => missing(),
            Lost::Missing {
                link: Some((link, target)),
            } => {
                let label = format!("this symlink leads to `{target}`, which is not in the image");
                missing().and(self.span(link), label)
            }
            Lost::Circle(link) => {
                let span = self.span(link);
                Problem::error("symlinks lead in a circle", span, "one of them")
                    .help("let one of them name a file")
            }
        })
    }

    /// Checks that the kernel can execute an entry; `role` says what it is for.
    fn executable(
        &self,
        path: &EntryPath,
        entry: &Entry,
        role: &str,
        depth: usize,
    ) -> Result<(), Problem> {
        let span = self.span(entry);
        let Kind::File(content) = &entry.kind else {
            let message = format!("{role} is a {}, not a file", entry.kind.name());
            return Err(Problem::error(message, span, "put there by this")
                .help("let it be an executable file"));
        };
        if entry.mode & 0o111 == 0 {
            let message = format!("{role} is not executable: its mode is 0o{:o}", entry.mode);
            return Err(
                Problem::error(message, span, format!("`{path}` comes from here"))
                    .help("add mode=0o755"),
            );
        }
        let head = content.head(HEAD).map_err(|error| {
            Problem::error(
                format!("{role} cannot be read: {error}"),
                span.clone(),
                "declared here",
            )
        })?;
        if let Some(line) = Shebang::read(&head) {
            return self.script(&span, &line, role, depth);
        }
        if !head.starts_with(b"\x7fELF") {
            let message = format!(
                "{role} is nothing that the kernel could execute: neither a script nor an ELF program"
            );
            let label = format!("`{path}` starts with {}", sample(&head));
            let help = match is_archive(&head) {
                true => "this is an archive: name the program in it with `path=`",
                false => {
                    "a script begins with its interpreter, `#!/bin/busybox sh`, at the very first byte"
                }
            };
            return Err(Problem::error(message, span, label).help(help));
        }
        self.program(&span, content, role)
    }

    fn script(
        &self,
        span: &StatementId,
        line: &Shebang<'_>,
        role: &str,
        depth: usize,
    ) -> Result<(), Problem> {
        let word = line.interpreter;
        let shown = word.escape_ascii().to_string();
        if word.is_empty() || depth >= DEPTH {
            let message = format!(
                "the first line of {role} names no interpreter that the kernel would start"
            );
            return Err(Problem::error(message, span.clone(), "declared here")
                .help("begin it with `#!/bin/busybox sh`"));
        }
        if word.ends_with(b"\r") {
            let message = format!(
                "the first line of {role} ends with a carriage return: the kernel looks for `{shown}`"
            );
            return Err(Problem::error(message, span.clone(), "declared here")
                .help("save the file with LF line ends"));
        }
        let missing = || {
            let message = format!("the interpreter of {role}, `{shown}`, is not in the image");
            Problem::error(message, span.clone(), "its first line names it").help(
                "the kernel would say `Failed to execute /init (error -2)`: put the interpreter into the image, or name one \
                 that is there, such as `#!/bin/busybox sh`",
            )
        };
        if !word.starts_with(b"/") {
            return Err(missing().help("an interpreter is named by its absolute path"));
        }
        let (path, entry) = self.resolve(word, missing)?;
        self.executable(
            &path,
            entry,
            &format!("`{shown}`, the interpreter of {role},"),
            depth + 1,
        )
    }

    fn program(&self, span: &StatementId, content: &Content, role: &str) -> Result<(), Problem> {
        let arch = self.plan.arch;
        let broken = |what: &str| {
            Problem::error(
                format!("{role} is a broken ELF file: {what}"),
                span.clone(),
                "declared here",
            )
            .help("take another file, or another `path=`")
        };
        let elf = Elf::read(content).map_err(|error| broken(&error))?;
        if !elf.is_for(arch) && elf.compatible(arch).is_none() {
            let message = format!(
                "{role} is a program for {}, the image is for {arch}",
                elf.machine_name()
            );
            let help = format!("give its source a location with arch=\"{arch}\"");
            return Err(Problem::error(message, span.clone(), "declared here").help(help));
        }
        if !elf.is_loadable() {
            let message = format!("{role} is an object file or a core dump, no program");
            return Err(Problem::error(message, span.clone(), "declared here")
                .help("take the linked program"));
        }
        match &elf.loader {
            Some(loader) => self.loader(span, &elf, loader, role),
            None => Ok(()),
        }
    }

    fn loader(
        &self,
        span: &StatementId,
        elf: &Elf,
        loader: &[u8],
        role: &str,
    ) -> Result<(), Problem> {
        let arch = self.plan.arch;
        let shown = loader.escape_ascii().to_string();
        let missing = || {
            let message = format!(
                "{role} is linked dynamically, and its loader `{shown}` is not in the image"
            );
            Problem::error(message, span.clone(), "declared here").help(
                "the kernel would say `error -2`: take a statically linked build, or put the loader and its libraries in too",
            )
        };
        let (_, entry) = self.resolve(loader, missing)?;
        let Kind::File(content) = &entry.kind else {
            return Err(missing());
        };
        let wrong = |message: String| Problem::error(message, self.span(entry), "declared here");
        if entry.mode & 0o111 == 0 {
            let mode = entry.mode;
            let message = format!(
                "`{shown}`, the loader of {role}, is not executable: its mode is 0o{mode:o}"
            );
            return Err(wrong(message).help("add mode=0o755"));
        }
        match Elf::read(content) {
            Ok(found) if found.fits(elf) => Ok(()),
            _ => {
                let message = format!("`{shown}`, the loader of {role}, is no program for {arch}");
                Err(wrong(message).help("take the one of the same source"))
            }
        }
    }

    /// Checks the BusyBox of every `applets` node: its machine is the image's.
    fn busyboxes(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, planned) in self.plan.entries.iter().enumerate() {
            let PlannedKind::Applets { of, .. } = &planned.kind else {
                continue;
            };
            let path = EntryPath::new(of.trim_start_matches('/').as_bytes());
            let entry = path.ok().and_then(|path| self.tree.get(&path));
            let at = StatementId::Entry(index, Word::Of);
            if let Some(Entry {
                kind: Kind::File(content),
                ..
            }) = entry
                && let Err(problem) = self.program(&at, content, &format!("`{of}`"))
            {
                problems.push(problem);
            }
        }
        problems
    }
}

/// Says whether a file is one of the archives that mkimg reads. Not by the magic of gzip: an Image.gz has that, too.
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 3] = [b"!<arch>\n", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    let tar = head
        .get(257..)
        .is_some_and(|rest| rest.starts_with(b"ustar"));
    tar || magics.iter().any(|magic| head.starts_with(magic))
}

/// Returns the first bytes of a file for a message.
fn sample(head: &[u8]) -> String {
    match &head[..head.len().min(16)] {
        [] => "nothing: it is empty".to_owned(),
        bytes => format!("`{}`", bytes.escape_ascii()),
    }
}
