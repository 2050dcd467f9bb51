"""Writes the vectors of this folder with the reference client.

Run with a Python that has model-signing 1.1.1 (see README.md). Each case is a folder with the
tree (`tree.json`: path to content), the statement as the reference client signs it, and what a
reader must find (`expect.json`).
"""

import hashlib
import json
import pathlib
import subprocess
import tempfile

from google.protobuf import json_format
from model_signing import hashing
from model_signing._signing import signing

HERE = pathlib.Path(__file__).parent
TREE = {
    "config.json": "{}",
    "sub/x": "in a folder",
    "sub-x": "beside it",
    "sub/deeper/y": "y" * 700,
    "empty": "",
    "é/naïve ☃": "snow",
    "Z": "upper",
    "a": "lower",
}


def write(root, tree):
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def root_of(resources):
    return hashlib.sha256(b"".join(bytes.fromhex(r["digest"]) for r in resources)).hexdigest()


def dir_hash(root):
    # The command of in-toto's digest_set.md; `-d` makes it bear spaces.
    command = "find . -type f | cut -c3- | LC_ALL=C sort | xargs -r -d '\\n' sha256sum | sha256sum"
    out = subprocess.run(command, shell=True, cwd=root, check=True, capture_output=True, text=True)
    return out.stdout.split()[0]


def case(name, config, tree, single=None, whole=True):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch) / "model"
        root.mkdir()
        write(root, tree)
        target = root / single if single else root
        manifest = config.hash(target)
        statement = json_format.MessageToJson(signing.Payload(manifest).statement.pb)
        parsed = json.loads(statement)
        resources = parsed["predicate"]["resources"]
        expect = {
            "resources": len(resources),
            "root": parsed["subject"][0]["digest"]["sha256"],
            "code_point_root": root_of(sorted(resources, key=lambda r: r["name"])),
        }
        form = parsed["predicate"]["serialization"]
        if form["method"] == "files" and form["hash_type"] == "sha256" and not single and whole:
            expect["dir_hash"] = dir_hash(root)
    dump = lambda value: json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    (folder / "tree.json").write_text(dump(tree), encoding="utf-8")
    (folder / "statement.json").write_text(statement, encoding="utf-8")
    (folder / "expect.json").write_text(dump(expect), encoding="utf-8")


files = lambda algorithm: hashing.Config().use_file_serialization(hashing_algorithm=algorithm)
case("files-sha256", files("sha256"), TREE)
case("files-blake2b", files("blake2"), TREE)
case("files-blake3", files("blake3"), TREE)
case("shards-sha256", hashing.Config().use_shard_serialization(shard_size=300), TREE)
case("shards-blake2b",
     hashing.Config().use_shard_serialization(hashing_algorithm="blake2", shard_size=300), TREE)
case("single-file", files("sha256"), {"one.bin": "abc"}, single="one.bin")
case("colon", files("sha256"), {"a:0:3": "abc", "b:x": "d"})
ignoring = files("sha256")
ignoring.set_ignored_paths(paths=["sub", "config.json"])
case("ignoring", ignoring, TREE, whole=False)
