//! `--max` and `--older`.

use std::fs;

use crate::cli::{fails, run};
use crate::{Bed, Place, age, disk, tiny};

/// Returns projects whose images and sources were used so many days ago.
fn aged(bed: &Bed, days: &[u64]) -> Vec<Place> {
    let places: Vec<Place> = days
        .iter()
        .map(|days| bed.project(&format!("of {days} days"), 200_000))
        .collect();
    for place in &places {
        place.made(&[]);
    }
    let days_of = |text: &str| {
        let found = places.iter().zip(days).find(|(place, _)| {
            let plan = mkimg::digest::Digest::of(&place.thing).to_string();
            text.contains(&plan) || text.contains(&format!("{}/{}", &plan[..2], &plan[2..]))
        });
        found.map(|(_, days)| *days)
    };
    for path in tiny::files(&bed.cache().join("blobs-v1")) {
        // The kernel is everybody's: as old as the oldest, and used by the youngest.
        age(&path, days_of(path.to_str().unwrap()).unwrap_or(1000));
    }
    for image in fs::read_dir(bed.cache().join("images-v1")).unwrap() {
        let image = image.unwrap().path();
        let text = fs::read_to_string(image.join("image.json")).unwrap();
        age(&image, days_of(&text).unwrap());
    }
    places
}

fn is_there(place: &Place) -> bool {
    let digest = mkimg::digest::Digest::of(&place.thing).to_string();
    place
        .cache
        .join("blobs-v1")
        .join(&digest[..2])
        .join(&digest[2..])
        .exists()
}

#[test]
fn the_least_recently_used_goes_first_and_a_use_counts() {
    let bed = Bed::new();
    let places = aged(&bed, &[40, 30, 20, 10]);
    // Found up to date, which is a use of the image and of its sources.
    assert_eq!(places[0].made(&[])["up_to_date"], true);
    let full = disk(&bed.cache());
    let max = |left: u64| (full - left * 100_000).to_string();
    // Each takes some 400 kB: the archive does not compress.
    bed.collect(&["--max", &max(0)]);
    assert!(places.iter().all(is_there));
    for (step, there) in [
        (1, [true, false, true, true]),
        (6, [true, false, false, true]),
        (10, [true, false, false, false]),
    ] {
        let limit = max(step);
        bed.collect(&["--max", &limit]);
        let now: Vec<bool> = places.iter().map(is_there).collect();
        // A blob goes after its image: only where that was not enough.
        for (place, (now, there)) in now.iter().zip(there).enumerate() {
            assert!(*now || !there, "step {step}: {place} is gone");
        }
        assert!(disk(&bed.cache()) <= limit.parse::<u64>().unwrap());
    }
    assert!(is_there(&places[0]) && !is_there(&places[1]));
}

#[test]
fn the_cache_is_under_its_limit_whatever_the_limit_or_it_is_said_what_keeps_it() {
    for keep in [false, true] {
        let bed = Bed::new();
        let places = aged(&bed, &[4, 3, 2, 1]);
        if keep {
            places[0].lock();
        }
        let full = disk(&bed.cache());
        for part in (0..=20).rev() {
            let max = full * part / 20;
            let output = bed.gc(&["--max", &max.to_string()]).output().unwrap();
            let text = crate::said(&output);
            match output.status.code() {
                Some(0) => assert!(disk(&bed.cache()) <= max, "{max}"),
                Some(1) => {
                    assert!(text.contains("more than `--max` allows"), "{text}");
                    assert_eq!(text.contains("images/tiny.lock"), keep, "{text}");
                    assert_eq!(tiny::images(&bed.cache()), usize::from(keep));
                }
                code => panic!("{code:?} {text}"),
            }
        }
        assert_eq!(is_there(&places[0]), keep);
        // Nothing is left that does not work.
        for place in &places {
            place.made(&[]);
        }
    }
}

#[test]
fn what_was_not_used_for_so_long_goes_and_what_a_young_image_is_made_of_stays() {
    let bed = Bed::new();
    let places = aged(&bed, &[40, 20]);
    let found = bed.collect(&["--older", "30d"]);
    assert_eq!(found["kinds"]["images"]["removed"], 1);
    assert_eq!((is_there(&places[0]), is_there(&places[1])), (false, true));
    places[1].lose_sources();
    places[1].forget_image();
    // The kernel, 1000 days old, is the young image's too.
    places[1].made(&[]);
    assert_eq!(bed.collect(&["--older", "3w", "--max", "1GiB"])["freed"], 0);
}

#[test]
fn a_size_or_an_age_without_a_unit_that_is_known_is_refused() {
    let bed = Bed::new();
    for args in [
        ["--older", "30"],
        ["--older", "1y"],
        ["--max", "2GB"],
        ["--max", "-1"],
    ] {
        fails(&mut bed.gc(&args), 2);
    }
    run(&mut bed.gc(&["--older", "99999999999w"]));
}
