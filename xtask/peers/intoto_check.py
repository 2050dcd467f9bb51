"""Checks bundles with the in-toto libraries: the DSSE signature with securesystemslib, the
statement and the predicates it has types for with in-toto-attestation.
Usage: intoto_check.py PUBLIC.pem BUNDLE...

Prints one JSON list; each bundle gives {"predicate_type", "subjects", "typed", "predicate"} or
{"error"}."""

import json
import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.scai.v0 import scai_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATES = {
    "https://slsa.dev/provenance/v1": provenance_pb2.Provenance,
    "https://slsa.dev/verification_summary/v1": vsa_pb2.VerificationSummary,
    "https://in-toto.io/attestation/test-result/v0.1": test_result_pb2.TestResult,
    "https://in-toto.io/attestation/scai/v0.3": scai_pb2.AttributeReport,
}


def readable(typed, predicate):
    """The predicate as this release of the library can read it. Up to 0.9.3 it takes the list
    `verifiedLevels` of a summary for a single text (mended in the sources of 1.2.0): then each
    level is read by itself, and everything else every time."""
    field = typed.DESCRIPTOR.fields_by_name.get("verified_levels")
    if field is None or field.is_repeated:
        return [predicate]
    return [{**predicate, "verifiedLevels": level} for level in predicate["verifiedLevels"]]


def check(public, path):
    bundle = json.loads(path.read_text())
    envelope = bundle["dsseEnvelope"]
    # The library selects keys by the identifier, which DSSE makes a mere hint.
    for signature in envelope["signatures"]:
        signature["keyid"] = "expected"
    envelope = Envelope.from_dict(envelope)
    envelope.verify([SSlibKey.from_crypto(public, keyid="expected")], 1)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ValueError(f"payload type {envelope.payload_type}")
    message = json_format.Parse(envelope.payload, statement_pb2.Statement())
    statement = Statement.copy_from_pb(message)
    statement.validate()
    predicate = json.loads(envelope.payload)["predicate"]
    typed = PREDICATES.get(message.predicate_type)
    if typed is not None:
        # Strict: a field that the schema does not have is an error.
        for one in readable(typed, predicate):
            json_format.ParseDict(one, typed())
    return {
        "predicate_type": message.predicate_type,
        "subjects": [
            {"name": one.name, "digest": dict(one.digest)} for one in message.subject
        ],
        "typed": typed is not None,
        "predicate": predicate,
    }


def main(key, paths):
    public = serialization.load_pem_public_key(pathlib.Path(key).read_bytes())
    results = []
    for path in paths:
        try:
            results.append(check(public, pathlib.Path(path)))
        except Exception as error:  # whatever the libraries raise is their answer
            results.append({"error": f"{type(error).__name__}: {error}"[:400]})
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
