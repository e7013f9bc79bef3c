//! Numbers as people read them.

use std::time::Duration;

/// Returns a size in decimal units with three digits at most: `812 B`, `1.0 MB`, `26.5 MB`, `104 MB`.
pub fn bytes(size: u64) -> String {
    if size < 1000 {
        return format!("{size} B");
    }
    // Ten units below the next one up, `999.95 kB` would print as `1000 kB`.
    let mut value = size as f64 / 1000.0;
    for unit in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 99.95 {
            return format!("{value:.1} {unit}");
        }
        if value < 999.5 {
            return format!("{value:.0} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.0} EB")
}

/// Returns a duration in seconds with two decimals, in minutes from two minutes on.
pub fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 120.0 {
        return format!("{seconds:.2} s");
    }
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}

/// Returns a bar of at most `width` characters for a share of a whole.
pub fn bar(part: u64, whole: u64, width: usize, unicode: bool) -> String {
    if whole == 0 {
        return String::new();
    }
    let eighths = (part as u128 * width as u128 * 8 / whole as u128) as usize;
    if !unicode {
        return "#".repeat(eighths.div_ceil(8));
    }
    let mut text = "█".repeat(eighths / 8);
    text.extend(
        ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
            .into_iter()
            .nth(eighths % 8),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_three_digits_at_most() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (26_484_304, "26.5 MB"),
            (u64::MAX, "18 EB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn a_bar_is_never_longer_than_its_width() {
        for part in 0..=100 {
            assert!(bar(part, 100, 10, true).chars().count() <= 10);
            assert!(bar(part, 100, 10, false).len() <= 10);
        }
        assert_eq!(bar(1, 2, 3, true), "█▌");
        assert_eq!(bar(5, 0, 3, true), "");
    }
}
