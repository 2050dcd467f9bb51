"""Keys and certificates for the servers of the lab, in one folder. Argument: the folder.

Root and issuing certificate of the authority, the chain of the timestamp authority, the keys of
the transparency log, the certificate log and the token issuer.
"""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OUT = pathlib.Path(sys.argv[1])
PASSWORD = b"lab"
NOW = datetime.datetime.now(datetime.timezone.utc)


def write_key(name, key, encrypted):
    encryption = (
        serialization.BestAvailableEncryption(PASSWORD)
        if encrypted
        else serialization.NoEncryption()
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    (OUT / f"{name}.key").write_bytes(pem)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (OUT / f"{name}.pub").write_bytes(public)


def certificate(common_name, key, issuer, *, authority, timestamping=False):
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    issuer_name, issuer_key = (issuer[0].subject, issuer[1]) if issuer else (name, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(hours=1))
        .not_valid_after(NOW + datetime.timedelta(days=2))
        .add_extension(
            x509.BasicConstraints(ca=authority, path_length=(0 if issuer else 1) if authority else None),
            critical=True,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if timestamping:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(usage, critical=True)
    elif authority and issuer:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def write_chain(name, *certificates):
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
    (OUT / f"{name}.pem").write_bytes(pem)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


root_key, issuing_key = new_key(), new_key()
root = certificate("lab root", root_key, None, authority=True)
issuing = certificate("lab issuing", issuing_key, (root, root_key), authority=True)
write_key("fulcio", issuing_key, True)
write_chain("fulcio", issuing, root)

tsa_root_key, tsa_key = new_key(), new_key()
tsa_root = certificate("lab timestamp root", tsa_root_key, None, authority=True)
tsa = certificate("lab timestamps", tsa_key, (tsa_root, tsa_root_key), authority=False, timestamping=True)
write_key("tsa", tsa_key, True)
write_chain("tsa", tsa, tsa_root)

write_key("rekor", new_key(), True)
write_key("ct", new_key(), False)
write_key("oidc", rsa.generate_private_key(public_exponent=65537, key_size=2048), False)
