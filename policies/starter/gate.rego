# May this artifact be used?
#
# It may if its own signature holds, every step that made it was signed and logged by somebody
# expected, the chain leads unbroken from known datasets to it, the steps are those of the signed
# layout, and an evaluation that was planned before the result meets its threshold. Whatever is
# not known is a denial. policies/README.md gives the shape of the input.
package custos.gate

import rego.v1

import data.custos.lib.digests
import data.custos.lib.facts

# --- Settings: edit these -------------------------------------------------------------------

# Sections of the facts that must be known.
required_sections := {"statements", "lineage", "layout", "evaluation"}

# Metrics that must be evaluated, with the least value that is accepted whatever the plan says:
# {"accuracy": 0.8}. Each evaluation must also meet the threshold of its own plan.
floors := {}

# Who may plan an evaluation, and who may make it, by name in the settings; if nobody is named,
# whoever the layout allows.
planners := set()

evaluators := set()

# --- The request ----------------------------------------------------------------------------

deny contains {
	"code": "request-not-understood",
	"msg": "the request is not to gate an artifact",
} if {
	not gating
}

gating if input.request.action == "gate"

deny contains facts.missing(name) if {
	some name in required_sections
	not facts.known(name)
}

# --- The artifact itself --------------------------------------------------------------------

artifact := object.get(input, ["custos", "artifact"], {})

signature := object.get(input, ["verification", "artifactSignature"], {})

deny contains {"code": "artifact-unsigned", "msg": "the artifact carries no signature"} if {
	not signature.present == true
}

deny contains {
	"code": "artifact-signature-invalid",
	"msg": "the artifact's signature does not verify with an expected signer",
	"evidence": [artifact],
} if {
	signature.present == true
	not signature_holds
}

deny contains {
	"code": "artifact-modified",
	"msg": sprintf("the artifact is not what was signed: %v", [difference]),
	"evidence": [artifact],
} if {
	some difference in signature.differences
}

signature_holds if {
	signature.present == true
	signature.valid == true
	facts.signed_by(signature.signer)
	count(signature.differences) == 0
}

# --- Steps ----------------------------------------------------------------------------------

lineage := facts.value("lineage")

deny contains {"code": "step-missing", "msg": "no step is known that made the artifact"} if {
	facts.known("lineage")
	not artifact_produced
}

artifact_produced if {
	some step in lineage.steps
	some output in step.outputs
	digests.agree(output.digest, input.custos.artifact.digest)
}

deny contains {
	"code": "step-signer-unexpected",
	"msg": sprintf("step `%v` is not signed by an expected signer", [object.get(step, "name", "?")]),
	"evidence": facts.evidence(step),
} if {
	some step in lineage.steps
	not step_signed(step)
}

step_signed(step) if facts.signed_by(step.signer)

deny contains {
	"code": "step-not-logged",
	"msg": sprintf("step `%v` is not in the log", [object.get(step, "name", "?")]),
	"evidence": facts.evidence(step),
} if {
	some step in lineage.steps
	not step_logged(step)
}

step_logged(step) if facts.logged(step.logIndex)

deny contains {
	"code": "step-failed",
	"msg": sprintf("step `%v` did not end with exit status 0", [object.get(step, "name", "?")]),
	"evidence": facts.evidence(step),
} if {
	some step in lineage.steps
	not step_succeeded(step)
}

step_succeeded(step) if step.exitStatus == 0

steps_hold if {
	is_array(lineage.steps)
	count(lineage.steps) > 0
	every step in lineage.steps {
		step_signed(step)
		step_logged(step)
		step_succeeded(step)
	}
}

# --- The chain ------------------------------------------------------------------------------

deny contains {
	"code": "chain-broken",
	"msg": sprintf("the chain is broken (%v): %v", [
		object.get(break_, "kind", "?"),
		object.get(break_, "message", "no message"),
	]),
	"evidence": facts.evidence(break_),
} if {
	some break_ in lineage.breaks
}

deny contains {
	"code": "chain-broken",
	"msg": "the chain does not lead from known datasets to the artifact",
} if {
	facts.known("lineage")
	not chain_complete
	count(object.get(lineage, "breaks", [])) == 0
}

deny contains {
	"code": "source-unknown",
	"msg": sprintf("`%v` comes from no known dataset", [object.get(source, "name", "?")]),
	"evidence": facts.evidence(source),
} if {
	some source in lineage.sources
	not known_dataset(source)
}

known_dataset(source) if {
	source.dataset.known == true
	facts.logged(source.dataset.logIndex)
}

chain_complete if {
	lineage.complete == true
	count(lineage.breaks) == 0
	count(lineage.sources) > 0
	every source in lineage.sources {
		known_dataset(source)
	}
}

# --- The layout -----------------------------------------------------------------------------

layout := facts.value("layout")

deny contains {
	"code": "layout-unsigned",
	"msg": "the layout is not signed by an expected signer",
} if {
	facts.known("layout")
	not layout_signed
}

layout_signed if facts.signed_by(layout.signedBy)

deny contains {
	"code": object.get(violation, "code", "layout-violated"),
	"msg": object.get(violation, "message", "the steps do not follow the layout"),
	"step": object.get(violation, "step", null),
} if {
	some violation in layout.violations
}

deny contains {
	"code": "layout-violated",
	"msg": "the steps do not follow the layout",
} if {
	facts.known("layout")
	not layout_followed
	count(object.get(layout, "violations", [])) == 0
}

layout_followed if {
	layout.satisfied == true
	count(layout.violations) == 0
}

# --- Evaluation -----------------------------------------------------------------------------

evaluation := facts.value("evaluation")

deny contains {"code": "evaluation-missing", "msg": "no evaluation is known"} if {
	facts.known("evaluation")
	not evaluated
}

evaluated if count(judged) > 0

# What is measured beyond the plan is information. It stands for nothing by itself, so an
# evaluation without any planned metric is judged, and falls.
judged := [result |
	some result in evaluation.results
	not additional(result)
]

additional(result) if {
	result.threshold == null
	result.planLogIndex == null
	some planned in evaluation.results
	planned.evaluationLogIndex == result.evaluationLogIndex
	is_number(planned.threshold)
	is_number(planned.planLogIndex)
}

deny contains {
	"code": "evaluation-signer-unexpected",
	"msg": sprintf("plan or result of `%v` is not signed by an expected signer", [metric(result)]),
	"evidence": result_evidence(result),
} if {
	some result in judged
	not result_signed(result)
}

result_signed(result) if {
	facts.signed_by(result.planSigner)
	facts.signed_by(result.evaluationSigner)
	may_sign(result.planSigner, planners)
	may_sign(result.evaluationSigner, evaluators)
}

may_sign(_, names) if count(names) == 0

may_sign(signer, names) if signer.name in names

deny contains {
	"code": "evaluation-unplanned",
	"msg": sprintf("no threshold for `%v` was logged before the result", [metric(result)]),
	"evidence": result_evidence(result),
} if {
	some result in judged
	not result_planned(result)
}

# "Before" is the order of one log, never a clock.
result_planned(result) if {
	facts.logged(result.planLogIndex)
	facts.logged(result.evaluationLogIndex)
	result.planLogIndex < result.evaluationLogIndex
}

deny contains {
	"code": "evaluation-failed",
	"msg": sprintf("`%v` is %v, the threshold is %v", [
		metric(result),
		object.get(result, "value", "unknown"),
		object.get(result, "threshold", "unknown"),
	]),
	"evidence": result_evidence(result),
} if {
	some result in judged
	not result_passed(result)
}

result_passed(result) if {
	result.passed == true
	meets(result.direction, result.value, result.threshold)
}

# Numbers only: in Rego every text is greater than any number.
meets("higher-is-better", value, threshold) if {
	is_number(value)
	is_number(threshold)
	value >= threshold
}

meets("lower-is-better", value, threshold) if {
	is_number(value)
	is_number(threshold)
	value <= threshold
}

deny contains {
	"code": "evaluation-of-another-model",
	"msg": sprintf("`%v` was measured on a model that is not part of this chain", [metric(result)]),
	"evidence": result_evidence(result),
} if {
	some result in judged
	not result_of_this_chain(result)
}

result_of_this_chain(result) if {
	digests.agree(result.modelDigest, input.custos.artifact.digest)
}

result_of_this_chain(result) if {
	some step in lineage.steps
	some output in step.outputs
	digests.agree(result.modelDigest, output.digest)
}

deny contains {
	"code": "evaluation-below-floor",
	"msg": sprintf("`%v` was not measured, or is below %v", [name, floor_]),
} if {
	some name, floor_ in floors
	not above_floor(name, floor_)
}

# Every result of that name counts: a good one hides no bad one.
above_floor(name, floor_) if {
	measured := [result |
		some result in judged
		result.metric == name
	]
	count(measured) > 0
	every result in measured {
		meets("higher-is-better", result.value, floor_)
	}
}

evaluation_holds if {
	evaluated
	every result in judged {
		result_signed(result)
		result_planned(result)
		result_passed(result)
		result_of_this_chain(result)
	}
	every name, floor_ in floors {
		above_floor(name, floor_)
	}
}

metric(result) := object.get(result, "metric", "?")

result_evidence(result) := [
	{"name": "plan", "logIndex": object.get(result, "planLogIndex", null)},
	{"name": "evaluation", "logIndex": object.get(result, "evaluationLogIndex", null)},
]

# --- Warnings -------------------------------------------------------------------------------

warn contains {
	"code": "isolation-none",
	"msg": sprintf("step `%v` ran without isolation: what it read is what it declared", [
		object.get(step, "name", "?"),
	]),
	"evidence": facts.evidence(step),
} if {
	some step in lineage.steps
	object.get(step, "isolation", "unknown") in {"none", "unknown"}
}

# Allowed, since small teams share hats, and shown, since nobody should judge their own work.
warn contains {
	"code": "evaluation-by-maker",
	"msg": sprintf("`%v` was measured by `%v`, who also made the model", [metric(result), name]),
	"evidence": result_evidence(result),
} if {
	some result in judged
	name := result.evaluationSigner.name
	some step in lineage.steps
	step.signer.name == name
	makes(step, result.modelDigest)
}

# The model may have been changed since. Which product is evaluated is for the layout to say.
warn contains {
	"code": "evaluation-of-ancestor",
	"msg": sprintf("`%v` was measured on what the artifact was made from, some steps ago", [metric(result)]),
	"evidence": result_evidence(result),
} if {
	some result in judged
	result_of_this_chain(result)
	not result_is_near(result)
}

result_is_near(result) if digests.agree(result.modelDigest, input.custos.artifact.digest)

result_is_near(result) if {
	some step in lineage.steps
	makes(step, input.custos.artifact.digest)
	some used in step.inputs
	digests.agree(result.modelDigest, used.digest)
}

makes(step, digest) if {
	some output in step.outputs
	digests.agree(output.digest, digest)
}

# What is signed and not in the log yet proves nothing that could not be taken back. Where it may
# run nevertheless, in a test environment say, this is the rule to change.
deny contains {
	"code": "statement-pending",
	"msg": sprintf("a statement by `%v` is signed and not in the log yet; it is to be there by %v", [
		object.get(pending, ["signer", "name"], "?"),
		object.get(pending, "logBy", "?"),
	]),
	"evidence": [object.get(pending, "bundleDigest", "?")],
} if {
	some pending in facts.document.pending
}

warn contains {
	"code": "statement-rejected",
	"msg": sprintf("a statement was found and did not verify (%v): %v", [
		object.get(rejected, "code", "?"),
		object.get(rejected, "message", "no message"),
	]),
	"evidence": [object.get(rejected, "bundleDigest", "?")],
} if {
	some rejected in facts.document.rejected
}

# --- The answer -----------------------------------------------------------------------------

# Said once more in the affirmative: a fact that is missing where no denial looks for it makes
# this undefined, and so false.
default allow := false

allow if {
	count(deny) == 0
	gating
	every name in required_sections {
		facts.known(name)
	}
	signature_holds
	artifact_produced
	steps_hold
	chain_complete
	layout_signed
	layout_followed
	evaluation_holds
}
