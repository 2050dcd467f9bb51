"""Files for the benches of the scanner.

    scan_data.py safetensors FILE MIB     a model of MIB mebibytes
    scan_data.py torch FILE MIB           the same as PyTorch writes it: a stored zip
    scan_data.py pickles FOLDER COUNT     small pickles: numbers, texts and an array each
    scan_data.py take LIST ARCHIVES OUT   the files that LIST names, out of pinned packages

Nothing is loaded: pickles are only written, archives only read. The classes that the pickles name
are stand-ins, so that neither PyTorch nor NumPy is needed.
"""

import collections
import hashlib
import io
import json
import pathlib
import pickle
import random
import struct
import sys
import tarfile
import types
import zipfile

TENSOR = 8 << 20
DICE = random.Random(4)
BLOCKS = [DICE.randbytes(TENSOR) for _ in range(8)]


def stand_in(module, name, base=object):
    """A class called `module.name` that a pickle can refer to."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = ".".join(parts[:end])
        sys.modules.setdefault(path, types.ModuleType(path))
    made = type(name, (base,), {"__module__": module, "__qualname__": name})
    setattr(sys.modules[module], name, made)
    return made


class Reduced:
    """Pickled as a call, and a state that is set afterwards."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


# --- large files -------------------------------------------------------------------------------


def safetensors(path, mib):
    count = mib * (1 << 20) // TENSOR
    head = {"__metadata__": {"format": "pt"}}
    for n in range(count):
        head[f"layer.{n}.weight"] = {
            "dtype": "F32",
            "shape": [2048, TENSOR // 8192],
            "data_offsets": [n * TENSOR, (n + 1) * TENSOR],
        }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for n in range(count):
            file.write(BLOCKS[n % len(BLOCKS)])


def torch(path, mib):
    storage = stand_in("torch", "FloatStorage")
    rebuild = stand_in("torch._utils", "_rebuild_tensor_v2")
    count = mib * (1 << 20) // TENSOR

    class Writer(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 40:
                return ("storage", storage, str(value - (1 << 40)), "cpu", TENSOR // 4)
            return None

    state = collections.OrderedDict()
    shape = (2048, TENSOR // 8192)
    for n in range(count):
        words = ((1 << 40) + n, 0, shape, (shape[1], 1), False, collections.OrderedDict())
        state[f"layer.{n}.weight"] = Reduced(rebuild, words)
    out = io.BytesIO()
    Writer(out, protocol=2).dump(state)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", out.getvalue())
        archive.writestr("model/byteorder", "little")
        for n in range(count):
            archive.writestr(f"model/data/{n}", BLOCKS[n % len(BLOCKS)])
        archive.writestr("model/version", "3\n")


# --- small files -------------------------------------------------------------------------------


def array(values):
    array_class = stand_in("numpy", "ndarray")
    make = stand_in("numpy.core.multiarray", "_reconstruct")
    kind = stand_in("numpy", "dtype")
    number = Reduced(kind, ("f8", False, True), (3, "<", None, None, None, -1, -1, 0))
    raw = struct.pack(f"<{len(values)}d", *values)
    return Reduced(make, (array_class, (0,), b"b"), (1, (len(values),), number, False, raw))


def pickles(folder, count):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        value = {
            "weights": array([DICE.random() for _ in range(100)]),
            "names": [f"feature {n} {k}" for k in range(20)],
            "parameters": {f"p{k}": DICE.random() for k in range(20)},
        }
        (folder / f"{n:05}.pkl").write_bytes(pickle.dumps(value, protocol=2 + n % 4))


# --- files of packages -------------------------------------------------------------------------


def take(listing, archives, out):
    """Writes the listed files to OUT/PACKAGE/PATH. Each archive is known by its digest."""
    by_digest = {}
    for path in pathlib.Path(archives).iterdir():
        by_digest[hashlib.sha256(path.read_bytes()).hexdigest()] = path
    wanted = {}
    for line in pathlib.Path(listing).read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind in ("wheel", "sdist", "npm"):
            pin, digest = rest.split()
            names = wanted.setdefault((pin.split("==")[0], by_digest[digest]), [])
        elif kind == "file":
            names.append(rest)
    for (package, path), names in wanted.items():
        for name, content in contents(path, names):
            target = pathlib.Path(out, package, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def contents(path, names):
    if path.suffix == ".whl":
        archive = zipfile.ZipFile(path)
        yield from ((name, archive.read(name)) for name in names)
        return
    # In the order of the archive: going back would unpack it again.
    missing = set(names)
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name in missing:
                missing.discard(member.name)
                yield member.name, archive.extractfile(member).read()
    if missing:
        sys.exit(f"{path.name} lacks {', '.join(sorted(missing))}")


def main():
    match sys.argv[1:]:
        case ["safetensors", path, mib]:
            safetensors(path, int(mib))
        case ["torch", path, mib]:
            torch(path, int(mib))
        case ["pickles", folder, count]:
            pickles(folder, int(count))
        case ["take", listing, archives, out]:
            take(listing, archives, out)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
