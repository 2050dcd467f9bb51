//! Entry points for fuzzing: any bytes as a policy, any bytes as an input.

use std::sync::LazyLock;
use std::time::Duration;

use custos_core::clock::Timestamp;
use custos_core::json;
use custos_core::limits::Limits;

use crate::{
    Evaluation, PolicyFile, PolicyLimits, PolicySet, TestOptions, Verdict, decide, starter, test,
};

/// Loads bytes as a policy; if it loads, decides and tests with it.
pub fn fuzz_policy(data: &[u8]) {
    let limits = PolicyLimits {
        max_file_bytes: 16 << 10,
        load_deadline: Duration::from_secs(20),
        ..PolicyLimits::default()
    };
    let Ok(set) = PolicySet::load(vec![PolicyFile::new("fuzz.rego", data)], &limits) else {
        return;
    };
    let deadline = Duration::from_millis(200);
    let evaluation = Evaluation::at(Timestamp::from_seconds(0)).within(deadline);
    let decision = decide(&set, &serde_json::json!({"a": [1]}), &evaluation);
    assert_eq!(
        decision.reasons.is_empty(),
        decision.verdict == Verdict::Allow
    );
    let options = TestOptions {
        deadline,
        ..TestOptions::at(Timestamp::from_seconds(0))
    };
    test(&set, &options);
}

/// Lets the starter policies decide over bytes as input: there is an answer, and a reason for no.
pub fn fuzz_input(data: &[u8]) {
    static STARTER: LazyLock<Option<PolicySet>> =
        LazyLock::new(|| PolicySet::load(starter::policies(), &PolicyLimits::default()).ok());
    let Some(set) = &*STARTER else { return };
    let Ok(input) = json::from_slice::<serde_json::Value>(data, &Limits::SMALL) else {
        return;
    };
    let evaluation = Evaluation::at(Timestamp::from_seconds(0));
    for query in [crate::GATE_PACKAGE, starter::REQUIRE_PACKAGE] {
        let decision = decide(set, &input, &evaluation.clone().asking(query));
        assert_eq!(
            decision.reasons.is_empty(),
            decision.verdict == Verdict::Allow
        );
    }
}
