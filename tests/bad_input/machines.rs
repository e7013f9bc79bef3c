//! Kernels and programs: whether they are any, and for which machine; and what in a recipe has no effect on the image.

use std::io::Write as _;

use std::fs;
use std::num::NonZeroUsize;

use mkimg::arch::Arch;
use mkimg::plan::{self, Plan};
use mkimg::progress::Silent;
use mkimg::realize::{Beside, RealizeError, Workshop, local_files};
use mkimg::recipe::{Mode, parse};
use mkimg::source::fetch::FetchOptions;
use mkimg::source::local::Reach;
use mkimg::store::Store;

use crate::cli::{fails, run};
use crate::preflight::{INIT, SH, project};
use crate::says;
use crate::tiny::{AARCH64, Tiny, X86_64, arm64_kernel, assert_clean, elf, images};

#[test]
fn a_file_that_is_no_kernel_for_the_image_is_refused() {
    let cases = [
        (
            b"hello".to_vec(),
            "what `kernel` names is no kernel that x86_64 could start",
            "starts with `hello`",
        ),
        (Vec::new(), "no kernel", "it is empty"),
        (
            arm64_kernel(),
            "the kernel is for aarch64, the image for x86_64",
            "the source's location for x86_64",
        ),
        (
            elf(AARCH64, None),
            "no kernel that x86_64 could start",
            "bzImage",
        ),
        // A program of the right machine: BusyBox, say.
        (
            loaded(elf(X86_64, None), 0x40_0000, b""),
            "no kernel that x86_64 could start",
            "bzImage",
        ),
        (
            gzip(&[0; 128]),
            "no kernel that x86_64 could start",
            "starts with `\\x1f\\x8b",
        ),
        (
            gzip(&arm64_kernel()),
            "the kernel is for aarch64",
            "the source's location for x86_64",
        ),
    ];
    for (kernel, message, more) in cases {
        let tiny = project(&kernel, &[SH, INIT]);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(
            &said,
            &[
                "images/tiny.kdl:5:1",
                "help: expected a bzImage",
                message,
                more,
            ],
        );
        assert_clean(&tiny.path("cache"));
    }
}

#[test]
fn an_elf_kernel_is_told_from_a_program_by_its_addresses() {
    let kernel = loaded(elf(X86_64, None), 0xffff_ffff_8100_0000, b"");
    let tiny = project(&kernel, &[SH, INIT]);
    run(&mut tiny.realize(&[]));
}

#[test]
fn a_program_of_any_other_machine_is_named() {
    // Class, byte order, machine, and what is said.
    let cases: [(u8, u8, u16, &str); 10] = [
        (2, 2, 22, "is a program for s390x, the image is for x86_64"),
        (2, 2, 21, "is a program for ppc64, "),
        (1, 2, 8, "is a program for mips, "),
        (1, 1, 40, "is a program for arm, "),
        (1, 1, 62, "is a program for x32, "),
        (2, 1, 243, "is a program for riscv64, "),
        (1, 1, 243, "is a program for riscv32, "),
        (2, 2, 183, "is a program for aarch64 (big-endian), "),
        (2, 1, 4242, "is a program for ELF machine 4242, "),
        (
            3,
            1,
            62,
            "is a broken ELF file: its header is cut off or unknown",
        ),
    ];
    for (class, order, machine, message) in cases {
        let tiny = project(
            &crate::tiny::kernel(),
            &["file \"/init\" mode=0o755 local=\"program\""],
        );
        let mut program = elf(0, None);
        (program[4], program[5]) = (class, order);
        let machine = if order == 2 {
            machine.to_be_bytes()
        } else {
            machine.to_le_bytes()
        };
        program[18..20].copy_from_slice(&machine);
        // No program headers, wherever the class has their number.
        program[20..].fill(0);
        tiny.write("images/program", &program);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(&said, &["images/tiny.kdl:11:5", message]);
    }
}

#[test]
fn a_32_bit_init_that_some_kernels_start_is_a_warning() {
    let tiny = project(
        &crate::tiny::kernel(),
        &["file \"/init\" mode=0o755 local=\"program\""],
    );
    let mut program = elf(3, None);
    program[4] = 1;
    program[20..].fill(0);
    tiny.write("images/program", &program);
    let said = run(&mut tiny.realize(&[])).stderr;
    says(
        &String::from_utf8(said).unwrap(),
        &[
            "images/tiny.kdl:11:5",
            "1 program for i386 in an image for x86_64: a kernel with CONFIG_IA32_EMULATION starts it",
        ],
    );
}

#[test]
fn an_object_file_is_no_init() {
    let tiny = project(
        &crate::tiny::kernel(),
        &["file \"/init\" mode=0o755 local=\"program\""],
    );
    let mut program = elf(X86_64, None);
    program[16] = 1;
    tiny.write("images/program", &program);
    let said = fails(&mut tiny.realize(&[]), 2);
    says(
        &said,
        &[
            "images/tiny.kdl:11:5",
            "/init is an object file or a core dump, no program",
        ],
    );
}

#[test]
fn a_loader_whose_name_stands_anywhere_in_the_file_is_found() {
    let entries = [
        "file \"/init\" mode=0o755 local=\"program\"",
        "file \"/opt/a/longer/name/ld.so\" mode=0o755 local=\"static\"",
    ];
    // As `patchelf` does it: the name, or all program headers, behind everything else.
    let name = b"/opt/a/longer/name/ld.so\0";
    let mut far_name = elf(X86_64, Some("/lib/ld.so"));
    far_name[72..80].copy_from_slice(&100_000u64.to_le_bytes());
    far_name[96..104].copy_from_slice(&(name.len() as u64).to_le_bytes());
    far_name.resize(100_000, 0);
    far_name.extend(name);
    let mut far_headers = far_name.clone();
    let headers = far_headers[64..120].to_vec();
    far_headers[32..40].copy_from_slice(&(far_name.len() as u64).to_le_bytes());
    far_headers[64..120].fill(0xff);
    far_headers.extend(headers);
    for program in [&far_name, &far_headers] {
        let tiny = project(&crate::tiny::kernel(), &entries);
        tiny.write("images/program", program);
        run(&mut tiny.realize(&[]));
        // The name is read, not passed over.
        let tiny = project(&crate::tiny::kernel(), &entries[..1]);
        tiny.write("images/program", program);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(
            &said,
            &["its loader `/opt/a/longer/name/ld.so` is not in the image"],
        );
    }
    let mut cut = far_name.clone();
    cut.truncate(100_000);
    let tiny = project(&crate::tiny::kernel(), &entries);
    tiny.write("images/program", &cut);
    let said = fails(&mut tiny.realize(&[]), 2);
    says(
        &said,
        &["a broken ELF file: its loader's name is not in the file"],
    );
}

#[test]
fn a_busybox_of_another_machine_is_refused_where_applets_names_it() {
    // Not started by anything: only its machine is looked at, once its applets could be read.
    let table = b"[\0ash\0busybox\0cat\0echo\0init\0mount\0sh\0\0";
    let mut busybox = loaded(elf(AARCH64, None), 0, table);
    let entries = [
        SH,
        INIT,
        "file \"/bin/busybox\" local=\"busybox\" mode=0o755",
        "applets \"/sbin\" of=\"/bin/busybox\"",
    ];
    let tiny = project(&crate::tiny::kernel(), &entries);
    tiny.write("images/busybox", &busybox);
    let said = fails(&mut tiny.realize(&[]), 2);
    says(
        &said,
        &[
            "images/tiny.kdl:14:24",
            "`/bin/busybox` is a program for aarch64, the image is for x86_64",
            "arch=\"x86_64\"",
        ],
    );
    // The same for x86_64 is good.
    busybox[18..20].copy_from_slice(&X86_64.to_le_bytes());
    tiny.write("images/busybox", &busybox);
    run(&mut tiny.realize(&[]));
}

#[test]
fn a_package_taken_for_the_file_in_it_is_recognised() {
    let package = b"!<arch>\ndebian-binary   ";
    let entries = [
        "file \"/bin/busybox\" local=\"package\" mode=0o755",
        "file \"/init\" mode=0o755 text=\"#!/bin/busybox sh\"",
        "applets \"/bin\" of=\"/bin/busybox\"",
    ];
    let cases: [(&[u8], &[&str], &str); 3] = [
        (package, &[SH, INIT], "name the kernel in it, `path="),
        (
            &crate::tiny::kernel(),
            &entries[..2],
            "name the program in it with `path=`",
        ),
        (
            &crate::tiny::kernel(),
            &entries,
            "take the BusyBox out of it: file",
        ),
    ];
    for (kernel, entries, help) in cases {
        let tiny = project(kernel, entries);
        tiny.write("images/package", package);
        says(
            &fails(&mut tiny.realize(&[]), 2),
            &["images/tiny.kdl:", help],
        );
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let entries = [
        SH,
        INIT,
        "file \"/bin/busybox\" local=\"busybox\" mode=0o755",
        "applets \"/bin\" of=\"/bin/busybox\" except=\"sh inti\"",
        "tree \"/a\" from=\"tree\" strip=9",
        "tree \"/b\" from=\"tree\" { exclude \"*\"; }",
        "tree \"/c\" from=\"tree\"",
    ];
    let tiny = project(&crate::tiny::kernel(), &entries);
    let table = b"[\0ash\0busybox\0cat\0sh\0\0";
    tiny.write("images/busybox", &loaded(elf(X86_64, None), 0, table));
    let output = run(&mut tiny.realize(&[]));
    let said = String::from_utf8(output.stderr).unwrap();
    let warnings: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .collect();
    let nothing = "puts nothing into the image: `exclude` or `strip` leaves nothing of its archive";
    let expected = [
        "`except` names `inti`, which is no applet of `/bin/busybox`".to_owned(),
        format!("`tree \"/a\"` {nothing}"),
        format!("`tree \"/b\"` {nothing}"),
    ];
    assert_eq!(warnings, expected);
}

/// Adds one loaded segment, the whole file at an address, to the headers of an ELF file, and data.
fn loaded(mut elf: Vec<u8>, address: u64, data: &[u8]) -> Vec<u8> {
    elf[56] = 1;
    elf.extend([1, 0, 0, 0, 4, 0, 0, 0]);
    let size = 120 + data.len() as u64;
    for field in [0, address, 0, size, size, 1] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(data);
    elf
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_local_file_that_changes_between_plan_and_archive_is_told_and_gives_no_image() {
    for changed in [&b"other bytes"[..], b"few", b""] {
        let tiny = Tiny::new();
        let recipe = tiny.recipe("", "file \"/changes\" local=\"changes\"");
        tiny.write("images/changes", b"these bytes");
        let parsed = parse("tiny.kdl", &fs::read(recipe).unwrap(), Mode::Strict).unwrap();
        let base = tiny.path("images");
        let named = plan::local_files(&parsed.recipe);
        let beside = Beside {
            base: &base,
            reach: &Reach::of(&base, None),
            known: None,
            jobs: 1,
        };
        let files = local_files(named, beside).unwrap();
        let plan = Plan::lower(&parsed.recipe, Arch::X86_64, &files).unwrap();
        tiny.write("images/changes", changed);
        let store = Store::open(&tiny.path("cache")).unwrap();
        let workshop = Workshop {
            store: &store,
            fetch: &FetchOptions::default(),
            jobs: NonZeroUsize::MIN,
            max_unpacked: 1 << 20,
            progress: &Silent,
        };
        let Err(RealizeError::Recipe(told)) = workshop.realize(&plan, &base, false) else {
            panic!("it was taken in");
        };
        let message = "a local file changed while it was taken in: `/changes`";
        assert!(told[0].message.starts_with(message), "{}", told[0].message);
        assert!(told[0].help.is_some());
        drop(store);
        assert_eq!(images(&tiny.path("cache")), 0);
    }
}
