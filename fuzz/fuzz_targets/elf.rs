//! Programs in an image, and kernels by their heads.

use std::collections::BTreeMap;

use super::{kernel, programs};
use crate::arch::Arch;
use crate::assemble::applets::applets;
use crate::plan::Plan;
use crate::recipe::{Mode, parse};
use crate::tree::{Content, Entry, EntryPath, Kind, Tree};

const RECIPE: &[u8] = b"image \"x\"
source \"k\" {
    url \"https://a.example/k\" sha256=\"0000000000000000000000000000000000000000000000000000000000000000\"
}
kernel from=\"k\"
initramfs {
    dir \"/a\"
}
";

/// Looks at an image whose `/init` and one library are the input.
pub(crate) fn run(data: &[u8]) {
    let content = Content::memory(data);
    let _ = applets(data);
    kernel::arch(data, &content);
    let parsed = parse("x.kdl", RECIPE, Mode::Strict).unwrap();
    let mut tree = Tree::new(0);
    for path in ["init", "lib/x86_64-linux-gnu/libc.so.6"] {
        let entry = Entry {
            kind: Kind::File(content.clone()),
            mode: 0o755,
            uid: 0,
            gid: 0,
            origin: Some(0),
        };
        tree.insert(EntryPath::new(path.as_bytes()).unwrap(), entry)
            .unwrap();
    }
    for arch in Arch::ALL {
        let plan = Plan::lower(&parsed.recipe, arch, &BTreeMap::new()).unwrap();
        programs::warnings(&plan, &tree);
    }
}
