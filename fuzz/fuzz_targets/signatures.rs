//! Signatures, keys, and who may sign.

use crate::share::sign::{AllowedSigners, SshSig};

pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(signature) = SshSig::parse(&text) {
        let again = SshSig::parse(&signature.armoured());
        assert_eq!(again.ok().as_ref(), Some(&signature));
        let _ = signature.verify(b"message");
        let _ = (signature.key.kind(), signature.key.fingerprint());
        if let Ok(allowed) = AllowedSigners::parse(&text) {
            let _ = allowed.find(&signature.key, 1);
        }
    }
    let _ = AllowedSigners::parse(&text);
}
