# Each rule of `require` with a case that passes, one that is denied, and one in which the evidence
# is missing.
package custos.require_test

import rego.v1

import data.custos.require

signer := {"name": "preparer", "identity": {"kind": "key", "id": "ab12"}}

# A SHA-256 that begins with these four digits.
hex(digits) := concat("", [digits, "000000000000000000000000000000000000000000000000000000000000"])

features := {"sha256": hex("bb02")}

good := {
	"request": {
		"action": "run-input",
		"input": {"name": "features", "digest": features, "taints": []},
	},
	"custos": {
		"schema": "custos.facts/1",
		"artifact": {"name": "features", "digest": features},
		"at": 8,
		"statements": {"state": "known", "at": 8, "value": [{
			"predicateType": "https://slsa.dev/provenance/v1",
			"subjectNames": ["features"],
			"signer": signer,
			"logIndex": 3,
			"statementDigest": "sha256:e1",
			"bundleDigest": "sha256:e2",
		}]},
		"lineage": {"state": "known", "at": 8, "value": {
			"complete": true,
			"steps": [{
				"name": "prepare",
				"signer": signer,
				"logIndex": 3,
				"statementDigest": "sha256:e1",
				"isolation": "namespaces",
				"inputs": [{"name": "images", "digest": {"sha256": hex("aa00")}, "producedBy": null}],
				"outputs": [{"name": "features", "digest": features}],
				"exitStatus": 0,
			}],
			"sources": [{
				"name": "images",
				"digest": {"sha256": hex("aa00")},
				"dataset": {"known": true, "name": "images", "version": null, "logIndex": 1},
			}],
			"breaks": [],
		}},
	},
}

changed(path, value) := json.patch(good, [{"op": "replace", "path": path, "value": value}])

without(path) := json.patch(good, [{"op": "remove", "path": path}])

codes contains code if {
	some reason in require.deny
	code := reason.code
}

test_good_input_is_allowed if {
	require.allow with input as good
	count(require.deny) == 0 with input as good
	count(require.warn) == 0 with input as good
}

test_dataset_itself_is_allowed if {
	require.allow with input as changed("/custos/lineage/value/steps", [])
}

test_nothing_is_denied if not require.allow with input as {}

test_no_evidence_can_be_left_out if {
	every path in [
		"/request", "/request/action", "/request/input", "/request/input/digest", "/custos",
		"/custos/schema", "/custos/artifact", "/custos/artifact/digest", "/custos/statements",
		"/custos/lineage", "/custos/statements/state", "/custos/lineage/state",
		"/custos/statements/value/0", "/custos/statements/value/0/signer",
		"/custos/statements/value/0/logIndex", "/custos/lineage/value/complete",
		"/custos/lineage/value/steps", "/custos/lineage/value/steps/0/signer",
		"/custos/lineage/value/steps/0/logIndex", "/custos/lineage/value/steps/0/exitStatus",
		"/custos/lineage/value/sources", "/custos/lineage/value/sources/0",
		"/custos/lineage/value/sources/0/dataset",
		"/custos/lineage/value/sources/0/dataset/known", "/custos/lineage/value/breaks",
	] {
		stopped(without(path))
	}
}

stopped(document) if not require.allow with input as document

test_another_action_is_denied if {
	"request-not-understood" in codes with input as changed("/request/action", "gate")
}

test_unknown_section_is_denied if {
	bad := changed("/custos/lineage", {"state": "unknown", "reason": "no bundle"})
	"evidence-missing" in codes with input as bad
}

test_changed_input_is_denied if {
	"input-changed" in codes with input as changed("/request/input/digest", {"sha256": hex("0000")})
}

test_input_without_digest_is_denied if {
	"input-changed" in codes with input as without("/request/input/digest")
}

test_unattested_input_is_denied if {
	"input-unattested" in codes with input as changed("/custos/statements/value", [])
}

test_unexpected_signer_is_denied if {
	bad := changed("/custos/statements/value/0/signer", {"name": "", "identity": {}})
	"input-unattested" in codes with input as bad
}

test_broken_chain_is_denied if {
	break_ := {"kind": "productChanged", "message": "swapped", "digest": {"sha256": hex("0000")}}
	"input-chain-broken" in codes with input as changed("/custos/lineage/value/breaks", [break_])
}

test_incomplete_chain_is_denied if {
	"input-chain-broken" in codes with input as changed("/custos/lineage/value/complete", false)
}

test_dataset_that_is_not_logged_is_denied if {
	bad := changed("/custos/lineage/value/sources/0/dataset/logIndex", null)
	"input-chain-broken" in codes with input as bad
	not require.allow with input as bad
}

test_failed_step_is_denied if {
	bad := changed("/custos/lineage/value/steps/0/exitStatus", 1)
	"input-chain-broken" in codes with input as bad
}

test_tainted_input_is_denied if {
	bad := changed("/request/input/taints", ["its signing key was revoked at log index 7"])
	"input-tainted" in codes with input as bad
	not require.allow with input as bad
}

test_missing_isolation_is_a_warning if {
	none := changed("/custos/lineage/value/steps/0/isolation", "none")
	require.allow with input as none
	some reason in require.warn with input as none
	reason.code == "isolation-none"
}
