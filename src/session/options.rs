//! What a caller decides: the cache, limits, where sources may come from; and what the session may know of the machine.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::SystemTime;

use super::begun::Begun;
use crate::check::Seen;
use crate::source::fetch::{MAX_DOWNLOAD, Mirror, Proxies};

/// How a session works. No option changes a byte of an image.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cache. Without a name it is the `cache/` beside the recipe's `images/`, else the user's own.
    pub cache: Option<PathBuf>,
    /// Use the cache though others may write it: hash everything, believe nothing else that is in it.
    pub shared_cache: bool,
    /// Open no socket.
    pub offline: bool,
    /// Threads for reading and compressing; without a number, one for each processor.
    pub jobs: Option<NonZeroUsize>,
    /// Directories to look for sources in, before their own locations.
    pub mirrors: Vec<Mirror>,
    /// Debian mirrors to use before the machine's own: http, https and file URLs, and directories.
    pub debian_mirrors: Vec<String>,
    /// The most bytes that an archive may unpack to.
    pub max_unpacked: u64,
    /// The most bytes of a source that declares no size.
    pub max_download: u64,
    /// Files outside of the recipe's project, and directories, that `local=` may take without a hash.
    pub allow_local: Vec<PathBuf>,
    /// What the session may know of this machine and its user.
    pub environment: Environment,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache: None,
            shared_cache: false,
            offline: false,
            jobs: None,
            mirrors: Vec::new(),
            debian_mirrors: Vec::new(),
            max_unpacked: 2 << 30,
            max_download: MAX_DOWNLOAD,
            allow_local: Vec::new(),
            environment: Environment::default(),
        }
    }
}

impl Options {
    /// Returns options with this cache.
    pub fn with_cache(cache: impl Into<PathBuf>) -> Options {
        Options {
            cache: Some(cache.into()),
            ..Options::default()
        }
    }
}

/// What the session may know of this machine and its user; the default is nothing.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The user's own cache.
    pub user_cache: Option<PathBuf>,
    /// Where mkimg remembers which caches are this user's.
    pub state: Option<PathBuf>,
    /// The user's configuration file.
    pub config: Option<PathBuf>,
    /// Files that may have the credentials of registries, the first that has some counts.
    pub credentials: Vec<PathBuf>,
    /// The directory for temporary files.
    pub temporary: PathBuf,
    /// The value of PATH: where QEMU is looked for.
    pub path: Option<OsString>,
    /// The proxies to go through.
    pub proxies: Proxies,
    /// Returns the time. The default's is 1970: signatures of keys that are valid from a day on do not count then.
    pub clock: fn() -> SystemTime,
    /// Returns what the process sees of its environment, by the names of the variations of a check that vary it; what is not there
    /// counts as unlike every variation.
    pub seen: fn() -> Seen,
    /// What a signal is to end; given by a caller that waits for signals.
    pub begun: Begun,
    /// The program `mkimg`, which checks and tests start anew.
    pub program: Option<PathBuf>,
    /// The words that make it work as this session does.
    pub program_options: Vec<String>,
}

impl Default for Environment {
    fn default() -> Environment {
        Environment {
            home: None,
            user_cache: None,
            state: None,
            config: None,
            credentials: Vec::new(),
            temporary: PathBuf::from("/tmp"),
            path: None,
            proxies: Proxies::default(),
            clock: || SystemTime::UNIX_EPOCH,
            seen: Seen::new,
            begun: Begun::default(),
            program: None,
            program_options: Vec::new(),
        }
    }
}
