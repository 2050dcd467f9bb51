//! Which bundle stands where in the log, and what was here by when.

use custos_evidence::record::Recording;

use crate::world::{NOW, World, dataset, file, key};

#[test]
fn a_time_becomes_an_index_by_what_was_stored_before_it() {
    let world = World::new();
    let signer = key();
    let mut kept = Vec::new();
    for n in 0..4_i64 {
        let recording = Recording {
            store: &world.store,
            signer: &signer,
            log: &world.log,
            now: NOW.plus_micros(n * 1_000_000),
        };
        let statement = dataset(&file("raw", &n.to_string()));
        kept.push(recording.record(&[statement]).unwrap().remove(0));
    }
    let context = world.context();
    let before = |micros: i64| {
        let time = NOW.plus_micros(micros);
        let last = world.store.last_before(context.origin, time, u64::MAX);
        last.unwrap().first().map(|(index, _)| *index)
    };
    assert_eq!(before(0), None);
    assert_eq!(before(1), Some(0));
    assert_eq!(before(2_000_000), Some(1));
    assert_eq!(before(i64::from(i32::MAX)), Some(3));
    assert_eq!(
        world.store.last_before("other", NOW.plus_micros(9), 9),
        Ok(Vec::new())
    );
    let below = |end: u64| {
        let time = NOW.plus_micros(2_000_000);
        world.store.last_before(context.origin, time, end).unwrap()
    };
    assert_eq!(below(4), [(1, kept[1].digest), (0, kept[0].digest)]);
    assert_eq!(below(1), [(0, kept[0].digest)]);
    assert_eq!(below(0), []);
    let places = world.store.places(context.origin, 2..4).unwrap();
    let expected: Vec<_> = kept[2..].iter().map(|k| (k.log_index, k.digest)).collect();
    assert_eq!(places, expected);
    let part = world.store.places(context.origin, 1..3).unwrap();
    assert_eq!(part.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.store.places("other", 0..u64::MAX), Ok(Vec::new()));
    let all: std::collections::BTreeSet<_> = kept.iter().map(|k| k.digest).collect();
    assert_eq!(world.store.unplaced(context.origin), Ok(Vec::new()));
    let elsewhere = world.store.unplaced("other").unwrap();
    assert!(elsewhere.len() == 4 && elsewhere.iter().all(|one| all.contains(one)));
    let in_order: Vec<_> = kept.iter().map(|k| k.digest).collect();
    let kind = custos_evidence::parts::Parts::read(&kept[0].bundle).unwrap();
    assert_eq!(world.store.of_type(&kind.predicate_type), Ok(in_order));
    assert_eq!(world.store.of_type("other"), Ok(Vec::new()));
}
