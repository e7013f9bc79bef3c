//! The recipe that `mkimg new` writes.

use super::{Mode, parse};

/// The recipe whose sources the template takes over: pinned once, in one place.
const MINIMAL: &str = include_str!("../../images/minimal.kdl");

/// Returns a recipe that realizes and boots as it is. `name` must pass [`super::check_name`].
pub fn template(name: &str) -> String {
    let sources = sources();
    format!(
        r##"// Realize and boot it: mkimg run images/{name}.kdl
// `mkimg help recipe` describes every node.
image "{name}" description="A kernel, BusyBox and an init script"

// What goes in, each pinned by its sha256. For another file, leave the sha256 out and let `mkimg pin` write it.
{sources}
kernel from="linux" path="boot/vmlinuz-*"

initramfs {{
    // A file out of a source, out of this recipe (text=), or from beside it (local=).
    file "/bin/busybox" from="busybox" path="bin/busybox" mode=0o755
    applets "/bin" of="/bin/busybox"
    file "/etc/motd" text="""
        Hello from {name}.

        """
    dir "/proc"
    dir "/sys"
    dir "/dev"
    dir "/tmp" mode=0o1777
    device "/dev/console" "char" major=5 minor=1 mode=0o600
    // The first program that the kernel starts. A backslash is written \\ here; in #""" .. """# it is written plainly.
    file "/init" mode=0o755 text="""
        #!/bin/busybox sh
        export PATH=/bin HOME=/ PS1='({name}) '
        mount -t proc proc /proc
        mount -t sysfs sysfs /sys
        mount -t devtmpfs dev /dev
        mount -t tmpfs tmp /tmp
        cat /etc/motd
        setsid cttyhack sh
        poweroff -f
        """
}}

boot memory="128MiB" cmdline="quiet"

// mkimg test images/{name}.kdl
test "the shell answers" within="60s" {{
    expect "({name})"
    send "echo answer=$((6*7))"
    expect line="answer=42"
}}
"##
    )
}

/// Returns the `source` nodes of the minimal recipe, as they are written there.
fn sources() -> String {
    let Ok(parsed) = parse("images/minimal.kdl", MINIMAL.as_bytes(), Mode::Strict) else {
        return String::new();
    };
    let mut text = String::new();
    for source in &parsed.recipe.sources {
        text.push_str(parsed.source.slice(&source.span));
        text.push('\n');
    }
    text
}
