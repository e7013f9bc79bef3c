//! The wire format of SSH (RFC 4251 section 5): numbers and strings with their lengths.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::SignError;

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'b [u8], SignError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| SignError::new("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, SignError> {
        let bytes = self.bytes(4)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    }

    pub(super) fn string(&mut self) -> Result<&'b [u8], SignError> {
        let length = self.u32()? as usize;
        self.bytes(length)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, SignError> {
        std::str::from_utf8(self.string()?).map_err(|_| SignError::new("it is not UTF-8"))
    }

    /// Returns a positive number without its leading zeros.
    pub(super) fn number(&mut self) -> Result<&'b [u8], SignError> {
        let bytes = self.string()?;
        if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(SignError::new("it has a negative number"));
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(bytes.get(zeros..).unwrap_or_default())
    }

    pub(super) fn end(self) -> Result<(), SignError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(SignError::new("something follows its end")),
        }
    }
}

/// Appends a string with its length.
pub(super) fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    // What is written here has a few hundred bytes.
    to.extend((bytes.len() as u32).to_be_bytes());
    to.extend(bytes);
}

/// Returns the bytes between the two lines of an armour.
pub(super) fn unarmour(text: &str, kind: &str) -> Result<Vec<u8>, SignError> {
    let body = text
        .trim()
        .strip_prefix(&format!("-----BEGIN {kind}-----"))
        .and_then(|rest| rest.strip_suffix(&format!("-----END {kind}-----")))
        .ok_or_else(|| SignError::new(format!("it is no armoured {kind}")))?;
    let base64: String = body.split_ascii_whitespace().collect();
    STANDARD
        .decode(base64)
        .map_err(|error| SignError::new(format!("its base64 is wrong: {error}")))
}

/// Returns bytes in an armour, as `ssh-keygen` breaks its lines.
pub(super) fn armour(bytes: &[u8], kind: &str) -> String {
    let base64 = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {kind}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(70));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {kind}-----\n"));
    text
}
