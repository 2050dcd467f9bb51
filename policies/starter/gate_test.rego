# Each rule of the gate with a case that passes, one that is denied, and one in which the evidence
# is missing. Each case is the good input with one change.
package custos.gate_test

import rego.v1

import data.custos.gate

# --- The good input -------------------------------------------------------------------------

# A SHA-256 that begins with these four digits.
hex(digits) := concat("", [digits, "000000000000000000000000000000000000000000000000000000000000"])

signer(name) := {"name": name, "identity": {"kind": "key", "id": "ab12"}}

known(value) := {"state": "known", "at": 20, "value": value}

image := {"sha256": hex("aa01")}

features := {"sha256": hex("bb02")}

weights := {"sha256": hex("cc03")}

package_ := {"sha256": hex("dd04"), "dirHash": hex("dd05")}

good := {
	"request": {"action": "gate"},
	"verification": {"artifactSignature": {
		"present": true,
		"valid": true,
		"signer": signer("packager"),
		"differences": [],
	}},
	"custos": {
		"schema": "custos.facts/1",
		"artifact": {"name": "model", "digest": package_},
		"at": 20,
		"statements": known([{
			"predicateType": "https://slsa.dev/provenance/v1",
			"subjectNames": ["weights"],
			"signer": signer("trainer"),
			"logIndex": 3,
			"statementDigest": "sha256:e1",
			"bundleDigest": "sha256:e2",
		}]),
		"lineage": known({
			"complete": true,
			"steps": [
				{
					"name": "train",
					"signer": signer("trainer"),
					"logIndex": 3,
					"statementDigest": "sha256:e1",
					"isolation": "namespaces",
					"inputs": [{"name": "images", "digest": image, "producedBy": null}],
					"outputs": [{"name": "weights", "digest": weights}],
					"exitStatus": 0,
				},
				{
					"name": "package",
					"signer": signer("packager"),
					"logIndex": 9,
					"statementDigest": "sha256:e3",
					"isolation": "namespaces",
					"inputs": [{"name": "weights", "digest": weights, "producedBy": "train"}],
					"outputs": [{"name": "model", "digest": package_}],
					"exitStatus": 0,
				},
			],
			"sources": [{
				"name": "images",
				"digest": image,
				"dataset": {"known": true, "name": "images", "version": "1", "logIndex": 1},
			}],
			"breaks": [],
		}),
		"layout": known({
			"name": "pipeline",
			"digest": "sha256:f1",
			"signedBy": signer("owner"),
			"satisfied": true,
			"violations": [],
		}),
		"evaluation": known({"results": [{
			"metric": "accuracy",
			"value": 0.91,
			"n": 400,
			"threshold": 0.9,
			"direction": "higher-is-better",
			"planLogIndex": 2,
			"evaluationLogIndex": 6,
			"planSigner": signer("owner"),
			"evaluationSigner": signer("evaluator"),
			"passed": true,
			"modelDigest": weights,
		}]}),
		"scan": {"state": "unknown", "reason": "not scanned"},
		"rejected": [],
	},
}

changed(path, value) := json.patch(good, [{"op": "replace", "path": path, "value": value}])

without(path) := json.patch(good, [{"op": "remove", "path": path}])

added(path, value) := json.patch(good, [{"op": "add", "path": path, "value": value}])

codes contains code if {
	some reason in gate.deny
	code := reason.code
}

first_step := "/custos/lineage/value/steps/0"

first_result := "/custos/evaluation/value/results/0"

# --- Allow ----------------------------------------------------------------------------------

test_good_input_is_allowed if {
	gate.allow with input as good
	count(gate.deny) == 0 with input as good
	count(gate.warn) == 0 with input as good
}

test_nothing_is_denied if not gate.allow with input as {}

test_empty_input_has_reasons if count(gate.deny) > 0 with input as {}

# Wherever a part of the evidence is taken away, nothing passes.
test_no_evidence_can_be_left_out if {
	every path in [
		"/request", "/request/action", "/verification", "/verification/artifactSignature",
		"/verification/artifactSignature/present", "/verification/artifactSignature/valid",
		"/verification/artifactSignature/signer", "/verification/artifactSignature/signer/name",
		"/verification/artifactSignature/signer/identity",
		"/verification/artifactSignature/differences",
		"/custos", "/custos/schema", "/custos/artifact", "/custos/artifact/digest",
		"/custos/statements", "/custos/lineage", "/custos/layout", "/custos/evaluation",
		"/custos/statements/state", "/custos/lineage/state", "/custos/layout/state",
		"/custos/evaluation/state", "/custos/lineage/at", "/custos/lineage/value",
		"/custos/lineage/value/complete", "/custos/lineage/value/steps",
		"/custos/lineage/value/steps/0/signer", "/custos/lineage/value/steps/0/signer/name",
		"/custos/lineage/value/steps/0/logIndex", "/custos/lineage/value/steps/0/exitStatus",
		"/custos/lineage/value/steps/1", "/custos/lineage/value/steps/1/outputs",
		"/custos/lineage/value/sources", "/custos/lineage/value/sources/0",
		"/custos/lineage/value/sources/0/dataset",
		"/custos/lineage/value/sources/0/dataset/known",
		"/custos/lineage/value/sources/0/dataset/logIndex", "/custos/lineage/value/breaks",
		"/custos/layout/value", "/custos/layout/value/signedBy", "/custos/layout/value/satisfied",
		"/custos/layout/value/violations", "/custos/evaluation/value",
		"/custos/evaluation/value/results", "/custos/evaluation/value/results/0",
		"/custos/evaluation/value/results/0/metric", "/custos/evaluation/value/results/0/value",
		"/custos/evaluation/value/results/0/threshold",
		"/custos/evaluation/value/results/0/direction",
		"/custos/evaluation/value/results/0/planLogIndex",
		"/custos/evaluation/value/results/0/evaluationLogIndex",
		"/custos/evaluation/value/results/0/planSigner",
		"/custos/evaluation/value/results/0/evaluationSigner",
		"/custos/evaluation/value/results/0/passed",
		"/custos/evaluation/value/results/0/modelDigest",
	] {
		stopped(without(path), path)
	}
}

# The name of a metric is for people unless a floor asks for it.
stopped(_, "/custos/evaluation/value/results/0/metric") := true

stopped(document, _) if not gate.allow with input as document

# --- Request --------------------------------------------------------------------------------

test_another_action_is_denied if {
	"request-not-understood" in codes with input as changed("/request/action", "run-input")
}

# --- Sections -------------------------------------------------------------------------------

test_unknown_section_is_denied if {
	bad := changed("/custos/layout", {"state": "unknown", "reason": "no layout"})
	"evidence-missing" in codes with input as bad
}

test_incomplete_section_is_denied if {
	value := good.custos.lineage.value
	section := {"state": "incomplete", "at": 20, "value": value, "missing": ["a bundle"]}
	bad := changed("/custos/lineage", section)
	"evidence-missing" in codes with input as bad
}

test_stale_section_is_denied if {
	value := good.custos.lineage.value
	bad := changed("/custos/lineage", {"state": "stale", "at": 20, "value": value, "since": 21})
	"evidence-missing" in codes with input as bad
}

test_another_schema_is_denied if {
	bad := changed("/custos/schema", "custos.facts/2")
	"evidence-missing" in codes with input as bad
}

# --- Artifact -------------------------------------------------------------------------------

test_unsigned_artifact_is_denied if {
	bad := changed("/verification/artifactSignature/present", false)
	"artifact-unsigned" in codes with input as bad
}

test_missing_verification_is_denied if {
	"artifact-unsigned" in codes with input as without("/verification")
}

test_invalid_signature_is_denied if {
	bad := changed("/verification/artifactSignature/valid", false)
	"artifact-signature-invalid" in codes with input as bad
}

test_modified_artifact_is_denied if {
	bad := changed("/verification/artifactSignature/differences", ["weights: content differs"])
	"artifact-modified" in codes with input as bad
}

test_unexpected_artifact_signer_is_denied if {
	bad := changed("/verification/artifactSignature/signer", null)
	"artifact-signature-invalid" in codes with input as bad
}

# --- Steps ----------------------------------------------------------------------------------

test_artifact_that_no_step_made_is_denied if {
	"step-missing" in codes with input as changed("/custos/artifact/digest", {"sha256": hex("ff00")})
}

test_renamed_tree_is_denied if {
	bad := changed("/custos/artifact/digest", {"sha256": hex("dd04"), "dirHash": hex("ee00")})
	"step-missing" in codes with input as bad
}

test_step_without_expected_signer_is_denied if {
	bad := changed(concat("", [first_step, "/signer"]), {"name": "", "identity": {}})
	"step-signer-unexpected" in codes with input as bad
}

test_step_without_signer_is_denied if {
	"step-signer-unexpected" in codes with input as without(concat("", [first_step, "/signer"]))
}

test_step_outside_the_log_is_denied if {
	"step-not-logged" in codes with input as changed(concat("", [first_step, "/logIndex"]), null)
}

test_step_without_log_index_is_denied if {
	"step-not-logged" in codes with input as without(concat("", [first_step, "/logIndex"]))
}

test_failed_step_is_denied if {
	"step-failed" in codes with input as changed(concat("", [first_step, "/exitStatus"]), 1)
}

test_step_without_exit_status_is_denied if {
	"step-failed" in codes with input as changed(concat("", [first_step, "/exitStatus"]), null)
}

# --- Chain ----------------------------------------------------------------------------------

test_broken_chain_is_denied if {
	break_ := {"kind": "productChanged", "message": "images changed", "digest": {"sha256": hex("0000")}}
	"chain-broken" in codes with input as changed("/custos/lineage/value/breaks", [break_])
}

test_incomplete_chain_is_denied if {
	"chain-broken" in codes with input as changed("/custos/lineage/value/complete", false)
}

test_chain_without_sources_is_denied if {
	"chain-broken" in codes with input as changed("/custos/lineage/value/sources", [])
}

test_unknown_source_is_denied if {
	bad := changed("/custos/lineage/value/sources/0/dataset", null)
	"source-unknown" in codes with input as bad
}

test_source_without_dataset_is_denied if {
	"source-unknown" in codes with input as without("/custos/lineage/value/sources/0/dataset")
}

# --- Layout ---------------------------------------------------------------------------------

test_unsigned_layout_is_denied if {
	"layout-unsigned" in codes with input as changed("/custos/layout/value/signedBy", null)
}

test_layout_without_signer_is_denied if {
	"layout-unsigned" in codes with input as without("/custos/layout/value/signedBy")
}

test_foreign_step_is_denied_by_its_name if {
	violation := {"code": "foreign-step", "step": "poison", "message": "`poison` is not declared"}
	bad := changed("/custos/layout/value/violations", [violation])
	some reason in gate.deny with input as bad
	reason.code == "foreign-step"
	reason.step == "poison"
}

test_layout_not_followed_is_denied if {
	"layout-violated" in codes with input as changed("/custos/layout/value/satisfied", false)
}

test_layout_that_does_not_say_is_denied if {
	"layout-violated" in codes with input as without("/custos/layout/value/satisfied")
}

# --- Evaluation -----------------------------------------------------------------------------

test_no_evaluation_is_denied if {
	"evaluation-missing" in codes with input as changed("/custos/evaluation/value/results", [])
}

test_evaluation_without_results_is_denied if {
	"evaluation-missing" in codes with input as without("/custos/evaluation/value/results")
}

test_plan_after_the_result_is_denied if {
	bad := changed(concat("", [first_result, "/planLogIndex"]), 7)
	"evaluation-unplanned" in codes with input as bad
}

test_evaluation_without_plan_is_denied if {
	bad := changed(concat("", [first_result, "/planLogIndex"]), null)
	"evaluation-unplanned" in codes with input as bad
}

test_value_below_threshold_is_denied if {
	bad := changed(concat("", [first_result, "/value"]), 0.5)
	"evaluation-failed" in codes with input as bad
}

test_text_is_not_a_large_number if {
	bad := changed(concat("", [first_result, "/value"]), "1.0")
	"evaluation-failed" in codes with input as bad
}

test_evaluation_without_threshold_is_denied if {
	bad := changed(concat("", [first_result, "/threshold"]), null)
	"evaluation-failed" in codes with input as bad
}

test_a_metric_beyond_the_plan_is_information if {
	extra := {
		"metric": "recall",
		"value": 0.1,
		"n": 10,
		"threshold": null,
		"direction": null,
		"planLogIndex": null,
		"planSigner": null,
		"evaluationLogIndex": first_evaluation_index,
		"evaluationSigner": null,
		"passed": false,
		"modelDigest": package_,
	}
	gate.allow with input as added("/custos/evaluation/value/results/-", extra)
	alone := changed("/custos/evaluation/value/results", [extra])
	"evaluation-unplanned" in codes with input as alone
	not gate.allow with input as alone
}

first_evaluation_index := good.custos.evaluation.value.results[0].evaluationLogIndex

test_lower_is_better_where_the_plan_says_so if {
	gate.meets("lower-is-better", 0.1, 0.2)
	not gate.meets("lower-is-better", 0.3, 0.2)
	not gate.meets("higher-is-better", 0.1, 0.2)
	not gate.meets("sideways", 0.3, 0.2)
}

test_lower_is_better_is_not_assumed if {
	bad := changed(concat("", [first_result, "/direction"]), "lower-is-better")
	"evaluation-failed" in codes with input as bad
}

test_unexpected_evaluator_is_denied if {
	bad := changed(concat("", [first_result, "/evaluationSigner"]), null)
	"evaluation-signer-unexpected" in codes with input as bad
}

test_plan_without_signer_is_denied if {
	bad := without(concat("", [first_result, "/planSigner"]))
	"evaluation-signer-unexpected" in codes with input as bad
}

test_evaluation_of_another_model_is_denied if {
	bad := changed(concat("", [first_result, "/modelDigest"]), {"sha256": hex("9900")})
	"evaluation-of-another-model" in codes with input as bad
}

test_evaluation_without_model_is_denied if {
	bad := without(concat("", [first_result, "/modelDigest"]))
	"evaluation-of-another-model" in codes with input as bad
}

test_weak_digest_makes_no_two_models_one if {
	every digest in [{"sha1": "cc03"}, {"sha256": "cc"}, {}] {
		same := json.patch(good, [
			{"op": "replace", "path": concat("", [first_result, "/modelDigest"]), "value": digest},
			{"op": "replace", "path": concat("", [first_step, "/outputs/0/digest"]), "value": digest},
		])
		"evaluation-of-another-model" in codes with input as same
	}
}

test_evaluation_of_the_package_is_allowed if {
	gate.allow with input as changed(concat("", [first_result, "/modelDigest"]), package_)
}

test_floor_that_is_met_is_allowed if {
	gate.allow with input as good with data.custos.gate.floors as {"accuracy": 0.8}
}

test_value_below_the_floor_is_denied if {
	floors := {"accuracy": 0.95}
	"evaluation-below-floor" in codes with input as good with data.custos.gate.floors as floors
	not gate.allow with input as good with data.custos.gate.floors as floors
}

test_good_result_hides_no_bad_one if {
	worse := json.patch(good.custos.evaluation.value.results[0], [
		{"op": "replace", "path": "/value", "value": 0.905},
		{"op": "replace", "path": "/evaluationLogIndex", "value": 7},
	])
	both := added("/custos/evaluation/value/results/-", worse)
	gate.allow with input as both
	floors := {"accuracy": 0.91}
	"evaluation-below-floor" in codes with input as both with data.custos.gate.floors as floors
	not gate.allow with input as both with data.custos.gate.floors as floors
}

test_evaluator_by_name if {
	gate.allow with input as good with data.custos.gate.evaluators as {"evaluator"}
	not gate.allow with input as good with data.custos.gate.evaluators as {"trainer"}
	found := codes with input as good with data.custos.gate.evaluators as {"trainer"}
	"evaluation-signer-unexpected" in found
}

test_planner_by_name if {
	gate.allow with input as good with data.custos.gate.planners as {"owner"}
	not gate.allow with input as good with data.custos.gate.planners as {"evaluator"}
}

test_metric_that_was_not_measured_is_denied if {
	floors := {"fairness": 0.1}
	"evaluation-below-floor" in codes with input as good with data.custos.gate.floors as floors
}

# --- Warnings -------------------------------------------------------------------------------

test_missing_isolation_is_a_warning if {
	none := changed(concat("", [first_step, "/isolation"]), "none")
	gate.allow with input as none
	some reason in gate.warn with input as none
	reason.code == "isolation-none"
}

test_isolation_that_is_not_said_is_a_warning if {
	some reason in gate.warn with input as without(concat("", [first_step, "/isolation"]))
	reason.code == "isolation-none"
}

test_evaluation_by_the_maker_is_a_warning if {
	own := changed(concat("", [first_result, "/evaluationSigner"]), signer("trainer"))
	gate.allow with input as own
	some reason in gate.warn with input as own
	reason.code == "evaluation-by-maker"
}

# The weights were evaluated, then tuned, and only then packaged.
test_evaluation_of_what_came_long_before_is_a_warning if {
	tuned := {"name": "weights", "digest": {"sha256": hex("ab09")}, "producedBy": "tune"}
	tune := json.patch(good.custos.lineage.value.steps[0], [
		{"op": "replace", "path": "/name", "value": "tune"},
		{"op": "replace", "path": "/inputs/0/digest", "value": weights},
		{"op": "replace", "path": "/outputs/0/digest", "value": tuned.digest},
	])
	later := json.patch(good, [
		{"op": "replace", "path": "/custos/lineage/value/steps/1/inputs/0", "value": tuned},
		{"op": "add", "path": "/custos/lineage/value/steps/-", "value": tune},
	])
	gate.allow with input as later
	some reason in gate.warn with input as later
	reason.code == "evaluation-of-ancestor"
}

test_pending_statement_is_a_denial if {
	pending := {"signer": signer("trainer"), "logBy": "2026-11-24T12:00:00Z", "bundleDigest": "sha256:88"}
	with_pending := added("/custos/pending", [pending])
	not gate.allow with input as with_pending
	some reason in gate.deny with input as with_pending
	reason.code == "statement-pending"
	contains(reason.msg, "trainer")
}

test_nothing_pending_is_no_denial if {
	gate.allow with input as added("/custos/pending", [])
}

test_rejected_statement_is_a_warning if {
	rejected := {"bundleDigest": "sha256:77", "code": "signer-not-expected", "message": "who?"}
	with_rejected := added("/custos/rejected/-", rejected)
	gate.allow with input as with_rejected
	some reason in gate.warn with input as with_rejected
	reason.code == "statement-rejected"
}
