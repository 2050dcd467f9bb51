"""Reads and writes cosign's encrypted key files with libraries other than those of Custos.
Usage: cosign_key.py decrypt KEY PASSWORD-FILE      prints the public key, PEM
       cosign_key.py encrypt CURVE PASSWORD-FILE KEY PUBLIC

The format: PEM of a JSON object that names scrypt (its N, r, p and salt) and nacl/secretbox (its
nonce), around the PKCS#8 DER of the key."""

import base64
import json
import os
import pathlib
import sys

import nacl.secret
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
KINDS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def password(path):
    return pathlib.Path(path).read_text().split("\n")[0].encode()


def box(secret, salt, params):
    kdf = Scrypt(salt=salt, length=32, n=params["N"], r=params["r"], p=params["p"])
    return nacl.secret.SecretBox(kdf.derive(secret))


def decrypt(path, secret):
    lines = pathlib.Path(path).read_text().strip().split("\n")
    assert lines[0] == f"-----BEGIN {LABEL}-----", lines[0]
    assert lines[-1] == f"-----END {LABEL}-----", lines[-1]
    data = json.loads(base64.b64decode("".join(lines[1:-1])))
    assert data["kdf"]["name"] == "scrypt", data["kdf"]
    assert data["cipher"]["name"] == "nacl/secretbox", data["cipher"]
    nonce = base64.b64decode(data["cipher"]["nonce"])
    key = box(secret, base64.b64decode(data["kdf"]["salt"]), data["kdf"]["params"])
    return key.decrypt(base64.b64decode(data["ciphertext"]), nonce)


def encrypt(der, secret):
    params = {"N": 65536, "r": 8, "p": 1}
    salt, nonce = os.urandom(32), os.urandom(24)
    sealed = box(secret, salt, params).encrypt(der, nonce).ciphertext
    text = lambda data: base64.b64encode(data).decode()
    data = {
        "kdf": {"name": "scrypt", "params": params, "salt": text(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": text(nonce)},
        "ciphertext": text(sealed),
    }
    body = text(json.dumps(data).encode())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {LABEL}-----", *lines, f"-----END {LABEL}-----", ""])


def main(words):
    pkcs8 = (
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    spki = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if words[0] == "decrypt":
        key = serialization.load_der_private_key(decrypt(words[1], password(words[2])), None)
        sys.stdout.write(key.public_key().public_bytes(*spki).decode())
    else:
        kind, secret, path, public = words[1:]
        key = KINDS[kind]()
        text = encrypt(key.private_bytes(*pkcs8), password(secret))
        pathlib.Path(path).write_text(text)
        pathlib.Path(public).write_bytes(key.public_key().public_bytes(*spki))


if __name__ == "__main__":
    main(sys.argv[1:])
