//! Several at once: one download of each blob, whoever asks.

use std::sync::Barrier;
use std::thread;

use mkimg::digest::Digest;
use mkimg::progress::Event;
use mkimg::source::fetch::{Fetcher, Wanted};
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
    let (bed, file) = (Bed::new(), bytes(1_000));
    let digest = Digest::of(&file);
    let served = file.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    let bad = [bed.wanted(digest, None, &places(&["x:".to_owned()]))];
    let good = [bed.wanted(digest, None, &places(&[server.url("/file")]))];
    let fetcher = bed.fetcher();
    // Both sources of one recipe have the same digest, and the first of them cannot be had.
    let both = [bad[0].clone(), good[0].clone()];
    assert!(fetcher.fetch_all(&both).is_err() || bed.blobs().len() == 1);
    assert_eq!(fetcher.fetch_all(&good).unwrap()[0].size, 1_000);
    assert_eq!(server.requests().len(), 1);
}
