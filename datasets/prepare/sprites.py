"""Pack the SynthVS sprites into `univs/data/synth/assets/sprites.zip`.

    npm pack @lobehub/fluent-emoji-3d && tar xzf lobehub-fluent-emoji-3d-*.tgz
    python datasets/prepare/sprites.py package/assets

The pictures are stored as they come (256 x 256 WebP with alpha). `sprites.txt` beside this file says which ones, their
nouns and groups, and which tenth is unseen. The same input gives the same bytes.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[1] / "univs" / "data" / "synth" / "assets"


def read_list(path: Path) -> list[dict[str, object]]:
    """The lines of `sprites.txt` as a list of {noun, group, unseen, code}."""
    entries: list[dict[str, object]] = []
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        group, rest = line.split(":", 1)
        for unseen, part in enumerate(rest.split("|")):
            for item in part.split(","):
                code, noun = item.strip().split("=")
                entries.append({"noun": noun, "group": group, "unseen": bool(unseen), "code": code})
    return entries


def pack(assets: Path, target: Path) -> None:
    """Write the archive `target` with index.json, the licence and one picture for each entry of the list."""
    entries = read_list(HERE / "sprites.txt")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), data)

        add("index.json", json.dumps(entries, indent=0).encode())
        add("LICENSE.txt", (ASSETS / "sprites.LICENSE.txt").read_bytes())
        for entry in entries:
            names = (f"{entry['code']}.webp", f"{entry['code']}-fe0f.webp")
            found = next(path for name in names if (path := assets / name).is_file())
            add(f"{entry['code']}.webp", found.read_bytes())
    print(f"{len(entries)} sprites, {sum(bool(e['unseen']) for e in entries)} unseen: {target}")


if __name__ == "__main__":
    pack(Path(sys.argv[1]), ASSETS / "sprites.zip")
