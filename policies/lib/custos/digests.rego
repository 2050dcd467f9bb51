# Digest sets: algorithm name to lower-case hex, as in in-toto.
package custos.lib.digests

import rego.v1

# Digests of which nobody can make a second thing, with their lengths in hex. MD5, SHA-1 and
# made-up names tell things apart, but never make two things one.
binding := {
	"blake2b": {128},
	"blake3": {64},
	"dirHash": {64},
	"gitCommit": {40, 64},
	"sha256": {64},
	"sha384": {96},
	"sha512": {128},
}

# Both name the same thing: they share a binding digest, and agree on every one that they share. A
# tree carries a digest of its contents and one that also binds the file names; agreeing on one
# only is a renamed file, not the same tree.
agree(a, b) if {
	is_object(a)
	is_object(b)
	some name, lengths in binding
	hex := a[name]
	is_string(hex)
	count(hex) in lengths
	b[name] == hex
	not disagree(a, b)
}

disagree(a, b) if {
	some name, hex in a
	other := b[name]
	other != hex
}
