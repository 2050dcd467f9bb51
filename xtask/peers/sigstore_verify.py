"""Verifies bundles offline with the Python reference client of Sigstore.
Usage: sigstore_verify.py CASES.json

CASES.json is a list of objects with the paths "bundle", "artifact" and "trusted_root", and with
"identity" and "issuer". Prints one JSON list with "ok" or the error of each."""

import hashlib
import json
import pathlib
import sys

from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity


def check(case):
    root = TrustedRoot.from_file(case["trusted_root"])
    bundle = Bundle.from_json(pathlib.Path(case["bundle"]).read_bytes())
    policy = Identity(identity=case["identity"], issuer=case["issuer"])
    artifact = pathlib.Path(case["artifact"]).read_bytes()
    if bundle._inner.dsse_envelope is None:
        Verifier(trusted_root=root).verify_artifact(artifact, bundle, policy)
        return
    _, payload = Verifier(trusted_root=root).verify_dsse(bundle, policy)
    # The client leaves it to the caller to bind the statement to the artifact.
    digest = hashlib.sha256(artifact).hexdigest()
    subjects = json.loads(payload)["subject"]
    if not any(one["digest"].get("sha256") == digest for one in subjects):
        raise ValueError("the artifact is not a subject of the statement")


def main(path):
    results = []
    for case in json.loads(pathlib.Path(path).read_text()):
        try:
            check(case)
            results.append("ok")
        except Exception as error:  # whatever the client raises is its answer
            results.append(f"{type(error).__name__}: {error}"[:300])
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
