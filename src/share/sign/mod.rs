//! Who vouches for an image: SSH signatures over a statement about it, kept beside it as referrers (`docs/signatures.md`).
//!
//! ```text
//! image + manifest digest --Statement--> bytes --key or ssh-keygen--> SshSig --attach_statement--> referrer
//! referrers + AllowedSigners + time --vouched--> which trusted keys count, and why others do not
//! ```

mod allowed;
mod key;
mod sshsig;
mod statement;
mod vouch;
mod wire;

pub use allowed::{AllowedSigners, MAX_ALLOWED, Signer};
pub use key::{PrivateKey, PublicKey, private_key};
pub use sshsig::{NAMESPACE, SshSig};
pub use statement::{Claim, Statement, attach_statement};
pub use vouch::{Ignored, Vouched, Voucher, vouched};

/// Why a key, a signature or a file of them is not what it should be; completes "it ..".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignError(pub(super) String);

impl SignError {
    fn new(problem: impl Into<String>) -> SignError {
        SignError(problem.into())
    }
}
