# The facts document `custos.facts/1` in `input.custos`. Each section of it is known, unknown,
# incomplete or stale; whoever asks through these helpers gets nothing from a section that is not
# known, and a denial to go with it.
package custos.lib.facts

import rego.v1

schema := "custos.facts/1"

# The document, if it is one that these helpers understand.
document := input.custos if input.custos.schema == schema

absent := {"state": "unknown", "reason": "absent"}

default section(_) := {"state": "unknown", "reason": "no facts of schema custos.facts/1"}

section(name) := object.get(document, name, absent)

# Everything about the section was looked at.
known(name) if {
	found := section(name)
	found.state == "known"
	is_number(found.at)
}

# The facts of a known section; undefined for any other.
value(name) := found.value if {
	found := section(name)
	found.state == "known"
	is_number(found.at)
}

# The denial that goes with a section that is not known.
missing(name) := {
	"code": "evidence-missing",
	"msg": sprintf("%s: %s", [name, why(section(name))]),
	"section": name,
}

default why(_) := "malformed"

why(found) := sprintf("unknown, %s", [object.get(found, "reason", "no reason given")]) if {
	found.state == "unknown"
}

why(found) := sprintf("incomplete, %s", [concat("; ", object.get(found, "missing", []))]) if {
	found.state == "incomplete"
}

why(found) := sprintf("stale since log index %v", [object.get(found, "since", "?")]) if {
	found.state == "stale"
}

# A verified signer: somebody expected, by name.
signed_by(signer) if {
	is_object(signer)
	is_string(signer.name)
	count(signer.name) > 0
	is_object(signer.identity)
}

# A place in the log.
logged(index) if {
	is_number(index)
	index >= 0
}

# What a reason rests on.
evidence(thing) := [{
	"name": object.get(thing, "name", null),
	"logIndex": object.get(thing, "logIndex", null),
	"digest": object.get(thing, "statementDigest", object.get(thing, "digest", null)),
}]
