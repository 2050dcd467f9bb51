package custos.gate

import rego.v1

deny contains "not signed" if {
	not input.custos.statements
}

test_deny if count(deny) == 1 with input as {}
