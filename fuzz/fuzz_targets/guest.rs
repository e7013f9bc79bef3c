//! What QEMU is given, and what comes out of a guest.

use std::time::Duration;

use super::console::{Console, panicked, telling};
use super::script::Pattern;
use super::transcript::Transcript;
use super::{diagnosis, has_16k_pages, kernel_footprint, kernel_inside};
use crate::arch::Arch;

/// Reads a kernel as it is read before a boot.
pub(crate) fn kernel(data: &[u8]) {
    for arch in Arch::ALL {
        if let Ok(Some(inside)) = kernel_inside(arch, data) {
            kernel_footprint(arch, &inside);
        }
        kernel_footprint(arch, data);
        has_16k_pages(arch, data);
    }
}

/// Reads a console, in pieces whose lengths the input has; 0xff is what a script sends in between.
pub(crate) fn guest(data: &[u8]) {
    let patterns = [
        Pattern::Text("ok".to_owned()),
        Pattern::Line("done exit=0".to_owned()),
        Pattern::regex("[a-z]+ (ok|no)$").unwrap(),
    ];
    let mut console = Console::default();
    let mut transcript = Transcript::default();
    for (number, piece) in data.split(|byte| *byte == 0xff).enumerate() {
        let now = Duration::from_millis(number as u64);
        let clean = console.take(piece, now);
        transcript.take(&clean);
        transcript.sent("echo ok", &console.partial());
        for pattern in &patterns {
            transcript.find(pattern, number % 2 == 0);
            transcript.holds(pattern, true);
            transcript.line_of(pattern);
            transcript.nearly(pattern);
        }
    }
    transcript.end();
    console.newest();
    let lines = console.lines();
    let _ = (telling(&lines), panicked(&lines));
    if let Some(end) = console.last_word() {
        diagnosis::of_run(end, &lines);
    }
}
