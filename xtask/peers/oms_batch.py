"""Signs and verifies many models with the reference client in one process, because starting it
costs half a second. Usage: oms_batch.py JOBS.json

A job is {"do": "sign"|"verify", "model": PATH, "signature": PATH, and "key": PATH or
"certificate_chain": [PATH]}. Signing may add "hash" (sha256, blake2, blake3) and "shard_size";
verifying may add "guess".
Prints one JSON list with "ok" or the error of each job."""

import json
import logging
import pathlib
import sys

import model_signing.hashing
import model_signing.signing
import model_signing.verifying


def hashing(job):
    config = model_signing.hashing.Config()
    ignored = [pathlib.Path(job["signature"])]
    config.set_ignored_paths(paths=ignored, ignore_git_paths=True)
    algorithm = job.get("hash", "sha256")
    if job.get("shard_size"):
        config.use_shard_serialization(
            hashing_algorithm=algorithm, shard_size=job["shard_size"]
        )
    else:
        config.use_file_serialization(hashing_algorithm=algorithm)
    return config


def do(job):
    model, signature = pathlib.Path(job["model"]), pathlib.Path(job["signature"])
    if job["do"] == "sign":
        config = model_signing.signing.Config()
        config.use_elliptic_key_signer(private_key=pathlib.Path(job["key"]))
        config.set_hashing_config(hashing(job))
        config.sign(model, signature)
        return
    config = model_signing.verifying.Config()
    if "key" in job:
        config.use_elliptic_key_verifier(public_key=pathlib.Path(job["key"]))
    else:
        chain = [pathlib.Path(path) for path in job["certificate_chain"]]
        config.use_certificate_verifier(certificate_chain=chain)
    if not job.get("guess"):
        # The same settings as the reference command line makes. It knows only SHA-256 of whole
        # files; with "guess" the client reads the method from the signature.
        config.set_hashing_config(
            model_signing.hashing.Config().set_ignored_paths(
                paths=[signature], ignore_git_paths=True
            )
        )
    config.verify(model, signature)


def main(path):
    logging.disable(logging.CRITICAL)
    results = []
    for job in json.loads(pathlib.Path(path).read_text()):
        try:
            do(job)
            results.append("ok")
        except Exception as error:  # whatever the client raises is its answer
            results.append(f"{type(error).__name__}: {error}"[:300])
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
