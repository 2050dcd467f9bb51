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
        world.store.last_before(context.origin, time).unwrap()
    };
    assert_eq!(before(0), None);
    assert_eq!(before(1), Some(0));
    assert_eq!(before(2_000_000), Some(1));
    assert_eq!(before(i64::from(i32::MAX)), Some(3));
    assert_eq!(
        world.store.last_before("other", NOW.plus_micros(9)),
        Ok(None)
    );
    let places = world.store.places(context.origin, 2).unwrap();
    let expected: Vec<_> = kept[2..].iter().map(|k| (k.log_index, k.digest)).collect();
    assert_eq!(places, expected);
    assert_eq!(world.store.places("other", 0), Ok(Vec::new()));
}
