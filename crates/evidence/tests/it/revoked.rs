//! A key that was revoked: what it signed later becomes no fact, what it signed before stays one.

use custos_core::clock::Timestamp;
use custos_trust::revocation::{Boundary, Revocation, Revocations, Who};
use custos_trust::signer::Signer as _;

use crate::world::{NOW, ORIGIN, World, clean, model, raw};

fn revoke_trainer(world: &mut World, first_bad: u64) {
    let who = Who::Key(world.trainer.public_key().id());
    let boundary = Boundary::new(Timestamp::from_seconds(0)).with_log(ORIGIN, first_bad);
    let one = Revocation::new(who, boundary, "stolen", NOW);
    let list = Revocations::none().with_revocation(one).unwrap();
    world.trust_root = world.trust_root.clone().with_revocations(list);
}

#[test]
fn facts_leave_out_what_a_revoked_key_signed_later() {
    let mut world = World::new();
    world.pipeline();
    let before = world.facts(model());
    assert!(before.lineage.known().unwrap().complete);
    assert!(before.evaluation.known().is_some());
    // The step stands at index 3, the evaluation at 4.
    revoke_trainer(&mut world, 4);
    let between = world.facts(model());
    assert!(between.lineage.known().unwrap().complete);
    assert_eq!(codes(&between), ["E0801"]);
    revoke_trainer(&mut world, 3);
    let after = world.facts(model());
    assert!(!after.lineage.known().unwrap().complete);
    assert_eq!(codes(&after), ["E0801", "E0801"]);
    // What others signed is as it was.
    let others = world.facts(clean());
    assert!(others.lineage.known().unwrap().complete);
    assert_eq!(codes(&others), [] as [&str; 0]);
    assert!(world.facts(raw()).rejected.is_empty());
}

fn codes(facts: &custos_core::facts::Facts) -> Vec<&str> {
    facts.rejected.iter().map(|one| one.code.as_str()).collect()
}
