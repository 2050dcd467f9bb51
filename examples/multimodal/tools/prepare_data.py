"""Makes ../data from the npm package emoji-datasource-google 16.0.0.

Not part of the build: the result is vendored. Kept so that anybody can see, and repeat, what was done:

    npm pack emoji-datasource-google@16.0.0
    tar xzf emoji-datasource-google-16.0.0.tgz            # makes ./package
    pip install pillow==13.0.0
    python prepare_data.py package ../data

What it does: takes every emoji of emoji.json that has a Noto image, that is one base emoji (no skin-tone variant, no
zero-width-joiner sequence), and whose category is neither "Flags" (every one is named as a flag) nor "Component";
downscales its 64 x 64 image to 24 x 24 with a box filter on premultiplied alpha; reduces it to at most 64 colours;
writes it as a palette PNG; writes name and category, as they stand in emoji.json, to records.csv; and lists the
digests of all files of ../data, SOURCE.json and licences among them, in SHA256SUMS.
"""

import csv
import hashlib
import json
import pathlib
import sys

from PIL import Image

SIZE = 24
COLOURS = 64


def shrink(path):
    image = Image.open(path).convert("RGBA").convert("RGBa").resize((SIZE, SIZE), Image.Resampling.BOX)
    return image.convert("RGBA").quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def main(package, data):
    package, data = pathlib.Path(package), pathlib.Path(data)
    (data / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for emoji in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
        if not emoji["has_img_google"] or emoji["category"] in ("Flags", "Component"):
            continue
        if "200D" in emoji["unified"]:
            continue
        name = emoji["unified"].lower()
        shrink(package / "img/google/64" / emoji["image"]).save(data / "images" / f"{name}.png", optimize=True)
        rows.append((name, f"images/{name}.png", emoji["name"], emoji["category"]))
    rows.sort()
    with open(data / "records.csv", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("id", "image", "text", "label"))
        writer.writerows(rows)
    listed = [p for p in data.rglob("*") if p.is_file() and p.name != "SHA256SUMS"]
    listed.sort(key=lambda p: p.relative_to(data).as_posix())
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(data).as_posix()}\n" for p in listed]
    (data / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


main(*sys.argv[1:])
