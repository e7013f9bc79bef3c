//! Documents and headers of registries, and names of images.

use std::path::Path;

use reqwest::Url;

use crate::realize::Image;
use crate::share::oci::{Index, Manifest};
use crate::share::{Pins, Place, Reference};
use crate::source::fetch::redirect;

pub(super) fn run(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data, "input") {
        assert_eq!(
            Manifest::parse(&manifest.bytes(), "again").ok(),
            Some(manifest)
        );
    }
    if let Ok(index) = Index::parse(data, "input") {
        assert_eq!(Index::parse(&index.bytes(), "again").ok(), Some(index));
    }
    let _ = Image::parse(data).map(|image| image.text());
    let text = String::from_utf8_lossy(data);
    crate::share::registry::fuzzing::run(&text);
    let asked = Url::parse("https://registry.example/v2/a/b").unwrap();
    for plain_http in [false, true] {
        if let Ok(url) = redirect::next(std::slice::from_ref(&asked), &text, plain_http) {
            let _ = (redirect::shown(&url), redirect::target(&url));
        }
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse().ok(), Some(reference));
    }
    let _ = Place::parse(&text, Path::new("/base"), None);
    if let Ok(pins) = Pins::parse(&text) {
        assert_eq!(
            Pins::parse(&pins.text()).map(|pins| pins.text()).ok(),
            Some(pins.text())
        );
    }
}
