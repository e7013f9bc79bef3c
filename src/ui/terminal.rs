//! Progress, drawn: a bar for each download and each step on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Event, Progress, Stage};
use crate::text::safe;
use crate::units;

/// The most characters of a guest's line that are shown while it runs.
const LINE: usize = 200;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors alone.
    Quiet,
    /// What was done.
    Normal,
    /// How it came about, too.
    Verbose,
}

/// Draws events on standard error.
pub struct Terminal {
    verbosity: Verbosity,
    /// Bars, or plain lines?
    drawn: bool,
    color: bool,
    bars: MultiProgress,
    running: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Terminal {
    /// Returns a terminal; `drawn` says whether standard error shows bars.
    pub fn new(verbosity: Verbosity, drawn: bool, color: bool) -> Terminal {
        let target = if drawn && verbosity > Verbosity::Quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Terminal {
            verbosity,
            drawn,
            color,
            bars: MultiProgress::with_draw_target(target),
            running: Mutex::new(BTreeMap::new()),
        }
    }

    /// Returns how much is told.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Returns whether colours are to be used.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Prints a line above the bars, unless all is to be quiet.
    pub fn line(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.print(&safe(text));
        }
    }

    /// Prints a line above the bars whatever the verbosity is.
    pub fn error(&self, text: &str) {
        self.print(&safe(text));
    }

    /// Removes the bars, so that what follows stands on a clean terminal.
    pub fn clear(&self) {
        for (_, bar) in std::mem::take(&mut *self.running()) {
            bar.finish_and_clear();
        }
        let _ = self.bars.clear();
    }

    /// Prints what is [`safe`], and colours.
    fn print(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(std::io::stderr(), "{text}");
        });
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, ProgressBar>> {
        // Poisoned by a panic elsewhere: the bars are as they were.
        self.running
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn start(&self, key: String, label: String, size: Option<u64>, have: u64) {
        if !self.drawn || self.verbosity == Verbosity::Quiet {
            return;
        }
        // 51 columns are for the words and numbers beside the bar.
        let width = usize::from(columns()).saturating_sub(51).clamp(4, 28);
        let template = match size {
            Some(_) => format!(
                "{{prefix:>16}} {{bar:{width}}} {{percent:>3}}% {{decimal_bytes:>10}} {{decimal_bytes_per_sec:>12}} {{eta:>4}}"
            ),
            None => {
                "{prefix:>16} {spinner} {decimal_bytes:>10} {decimal_bytes_per_sec:>12}".to_owned()
            }
        };
        // The templates above are constants; one that indicatif cannot read would draw its default bar.
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = match size {
            Some(size) => ProgressBar::new(size),
            None => ProgressBar::no_length(),
        };
        let bar = self.bars.add(
            bar.with_style(style.progress_chars("━╸ "))
                .with_prefix(safe(&label).into_owned()),
        );
        bar.set_position(have);
        bar.reset_eta();
        if let Some(old) = self.running().insert(key, bar) {
            old.finish_and_clear();
        }
    }

    /// Shows a line for a test that runs.
    fn wait_for(&self, name: String) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let style = ProgressStyle::with_template("testing {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::no_length().with_style(style));
        bar.set_message(name.clone());
        bar.tick();
        self.running().insert(test_key(&name), bar);
    }

    fn advance(&self, key: &str, done: u64) {
        if let Some(bar) = self.running().get(key) {
            bar.set_position(done);
        }
    }

    fn finish(&self, key: &str) {
        let bar = self.running().remove(key);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn warn(&self, text: &str) {
        let (yellow, plain) = if self.color {
            ("\x1b[1;33m", "\x1b[0m")
        } else {
            ("", "")
        };
        if self.verbosity > Verbosity::Quiet {
            self.print(&format!("{yellow}warning:{plain} {}", safe(text)));
        }
    }
}

/// Returns the terminal's width.
fn columns() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col)
}

/// The key of a step's bar; no source has such a name.
fn key(stage: Stage) -> String {
    format!("stage {stage}")
}

/// The key of a test's line; no source and no step has such a name.
fn test_key(name: &str) -> String {
    format!("test {name}")
}

/// Returns a line of a guest's console as a line of progress may have it.
fn shown(line: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    line.trim().chars().take(LINE).map(plain).collect()
}

impl Progress for Terminal {
    fn event(&self, event: Event) {
        match event {
            Event::DownloadStarted {
                name,
                url,
                size,
                have,
            } => {
                let mut line = format!("fetching {name} from {url}");
                if let Some(size) = size {
                    line.push_str(&format!(" ({})", units::bytes(size)));
                }
                if have > 0 {
                    line.push_str(&format!(", {} of it are there", units::bytes(have)));
                }
                if !self.drawn || self.verbosity == Verbosity::Verbose {
                    self.line(&line);
                }
                self.start(name.clone(), name, size, have);
            }
            Event::DownloadAdvanced { name, have } => self.advance(&name, have),
            Event::DownloadFinished { name, size } => {
                self.finish(&name);
                self.line(&format!("fetched {name}: {}, verified", units::bytes(size)));
            }
            Event::DownloadFirstSeen { name, size, from } => {
                self.finish(&name);
                self.line(&format!(
                    "fetched {name}: {}, first seen, from {from}",
                    units::bytes(size)
                ));
            }
            Event::DownloadRetried {
                name,
                url,
                reason,
                pause,
            } => {
                let pause = units::seconds(pause);
                self.warn(&format!("{name}: {url}: {reason}; trying again in {pause}"));
            }
            Event::DownloadGivenUp { name, url, reason } => {
                self.finish(&name);
                if self.verbosity == Verbosity::Verbose {
                    self.line(&format!("{name}: {url}: {reason}"));
                }
            }
            Event::StageStarted { stage, what, size } => {
                if !self.drawn && self.verbosity == Verbosity::Verbose {
                    self.line(&format!("{stage} {what}"));
                }
                self.start(key(stage), format!("{stage} {what}"), size, 0);
            }
            Event::StageAdvanced { stage, done } => self.advance(&key(stage), done),
            Event::StageFinished { stage } => self.finish(&key(stage)),
            Event::TestStarted { name } if self.drawn => self.wait_for(name),
            Event::TestStarted { name } => self.line(&format!("testing {name}")),
            Event::TestWaits { name, step, line } => {
                let text = format!("{name}: waits for {step} | {}", shown(&line));
                if let Some(bar) = self.running().get(&test_key(&name)) {
                    bar.set_message(text);
                }
            }
            Event::TestEnded { name } => self.finish(&test_key(&name)),
            Event::Note(text) => self.line(&text),
            Event::Warning(text) => self.warn(&text),
            Event::Detail(text) => {
                if self.verbosity == Verbosity::Verbose {
                    self.line(&text);
                }
            }
        }
    }
}
