"""Verifies the DSSE signature of bundles as Ed25519ph (RFC 8032, section 5.1) with libsodium.
Usage: ed25519ph.py PUBLIC.pem BUNDLE. Exits with an error if it does not verify."""

import base64
import json
import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from nacl import bindings


def main(key, bundle):
    public = serialization.load_pem_public_key(pathlib.Path(key).read_bytes())
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    envelope = json.loads(pathlib.Path(bundle).read_text())["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, pae)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    if not bindings.crypto_sign_ed25519ph_final_verify(state, signature, raw):
        raise SystemExit("the signature does not verify")


if __name__ == "__main__":
    main(*sys.argv[1:])
