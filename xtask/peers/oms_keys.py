"""Makes the keys and the certificates of the test: keys on three curves, a root, an
intermediate, and leaves with their chain. Usage: oms_keys.py FOLDER"""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CURVES = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
SIGNER = "signer@models.example"
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def write_key(folder, name, key):
    (folder / f"{name}.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / f"{name}.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def usage(*names):
    every = [
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ]
    return x509.KeyUsage(**{name: name in names for name in every})


def certificate(subject, key, issuer, issuer_key, *, ca=None, days=(-1, 30), names=(SIGNER,)):
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=ca is not None, path_length=ca), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if ca is not None:
        builder = builder.add_extension(usage("key_cert_sign", "crl_sign"), critical=True)
    else:
        builder = (
            builder.add_extension(usage("digital_signature"), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.RFC822Name(name) for name in names]),
                critical=False,
            )
        )
    return builder.sign(issuer_key, hashes.SHA256())


def write_certificate(folder, name, *certificates):
    (folder / f"{name}.pem").write_bytes(
        b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
    )


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, curve in CURVES.items():
        write_key(folder, name, ec.generate_private_key(curve()))
    write_key(folder, "other", ec.generate_private_key(ec.SECP256R1()))

    root_key = ec.generate_private_key(ec.SECP384R1())
    middle_key = ec.generate_private_key(ec.SECP256R1())
    stranger_key = ec.generate_private_key(ec.SECP256R1())
    # Long-lived, so that an expired leaf is judged for itself.
    old = {"days": (-400, 400)}
    root = certificate("Test Root", root_key, "Test Root", root_key, ca=1, **old)
    middle = certificate("Test Issuing", middle_key, "Test Root", root_key, ca=0, **old)
    stranger = certificate("Test Root", stranger_key, "Test Root", stranger_key, ca=1, **old)
    write_certificate(folder, "root", root)
    write_certificate(folder, "middle", middle)
    # What a verifier is given by its owner: the root, and the intermediate to build the path.
    write_certificate(folder, "chain", middle, root)
    write_certificate(folder, "stranger-root", stranger)
    for name, curve in CURVES.items():
        key = ec.generate_private_key(curve())
        write_key(folder, f"leaf-{name}-key", key)
        leaf = certificate(f"leaf {name}", key, "Test Issuing", middle_key)
        write_certificate(folder, f"leaf-{name}", leaf)
    key = ec.generate_private_key(ec.SECP256R1())
    write_key(folder, "leaf-expired-key", key)
    expired = certificate("leaf expired", key, "Test Issuing", middle_key, days=(-20, -10))
    write_certificate(folder, "leaf-expired", expired)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
