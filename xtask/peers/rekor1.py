"""A stand-in for version 1 of Rekor, as far as clients upload to it: one route, a log of one entry.

Its answers have what the real one's have: the entry in its canonical form, the promise to log it
(SignedEntryTimestamp), and a proof of inclusion with a checkpoint.

Arguments: a folder, where it writes its public key `rekor1.pub`, and the port.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FOLDER, PORT = pathlib.Path(sys.argv[1]), int(sys.argv[2])
KEY = ec.generate_private_key(ec.SECP256R1())


def public(encoding):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return KEY.public_key().public_bytes(encoding, kind)


LOG_ID = hashlib.sha256(public(serialization.Encoding.DER))


def canonical(value):
    """RFC 8785, for texts of ASCII and integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sign(data):
    return KEY.sign(data, ec.ECDSA(hashes.SHA256()))


def b64(data):
    return base64.b64encode(data).decode()


def sha256(data):
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def entry(proposed):
    """The entry as the log keeps it."""
    kept = {name: proposed[name] for name in ("apiVersion", "kind", "spec")}
    if proposed["kind"] == "dsse":
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        kept["spec"] = {
            "envelopeHash": sha256(content["envelope"].encode()),
            "payloadHash": sha256(base64.b64decode(envelope["payload"])),
            "signatures": [
                {"signature": signature["sig"], "verifier": verifier}
                for signature, verifier in zip(envelope["signatures"], content["verifiers"])
            ],
        }
    return canonical(kept)


def upload(proposed):
    body = entry(proposed)
    leaf = hashlib.sha256(b"\0" + body).digest()
    payload = {
        "body": b64(body),
        "integratedTime": int(time.time()),
        "logID": LOG_ID.hexdigest(),
        "logIndex": 0,
    }
    note = f"127.0.0.1 - 1\n1\n{b64(leaf)}\n"
    mark = b64(LOG_ID.digest()[:4] + sign(note.encode()))
    proof = {
        "hashes": [],
        "logIndex": 0,
        "rootHash": leaf.hex(),
        "treeSize": 1,
        "checkpoint": f"{note}\n\u2014 127.0.0.1 {mark}\n",
    }
    promise = b64(sign(canonical(payload)))
    seen = {"signedEntryTimestamp": promise, "inclusionProof": proof}
    return leaf.hex(), {**payload, "verification": seen}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        proposed = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, uploaded = upload(proposed)
        data = json.dumps({name: uploaded}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", name)
        self.send_header("Location", f"/api/v1/log/entries/{name}")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


(FOLDER / "rekor1.pub").write_bytes(public(serialization.Encoding.PEM))
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
