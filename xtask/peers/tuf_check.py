"""What python-tuf, the reference implementation of The Update Framework, makes of a repository.

read ROOT REPOSITORY NAME   follow the root, print the delivered file in hex, or the error
write REPOSITORY FILE       make a repository that delivers FILE, signed by two of three keys
"""

import datetime
import json
import pathlib
import sys
import tempfile

from securesystemslib.signer import CryptoSigner
from tuf.api import exceptions
from tuf.api.metadata import (
    Metadata, MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp,
)
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class Folder(FetcherInterface):
    """Serves `folder:///PATH` from a folder."""

    def __init__(self, root):
        self.root = pathlib.Path(root)

    def _fetch(self, url):
        path = self.root / url.removeprefix("folder:///")
        if not path.is_file():
            raise exceptions.DownloadHTTPError("not there", 404)
        return iter([path.read_bytes()])


def read(root, repository, name):
    with tempfile.TemporaryDirectory() as metadata, tempfile.TemporaryDirectory() as targets:
        updater = Updater(
            metadata, "folder:///", targets, "folder:///targets/", Folder(repository),
            bootstrap=pathlib.Path(root).read_bytes(),
        )
        try:
            updater.refresh()
            info = updater.get_targetinfo(name)
            if info is None:
                return {"error": "no such target"}
            content = pathlib.Path(updater.download_target(info)).read_bytes()
        except Exception as error:  # whatever it says, it did not accept it
            return {"error": f"{type(error).__name__}: {error}"}
    return {"content": content.hex()}


def write(repository, file):
    repository = pathlib.Path(repository)
    (repository / "targets").mkdir(parents=True)
    file = pathlib.Path(file)
    team = [CryptoSigner.generate_ecdsa(), CryptoSigner.generate_rsa(), CryptoSigner.generate_ed25519()]
    online = CryptoSigner.generate_ed25519()
    expires = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    expires += datetime.timedelta(days=2)
    ids = [signer.public_key.keyid for signer in team]
    one = online.public_key.keyid
    root = Metadata(Root(
        expires=expires,
        keys={signer.public_key.keyid: signer.public_key for signer in [*team, online]},
        roles={
            "root": Role(ids, 2), "targets": Role(ids, 2),
            "snapshot": Role([one], 1), "timestamp": Role([one], 1),
        },
        consistent_snapshot=True,
    ))
    target = TargetFile.from_file(file.name, str(file))
    targets = Metadata(Targets(expires=expires, targets={file.name: target}))
    digest = target.hashes["sha256"]
    (repository / "targets" / f"{digest}.{file.name}").write_bytes(file.read_bytes())
    snapshot = Metadata(Snapshot(expires=expires, meta={"targets.json": MetaFile(1)}))
    timestamp = Metadata(Timestamp(expires=expires, snapshot_meta=MetaFile(1)))
    for name, metadata, signers in [
        ("1.root.json", root, team[:2]), ("1.targets.json", targets, team[1:]),
        ("1.snapshot.json", snapshot, [online]), ("timestamp.json", timestamp, [online]),
    ]:
        for signer in signers:
            metadata.sign(signer, append=True)
        metadata.to_file(str(repository / name))
    return {"root": "1.root.json"}


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    print(json.dumps({"read": read, "write": write}[command](*words)))
