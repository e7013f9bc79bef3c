//! Members that are odd, and sound.

use super::bed::{Bed, Tar, all};

#[test]
fn odd_but_sound_members_are_read() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let archive = Tar::new()
        .pax(b'g', &[("comment", b"0123456789abcdef")])
        .dir("./")
        .dir("./")
        .dir("d/")
        .dir("./d")
        // pitfall 62: by name and mode as they are
        .header(b"d//x/./y", b'0', b"y", |header| {
            header[100..108].copy_from_slice(b"104755 \0")
        })
        .header(b"old/", 0, b"", |_| {})
        .header(b"contiguous", b'7', b"c", |_| {})
        .header(b"dev", b'3', b"", |header| {
            header[329..337].copy_from_slice(b"0000005\0");
            header[337..345].copy_from_slice(b"0000001\0");
        })
        .header(b"disk", b'4', b"", |header| {
            header[329..337].copy_from_slice(b"0000010\0");
        })
        .header(b"256", b'0', b"abc", |header| {
            header[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x03");
        })
        .header(b"blank", b'0', b"", |header| header[108..124].fill(0))
        .link("s", b'2', "../../out of here")
        .link("h1", b'1', "./d//x/y")
        .link("h2", b'1', "h1")
        .header(b"L", b'L', format!("{long}\0").as_bytes(), |_| {})
        .file("short", b"long")
        .pax(
            b'x',
            &[
                ("linkpath", long.as_bytes()),
                ("path", b"p"),
                ("mtime", b"1.5"),
            ],
        )
        .link("short", b'2', "short")
        .pax(
            b'x',
            &[
                ("size", b"3"),
                ("uid", b"3000000"),
                ("gid", b"7"),
                ("unknown", b""),
            ],
        )
        .header(b"sized", b'0', b"abc", |header| {
            header[124..136].copy_from_slice(b"00000000000\0");
        })
        .header(b"\xff\xfe", b'0', b"", |_| {})
        .end();
    let expected = format!(
        "256 644 0:0 file \"abc\"\n\
         blank 644 0:0 file \"\"\n\
         contiguous 644 0:0 file \"c\"\n\
         d 755 0:0 dir\n\
         d/x/y 4755 0:0 file \"y\"\n\
         {long} 644 0:0 file \"long\"\n\
         dev 644 0:0 Char 5:1\n\
         disk 644 0:0 Block 8:0\n\
         h1 4755 0:0 file \"y\"\n\
         h2 4755 0:0 file \"y\"\n\
         old 644 0:0 dir\n\
         p 777 0:0 link \"{long}\"\n\
         s 777 0:0 link \"../../out of here\"\n\
         sized 644 3000000:7 file \"abc\"\n\
         \u{fffd}\u{fffd} 644 0:0 file \"\"\n"
    );
    assert_eq!(Bed::new().told(&archive, &all()), expected);
}
