"""Makes keys in a PKCS#11 token, and certificates for public keys.
Usage: hsm_keys.py generate MODULE TOKEN PIN-FILE
       hsm_keys.py certify PUBLIC FOLDER     writes leaf.pem, middle.pem and root.pem"""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OIDS = {
    "p256": bytes.fromhex("06082a8648ce3d030107"),
    "p384": bytes.fromhex("06052b81040022"),
    "p521": bytes.fromhex("06052b81040023"),
    "ed25519": bytes.fromhex("130c656477617264733235353139"),
}


def generate(module, token, pin_file):
    import PyKCS11 as p11

    library = p11.PyKCS11Lib()
    library.load(module)
    wanted = [
        slot for slot in library.getSlotList(tokenPresent=True)
        if library.getTokenInfo(slot).label.strip() == token
    ]
    session = library.openSession(wanted[0], p11.CKF_SERIAL_SESSION | p11.CKF_RW_SESSION)
    session.login(pathlib.Path(pin_file).read_text().strip())

    def pair(name, number, kind, mechanism, public):
        common = [(p11.CKA_TOKEN, True), (p11.CKA_LABEL, name), (p11.CKA_ID, (number,))]
        session.generateKeyPair(
            [(p11.CKA_KEY_TYPE, kind), (p11.CKA_VERIFY, True), *common, *public],
            [
                (p11.CKA_KEY_TYPE, kind), (p11.CKA_SIGN, True), (p11.CKA_SENSITIVE, True),
                (p11.CKA_EXTRACTABLE, False), (p11.CKA_PRIVATE, True), *common,
            ],
            p11.Mechanism(mechanism, None),
        )

    for number, (name, oid) in enumerate(OIDS.items(), 1):
        edwards = name == "ed25519"
        kind = 0x40 if edwards else p11.CKK_EC
        mechanism = 0x1055 if edwards else p11.CKM_EC_KEY_PAIR_GEN
        pair(name, number, kind, mechanism, [(p11.CKA_EC_PARAMS, tuple(oid))])
    rsa = [(p11.CKA_MODULUS_BITS, 2048), (p11.CKA_PUBLIC_EXPONENT, (1, 0, 1))]
    pair("rsa2048", 9, p11.CKK_RSA, p11.CKM_RSA_PKCS_KEY_PAIR_GEN, rsa)
    # Two of one label: only the id tells them apart.
    for number in (20, 21):
        oid = [(p11.CKA_EC_PARAMS, tuple(OIDS["p256"]))]
        pair("twice", number, p11.CKK_EC, p11.CKM_EC_KEY_PAIR_GEN, oid)
    session.logout()


def certify(public, folder):
    folder = pathlib.Path(folder)
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    every = [
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ]

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def issue(subject, key, issuer, issuer_key, ca):
        usage = ("key_cert_sign", "crl_sign") if ca is not None else ("digital_signature",)
        builder = (
            x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
            .public_key(key).serial_number(x509.random_serial_number())
            .not_valid_before(now - day).not_valid_after(now + 30 * day)
            .add_extension(x509.BasicConstraints(ca=ca is not None, path_length=ca), critical=True)
            .add_extension(x509.KeyUsage(**{one: one in usage for one in every}), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
                critical=False,
            )
        )
        if ca is None:
            names = x509.SubjectAlternativeName([x509.RFC822Name("signer@models.example")])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    root, middle = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    leaf = serialization.load_pem_public_key(pathlib.Path(public).read_bytes())
    for file, certificate in {
        "root": issue("root", root.public_key(), "root", root, 1),
        "middle": issue("middle", middle.public_key(), "root", root, 0),
        "leaf": issue("leaf", leaf, "middle", middle, None),
    }.items():
        text = certificate.public_bytes(serialization.Encoding.PEM)
        (folder / f"{file}.pem").write_bytes(text)


{"generate": generate, "certify": certify}[sys.argv[1]](*sys.argv[2:])
