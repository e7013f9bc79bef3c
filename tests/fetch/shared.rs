//! Several at once: one download of each blob, whoever asks.

use std::sync::Barrier;
use std::thread;

use mkimg::digest::Digest;
use mkimg::progress::Event;
use mkimg::source::fetch::{Fetcher, Kind, Wanted};
use mkimg::store::Store;

use crate::bed::{Bed, bytes, places};
use crate::server::{Reply, Server};

#[test]
fn eight_fetchers_with_stores_of_their_own_download_each_blob_once() {
    // pitfall 55
    let bed = Bed::new();
    let files: Vec<Vec<u8>> = (0..3).map(|number| bytes(50_000 + number)).collect();
    let server = Server::start({
        let files = files.clone();
        move |request| {
            Reply::file(
                request,
                &files[request.target[1..].parse::<usize>().unwrap()],
            )
        }
    });
    let wanted: Vec<Wanted> = files
        .iter()
        .enumerate()
        .map(|(number, file)| {
            let places = places(&[server.url(&format!("/{number}"))]);
            bed.wanted(Digest::of(file), None, &places)
        })
        .collect();
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = Store::open(bed.store.root()).unwrap();
                let fetcher = Fetcher::new(&store, &bed.seen, bed.options.clone());
                barrier.wait();
                let blobs = fetcher.fetch_all(&wanted).unwrap();
                for (blob, wanted) in blobs.iter().zip(&wanted) {
                    assert_eq!(blob.digest, wanted.digest);
                    blob.verify().unwrap();
                }
            });
        }
    });
    let mut asked = server.asked();
    asked.sort();
    assert_eq!(
        asked,
        ["/0", "/1", "/2"].map(|path| (path.to_owned(), None))
    );
    let finished = |event: &Event| matches!(event, Event::DownloadFinished { .. });
    assert_eq!(
        bed.seen
            .events()
            .iter()
            .filter(|event| finished(event))
            .count(),
        3
    );
}

#[test]
fn the_second_of_two_takes_over_when_the_first_one_fails() {
    let (mut bed, file) = (Bed::new(), bytes(1_000));
    bed.options.tries = 1;
    let digest = Digest::of(&file);
    let served = file.clone();
    let server = Server::start(move |request| match request.target.as_str() {
        "/mute" => Reply::mute(),
        _ => Reply::file(request, &served),
    });
    let wanted = |path: &str| [bed.wanted(digest, None, &places(&[server.url(path)]))];
    thread::scope(|scope| {
        let first = scope.spawn(|| bed.fetcher().fetch_all(&wanted("/mute")));
        while server.requests().is_empty() {
            thread::yield_now();
        }
        // The first one has the lock by now.
        let blobs = bed.fetcher().fetch_all(&wanted("/file")).unwrap();
        assert_eq!((blobs[0].digest, blobs[0].size), (digest, 1_000));
        assert_eq!(first.join().unwrap().unwrap_err().kind(), Kind::Unreachable);
    });
    let waited = Event::Note("waiting for another download of `thing`".to_owned());
    assert!(
        bed.seen.events().contains(&waited),
        "{:#?}",
        bed.seen.events()
    );
    assert_eq!(bed.litter(), Vec::<std::path::PathBuf>::new());
}
