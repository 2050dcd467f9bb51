"""moto as a server of AWS KMS and S3 (a bucket with a few objects), on a free port of the loopback interface.

Writes one line of JSON once it listens: its URL and an access key. It checks the signature of
every request with botocore (moto's own option) and ends when its standard input does.

moto hashes what `Sign` is given even where `MessageType` says that it is a digest already. AWS
does not, so this hands the type on to the key.
"""

import json
import os
import sys
import threading

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.kms import utils as kms
from moto.kms.responses import KmsResponse
from moto.s3.models import s3_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

asked = threading.local()
sign_request = KmsResponse.sign
sign_message = {one: one.sign for one in (kms.ECDSAPrivateKey, kms.RSAPrivateKey)}
HASHES = {
    "RSASSA_PKCS1_V1_5_SHA_256": hashes.SHA256(),
    "ECDSA_SHA_256": hashes.SHA256(),
    "ECDSA_SHA_384": hashes.SHA384(),
    "ECDSA_SHA_512": hashes.SHA512(),
}


def sign_as_asked(self):
    asked.for_digest = self._get_param("MessageType") == "DIGEST"
    return sign_request(self)


def sign(self, message, signing_algorithm):
    if not asked.for_digest:
        return sign_message[type(self)](self, message, signing_algorithm)
    algorithm = utils.Prehashed(HASHES[signing_algorithm])
    if isinstance(self, kms.RSAPrivateKey):
        valid = kms.SigningAlgorithm.rsa_signing_algorithms()
        kms.validate_signing_algorithm(signing_algorithm, valid)
        return self.private_key.sign(message, padding.PKCS1v15(), algorithm)
    kms.validate_signing_algorithm(signing_algorithm, self.valid_signing_algorithms)
    return self.private_key.sign(message, ec.ECDSA(algorithm))


KmsResponse.sign = sign_as_asked
kms.ECDSAPrivateKey.sign = sign
kms.RSAPrivateKey.sign = sign


def access_key():
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    iam.create_user(region_name="us-east-1", user_name="custos")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
    ]}
    iam.put_user_policy("custos", "kms", json.dumps(policy))
    return iam.create_access_key("custos")


def bucket():
    s3 = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    s3.create_bucket("models", "us-east-1")
    s3.put_object("models", "m/a b+c.bin", bytes(range(251)) * 40000)
    # What the command line is to find: a bad pickle, a large file of tensors, and nothing.
    size = 20 << 20
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    tensors = len(header).to_bytes(8, "little") + header + bytes(size)
    s3.put_object("models", "cli/a b+\u00e9.pkl", b"cos\nsystem\n(S'id'\ntR.")
    s3.put_object("models", "cli/sub/large.safetensors", tensors)
    s3.put_object("models", "cli/sub/none", b"")


def main():
    key = access_key()
    bucket()
    server = make_server(
        "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({
        "url": f"http://127.0.0.1:{server.port}",
        "key": key.access_key_id,
        "secret": key.secret_access_key,
    }), flush=True)
    sys.stdin.read()


main()
