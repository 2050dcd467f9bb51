# Digest sets: algorithm name to lower-case hex, as in in-toto.
package custos.lib.digests

import rego.v1

# Both name the same thing: they share a digest, and agree on every one that they share. A tree
# carries a digest of its contents and one that also binds the file names; agreeing on one only is
# a renamed file, not the same tree.
agree(a, b) if {
	is_object(a)
	is_object(b)
	some name, hex in a
	is_string(hex)
	b[name] == hex
	not disagree(a, b)
}

disagree(a, b) if {
	some name, hex in a
	other := b[name]
	other != hex
}
