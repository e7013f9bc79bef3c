//! The first line of a script, as the kernel reads it (`load_script` in `fs/binfmt_script.c`).

/// What the kernel reads of a script's first line (`BINPRM_BUF_SIZE`, `include/uapi/linux/binfmts.h`).
pub(super) const BINPRM_BUF_SIZE: usize = 256;

/// The interpreter that a script's first line names, and its one argument; both may be empty.
pub(super) struct Shebang<'a> {
    /// The path of the interpreter.
    pub(super) interpreter: &'a [u8],
    /// What follows it: one argument, whatever blanks are in it.
    pub(super) argument: &'a [u8],
}

impl<'a> Shebang<'a> {
    /// Reads the beginning of a file; nothing where it is no script.
    pub(super) fn read(head: &'a [u8]) -> Option<Shebang<'a>> {
        let line = head.strip_prefix(b"#!")?;
        let limit = line.len().min(BINPRM_BUF_SIZE - 2);
        let line = line[..limit].split(|byte| *byte == b'\n').next()?;
        let line = trimmed(line);
        let end = line.iter().position(is_blank).unwrap_or(line.len());
        let (interpreter, argument) = line.split_at(end);
        Some(Shebang {
            interpreter,
            argument: trimmed(argument),
        })
    }
}

/// Blanks, for the kernel: a carriage return is none.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trimmed(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}
