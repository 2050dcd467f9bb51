# May a step read this input? Asked by `custos run --require` for each input before the step runs.
#
# It may if its digest is the one that the facts are about, a verified chain leads to it from known
# datasets, every step on the way was signed by somebody expected, and nothing has tainted it.
package custos.require

import rego.v1

import data.custos.lib.digests
import data.custos.lib.facts

required_sections := {"statements", "lineage"}

lineage := facts.value("lineage")

deny contains {
	"code": "request-not-understood",
	"msg": "the request is not to read an input",
} if {
	not reading
}

reading if {
	input.request.action == "run-input"
	is_object(input.request.input)
}

requested := object.get(input, ["request", "input"], {})

name := object.get(input, ["request", "input", "name"], "?")

deny contains facts.missing(section) if {
	some section in required_sections
	not facts.known(section)
}

deny contains {
	"code": "input-changed",
	"msg": sprintf("`%v` is not the artifact that the facts are about", [name]),
	"evidence": [requested],
} if {
	not same_artifact
}

same_artifact if digests.agree(input.request.input.digest, input.custos.artifact.digest)

deny contains {
	"code": "input-unattested",
	"msg": sprintf("nobody expected has attested `%v`", [name]),
	"evidence": [requested],
} if {
	not attested
}

attested if {
	some statement in facts.value("statements")
	facts.signed_by(statement.signer)
	facts.logged(statement.logIndex)
}

deny contains {
	"code": "input-chain-broken",
	"msg": sprintf("the chain to `%v` is broken (%v): %v", [
		name,
		object.get(break_, "kind", "?"),
		object.get(break_, "message", "no message"),
	]),
	"evidence": facts.evidence(break_),
} if {
	some break_ in lineage.breaks
}

deny contains {
	"code": "input-chain-broken",
	"msg": sprintf("no chain leads from known datasets to `%v`", [name]),
	"evidence": [requested],
} if {
	facts.known("lineage")
	not chain_complete
	count(object.get(lineage, "breaks", [])) == 0
}

# A dataset is a chain of its own: no step, and itself the source.
chain_complete if {
	lineage.complete == true
	count(lineage.breaks) == 0
	count(lineage.sources) > 0
	every source in lineage.sources {
		source.dataset.known == true
		facts.logged(source.dataset.logIndex)
	}
	is_array(lineage.steps)
	every step in lineage.steps {
		facts.signed_by(step.signer)
		facts.logged(step.logIndex)
		step.exitStatus == 0
	}
}

deny contains {
	"code": "input-tainted",
	"msg": sprintf("`%v` is tainted: %v", [name, taint]),
	"evidence": [requested],
} if {
	some taint in object.get(input, ["request", "input", "taints"], [])
}

warn contains {
	"code": "isolation-none",
	"msg": sprintf("step `%v` ran without isolation", [object.get(step, "name", "?")]),
	"evidence": facts.evidence(step),
} if {
	some step in lineage.steps
	object.get(step, "isolation", "unknown") in {"none", "unknown"}
}

default allow := false

allow if {
	count(deny) == 0
	reading
	every section in required_sections {
		facts.known(section)
	}
	same_artifact
	attested
	chain_complete
	count(object.get(input, ["request", "input", "taints"], [])) == 0
}
