//! Options that every verb takes.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::values::{parse_jobs, parse_size};

/// Options that every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(super) struct Global {
    /// The cache [default: `cache/` beside the recipe's `images/`, else the user's cache directory] [env: MKIMG_CACHE]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) cache: Option<PathBuf>,
    /// Use the cache though others may write it: hash everything, believe nothing else that is in it
    #[arg(
        long,
        global = true,
        env = "MKIMG_SHARED_CACHE",
        value_parser = clap::builder::FalseyValueParser::new(),
        hide_env_values = true
    )]
    pub(super) shared_cache: bool,
    /// Never open a socket: take what the cache and local mirrors have
    #[arg(long, global = true)]
    pub(super) offline: bool,
    /// Threads for reading and compressing [default: all cores]; never changes a byte
    #[arg(long, global = true, value_name = "N", value_parser = parse_jobs)]
    pub(super) jobs: Option<NonZeroUsize>,
    /// A directory (or file:// URL) to look for sources in, before their own locations
    #[arg(long = "mirror", global = true, value_name = "DIR")]
    pub(super) mirrors: Vec<String>,
    /// Debian mirrors to use before the machine's own, separated by commas
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MKIMG_DEBIAN_MIRROR",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(super) debian_mirror: Vec<String>,
    /// The most that an archive may unpack to, such as 8GiB
    #[arg(long, global = true, value_name = "SIZE", default_value = "2GiB", value_parser = parse_size)]
    pub(super) max_unpacked: u64,
    /// The most bytes of a source that declares no `size=`, such as 8GiB
    #[arg(long, global = true, value_name = "SIZE", default_value = "4GiB", value_parser = parse_size)]
    pub(super) max_download: u64,
    /// A file outside of the recipe's project, or a directory, that `local=` may take without a hash; may be given several times
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) allow_local: Vec<PathBuf>,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Say how it came about, too
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Run as if started in this directory
    #[arg(short = 'C', global = true, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}
