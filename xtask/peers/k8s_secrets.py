"""A cluster for tests, as far as keys in Secrets need one.
Usage: k8s_secrets.py pki FOLDER PORT         certificates, a token, a kubeconfig
       k8s_secrets.py serve FOLDER PORT       the routes of Secrets, for that token
       k8s_secrets.py password FOLDER NAME    prints the password of a Secret"""

import base64
import datetime
import http.server
import ipaddress
import json
import pathlib
import secrets
import ssl
import sys
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMESPACE = "default"
PLAIN = (
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def pki(folder, port):
    folder = pathlib.Path(folder)
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)

    def certificate(subject, key, issuer_key, extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster")]))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - day).not_valid_after(now + day)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = certificate("cluster", ca, ca, [x509.BasicConstraints(ca=True, path_length=0)])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    (folder / "ca.pem").write_bytes(authority)
    (folder / "server.pem").write_bytes(certificate("server", server, ca, [address, purpose]))
    (folder / "server.key").write_bytes(server.private_bytes(*PLAIN))
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(accounts.private_bytes(*PLAIN))
    token = secrets.token_hex(16)
    (folder / "token").write_text(token)
    (folder / "tokens.csv").write_text(f"{token},admin,1,system:masters\n")
    (folder / "kubeconfig").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority-data": base64.b64encode(authority).decode(),
        }}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }))


def serve(folder, port):
    folder = pathlib.Path(folder)
    token = (folder / "token").read_text()
    held = {}
    base = f"/api/v1/namespaces/{NAMESPACE}/secrets"

    class Routes(http.server.BaseHTTPRequestHandler):
        def answer(self, code, value):
            body = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def status(self, code, reason):
            self.answer(code, {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": reason, "reason": reason, "code": code,
            })

        def admitted(self):
            return self.headers.get("Authorization") == f"Bearer {token}"

        def do_GET(self):
            path = self.path.split("?")[0]
            if path == "/version":
                return self.answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
            if not self.admitted():
                return self.status(401, "Unauthorized")
            secret = held.get(path.removeprefix(base + "/"))
            return self.answer(200, secret) if secret else self.status(404, "NotFound")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.headers["Content-Type"].startswith("application/json"):
                return self.status(415, "UnsupportedMediaType")
            body = json.loads(body)
            if not self.admitted():
                return self.status(401, "Unauthorized")
            name = body["metadata"]["name"]
            if self.path.split("?")[0] != base or name in held:
                return self.status(409, "AlreadyExists")
            body.update(kind="Secret", apiVersion="v1")
            body["metadata"].update(namespace=NAMESPACE, resourceVersion="1")
            held[name] = body
            return self.answer(201, body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Routes)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def password(folder, name):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "kubeconfig").read_text())
    url = f"{config['clusters'][0]['cluster']['server']}/api/v1/namespaces/{NAMESPACE}/secrets/{name}"
    request = urllib.request.Request(url, headers={
        "Authorization": f"Bearer {config['users'][0]['user']['token']}",
        "Accept": "application/json",
    })
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    # The test's own authority says nothing of its key's use.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with urllib.request.urlopen(request, context=context) as answer:
        secret = json.load(answer)
    print(base64.b64decode(secret["data"]["cosign.password"]).decode())


{"pki": pki, "serve": serve, "password": password}[sys.argv[1]](*sys.argv[2:])
