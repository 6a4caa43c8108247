"""Make of a VIPSeg download what papers score: frames of 720 lines, panoptic maps in colours, one JSON per split.

    python datasets/prepare/vipseg.py VIPSEG [--lines 720]

Reads VIPSEG/{imgs,panomasks,train.txt,val.txt} and writes VIPSEG/VIPSeg_720P, which `dataset=vipseg` and
`univs score vipseg` take; a video that is there already is not made again, and one of another height is refused.
Sizes are those of the makers' converter: frames are scaled bilinearly, maps to the nearest, and the width is cut to a
whole number.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from univs.errors import UserError
from univs.formats.files import inside, list_frames, read_json, read_lines, write_json
from univs.formats.panoptic_png import write_keys
from univs.formats.vipseg_raw import WHOLE, raw_classes, read_values
from univs.video.pictures import read_rgb, write_picture

SPLITS = ("train", "val")


def main() -> int:
    """Converts the splits that are there; exit status 0, 2 for bad input, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="VIPSEG", help="the folder of imgs and panomasks")
    parser.add_argument("--lines", type=int, default=720, help="height of the frames (default: 720)")
    options = parser.parse_args()
    try:
        convert(options.root, options.lines)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; videos that are done stay", file=sys.stderr)
        return 130
    return 0


def convert(root: Path, lines: int = 720) -> None:
    """Writes ROOT/VIPSeg_720P.

    Raises UserError for files that are missing or do not fit, and where there are videos of other than so many lines.
    """
    if lines < 1:
        raise UserError(f"--lines {lines}: frames have at least one line")
    names, things = raw_classes(root)
    categories = [{"id": number, "name": name, "isthing": int(number in things)} for number, name in names.items()]
    splits = [split for split in SPLITS if (root / f"{split}.txt").is_file()]
    if not splits:
        raise UserError(f"VIPSeg: neither train.txt nor val.txt in {root}")
    out = root / "VIPSeg_720P"
    need_height(out, lines)
    for split in splits:
        videos, annotations = [], []
        for video in track(read_lines(root / f"{split}.txt", "VIPSeg"), split, console=Console(stderr=True)):
            entry = out / "videos" / f"{video}.json"
            if not entry.is_file():
                write_json(entry, convert_video(root, out, video, names, lines))
            content = read_json(entry, "VIPSeg", ("images", "annotations"))
            videos.append({"video_id": video, "images": content["images"]})
            annotations.append({"video_id": video, "annotations": content["annotations"]})
        whole = {"videos": videos, "annotations": annotations, "categories": categories}
        write_json(out / f"panoptic_gt_VIPSeg_{split}.json", whole)


def need_height(out: Path, lines: int) -> None:
    """Raises UserError unless all videos that are there have so many lines."""
    for entry in sorted((out / "videos").glob("*.json")):
        for image in read_json(entry, "VIPSeg", ("images", "annotations"))["images"]:
            if image["height"] != lines:
                raise UserError(
                    f"{out} holds videos of {image['height']} lines, not of {lines}: remove it, or give "
                    f"--lines {image['height']}"
                )


def convert_video(root: Path, out: Path, video: str, names: Mapping[int, str], lines: int) -> dict[str, list[Any]]:
    """Writes frames and maps of a video; its images and annotations as the JSON lists them."""
    images, annotations = [], []
    for path in list_frames(inside(root / "imgs", video), "VIPSeg frames"):
        image = Image.fromarray(read_rgb(path))
        size = (int(lines * image.width / image.height), lines)
        frame = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        source = root / "panomasks" / video / f"{path.stem}.png"
        values = read_values(source).astype(np.int32)
        values = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.NEAREST))
        write_picture(out / "images" / video / f"{path.stem}.jpg", frame)
        # a value below 125 is a class and any other 100 times a class and an instance, so that it names its segment
        write_keys(out / "panomasksRGB" / video / f"{path.stem}.png", values)
        segments = []
        for value, area in zip(*np.unique(values[values > 0], return_counts=True), strict=True):
            category = int(value if value < WHOLE else value // 100) - 1
            if category not in names:
                raise UserError(f"{source} holds the value {value}, which is of no class of VIPSeg")
            segments.append({"id": int(value), "category_id": category, "iscrowd": 0, "area": int(area)})
        name, (width, height) = f"{path.stem}.png", size
        images.append({"id": path.stem, "file_name": name, "width": width, "height": height})
        annotations.append({"image_id": path.stem, "file_name": name, "segments_info": segments})
    return {"images": images, "annotations": annotations}


if __name__ == "__main__":
    sys.exit(main())
