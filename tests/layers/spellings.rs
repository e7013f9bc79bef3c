//! No spelling of a path evades the reading of sources.

use std::collections::BTreeMap;

use crate::OF_THE_PROCESS;
use crate::names;
use crate::sources::Sources;

#[test]
fn a_path_is_seen_however_it_is_written() {
    let spellings = [
        "use crate::b::x::T;",
        "use crate::{c, b::{x::{T, U}}};",
        "use super::b::x::T;",
        "use super::{super::b::x, super::b};",
        "use crate as root; fn f() { root::b::x::g() }",
        "use super as up; fn f() -> up::b::x::T { todo!() }",
        "use {self::super::b as other}; type A = other::x::T;",
        "fn f() { crate::b::x::g(\"}\") }",
        "fn f() { let _ = <crate::b::x::T>::new(); }",
        "fn f() { let r#c = '\"'; crate::b::x::g(r#\"\" \"#, '\\'', b'{') }",
        "mod inner { fn f<'crate_>() { super::super::b::x::g::<u8>() } }",
        "mod inner { use super::*; } use super::b::x;",
        "macro_rules! m { () => { $crate::b::x::g() } }",
        "use super::passed_on; fn f() { passed_on::x::g() }",
        "#[derive(Debug)] struct S { field: super::b::x::T }",
        "/* /* */ \" */ fn f() { super::b::x::g() } // \"",
    ];
    let text = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    for spelling in spellings {
        let sources = Sources::of(&[
            text("lib.rs", "mod a; mod b; mod c; use b as passed_on;"),
            text("a.rs", spelling),
            text("b/mod.rs", "pub mod x;"),
            text("b/x.rs", "pub struct T; pub struct U; pub fn g() {}"),
            text("c.rs", ""),
        ]);
        let seen = sources.paths().any(|(one, path)| {
            one.file == "a.rs" && !one.test && sources.top(path).as_deref() == Some("b")
        });
        assert!(seen, "{spelling}: {:?}", sources.code.uses);
    }
    let silent = [
        "// crate::b::x::T",
        "fn f() { \"crate::b::x\"; r#\"\"crate::b\"#; }",
        "pub(in crate::b) fn f() {}",
    ];
    for spelling in silent {
        let sources = Sources::of(&[
            text("a.rs", spelling),
            text("b.rs", ""),
            text("lib.rs", "mod a; mod b;"),
        ]);
        let seen = sources
            .paths()
            .any(|(_, path)| sources.top(path).as_deref() == Some("b"));
        assert!(!seen, "{spelling}");
    }
}

#[test]
fn a_reading_of_the_process_is_seen_however_it_is_written() {
    let spellings = [
        "fn f() { std::env::var(\"A\"); }",
        "use std::env; fn f() { env::vars_os(); }",
        "use std::{env as e, fs}; fn f() { e::temp_dir(); }",
        "use std::env::current_dir as here; fn f() { here(); }",
        "use std::time::SystemTime as T; fn f() { T::now(); }",
        "type T = std::time::Instant; fn f() { T::now(); }",
        "fn f() { <std::time::SystemTime>::now(); }",
        "use std::time; fn f() { time::UNIX_EPOCH.elapsed(); }",
        "use std::path::{self, Path}; fn f() { path::absolute(\"a\"); }",
        "fn f(path: &Path) { path.canonicalize(); }",
        "use std::fs::*; use std::process; fn f() { process::id(); }",
        "use std::io::IsTerminal; fn f() {}",
        "use rustix::{process as p, termios::isatty}; fn f() {}",
        "use rustix::process as p; fn f() { p::getpid(); }",
    ];
    let text = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    for spelling in spellings {
        let sources = Sources::of(&[text("a.rs", spelling), text("lib.rs", "mod a;")]);
        let seen = sources.paths().any(|(_, path)| {
            OF_THE_PROCESS
                .iter()
                .any(|what| names(&path.join("::"), what))
        });
        assert!(seen, "{spelling}: {:?}", sources.code.uses);
        let sources = Sources::of(&[
            text("a.rs", &format!("#[cfg(test)] mod tests {{ {spelling} }}")),
            text("lib.rs", "mod a;"),
        ]);
        assert!(sources.paths().all(|(one, _)| one.test), "{spelling}");
    }
}

#[test]
fn a_circle_is_found_through_what_is_handed_on_and_not_in_tests() {
    let text = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    let circle = |one: &str, other: &str| {
        let root = text(
            "f/mod.rs",
            "mod one; mod other; mod alone; pub use one::A; pub use other::B;",
        );
        let alone = text("f/alone.rs", "use super::{A, B};");
        Sources::of(&[
            text("lib.rs", "mod f;"),
            root,
            text("f/one.rs", one),
            text("f/other.rs", other),
            alone,
        ])
        .circles()
    };
    let found = circle(
        "use super::B; pub struct A;",
        "pub struct B; fn f() { crate::f::A; }",
    );
    let files = vec!["one.rs".to_owned(), "other.rs".to_owned()];
    assert_eq!(found, BTreeMap::from([("f".to_owned(), files)]));
    let found = circle(
        "use super::B; pub struct A;",
        "pub struct B; #[cfg(test)] mod tests { use super::super::A; }",
    );
    assert_eq!(found, BTreeMap::new());
}
