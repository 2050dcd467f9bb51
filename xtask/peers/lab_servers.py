"""Two small servers of the lab: an OIDC issuer, and a certificate log that Fulcio asks for SCTs.

The certificate log is a stand-in (no real one can be built offline from its module): it signs what
RFC 6962 says a log signs, and keeps nothing.

Arguments: the folder of lab_pki.py, and the port. Routes:
  /.well-known/openid-configuration, /keys    discovery and keys of the issuer
  /token?email=E[&aud=A][&life=SECONDS]       an ID token for anybody who asks
  /ct/v1/add-pre-chain                        the certificate log
"""

import base64
import hashlib
import http.server
import json
import pathlib
import struct
import sys
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

FOLDER, PORT = pathlib.Path(sys.argv[1]), int(sys.argv[2])
ISSUER = f"http://127.0.0.1:{PORT}"
POISON = bytes.fromhex("060a2b06010401d679020403")


def load(name):
    return serialization.load_pem_private_key((FOLDER / f"{name}.key").read_bytes(), None)


OIDC, CT = load("oidc"), load("ct")


def spki(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(query):
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": query.get("sub", ["lab"])[0],
        "aud": query.get("aud", ["sigstore"])[0],
        "iat": now,
        "nbf": now,
        "exp": now + int(query.get("life", ["600"])[0]),
        "email": query["email"][0],
        "email_verified": True,
    }
    head = {"alg": "RS256", "typ": "JWT", "kid": "lab"}
    text = ".".join(b64url(json.dumps(part).encode()) for part in (head, claims))
    signature = OIDC.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{b64url(signature)}"


def number(value):
    return b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def read(data, at=0):
    """Reads one DER element: tag, start of its content, its end."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[at : at + count], "big"), at + count
    return tag, at, at + length


def wrap(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def elements(data):
    at = 0
    while at < len(data):
        tag, start, end = read(data, at)
        yield tag, data[start:end], data[at:end]
        at = end


def without_poison(tbs):
    _, start, end = read(tbs)
    parts = []
    for tag, content, whole in elements(tbs[start:end]):
        if tag == 0xA3:
            _, inner, stop = read(content)
            kept = [one for _, body, one in elements(content[inner:stop]) if not body.startswith(POISON)]
            whole = wrap(0xA3, wrap(0x30, b"".join(kept)))
        parts.append(whole)
    return wrap(0x30, b"".join(parts))


def sct(chain):
    precert, issuer = (x509.load_der_x509_certificate(base64.b64decode(one)) for one in chain[:2])
    tbs = without_poison(precert.tbs_certificate_bytes)
    issuer_hash = hashlib.sha256(spki_of(issuer)).digest()
    millis = int(time.time() * 1000)
    signed = struct.pack(">BBQH", 0, 0, millis, 1) + issuer_hash
    signed += len(tbs).to_bytes(3, "big") + tbs + struct.pack(">H", 0)
    signature = CT.sign(signed, ec.ECDSA(hashes.SHA256()))
    return {
        "sct_version": 0,
        "id": base64.b64encode(hashlib.sha256(spki(CT)).digest()).decode(),
        "timestamp": millis,
        "extensions": "",
        "signature": base64.b64encode(
            bytes([4, 3]) + struct.pack(">H", len(signature)) + signature
        ).decode(),
    }


def spki_of(certificate):
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/.well-known/openid-configuration":
            self.answer(
                {
                    "issuer": ISSUER,
                    "jwks_uri": f"{ISSUER}/keys",
                    "authorization_endpoint": f"{ISSUER}/auth",
                    "token_endpoint": f"{ISSUER}/token",
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )
        elif url.path == "/keys":
            public = OIDC.public_key().public_numbers()
            key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "lab"}
            self.answer({"keys": [key | {"n": number(public.n), "e": number(public.e)}]})
        elif url.path == "/token":
            self.answer(token(query), "text/plain")
        else:
            self.send_error(404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/ct/v1/add-pre-chain":
            self.answer(sct(json.loads(body)["chain"]))
        else:
            self.send_error(404)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
