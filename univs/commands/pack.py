"""`univs datasets pack`: the sources of a training run in one file, which training reads without unpacking it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from univs.claim import check_file
from univs.commands.argument_types import a_path
from univs.errors import UserError
from univs.files import from_home
from univs.terminal import plain_console, progress_bar

if TYPE_CHECKING:
    from univs.data.pack.writing import Packed

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.description = (
        "Writes the sources of a training run to one file: pictures as WebP, masks as run lengths, names, weights. "
        "SOURCES are the settings that univs train takes: data=photos_and_videos data.root=DATA, or a list of your own "
        "in data.sources=...; stage=words data=named_images for words. Train with data=pack data.root=FILE.zip."
    )
    command.add_argument("settings", nargs="+", metavar="SOURCES", help="KEY=VALUE as for univs train: data.root=DATA")
    command.add_argument("--out", type=a_path, required=True, metavar="FILE.zip", help="the file to write")
    command.add_argument(
        "--longest",
        type=a_side,
        metavar="PIXELS",
        help="of a picture's side: larger pictures are shrunk (default: as the sources give them, photos of at most "
        "400). Some more than the size that you train at is enough, such as 288 for 256",
    )
    command.add_argument(
        "--quality", type=a_quality, default=80, metavar="1..100", help="of WebP (default: 80); lower for --limit"
    )
    command.add_argument(
        "--limit",
        type=a_file_size,
        metavar="SIZE",
        help="the file may not be larger, such as 45MB: quality is lowered in steps of 5, not below 40",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the pack and says how large it is. Raises UserError for wrong settings and for what cannot be read."""
    from univs.configuration import compose

    out = from_home(arguments.out)
    check_out(out)
    settings = compose("train", arguments.settings)

    from univs.data.pack.writing import megabytes

    packed = pack_with_progress(settings, out, arguments.longest, arguments.quality, arguments.limit)
    size = f"{megabytes(packed.size)} at WebP quality {packed.quality}"
    print(f"{packed.pictures} pictures of {packed.sources} sources, {size}: {out}")


def pack_with_progress(
    settings: dict[str, Any], out: Path, longest: int | None, quality: int, limit: int | None
) -> Packed:
    """Packs the sources of composed settings, with a progress bar on stderr where that is a terminal."""
    from univs.data.clips import READERS, ClipSettings, clips_of
    from univs.data.pack import with_packed_settings
    from univs.data.pack.contents import LARGEST_SIDE
    from univs.data.pack.writing import with_longest, write_pack
    from univs.data.source_settings import open_sources
    from univs.data.word_batches import word_readers
    from univs.training.stages import check_run

    check_run(settings)
    words = settings["stage"].get("step") == "words"
    data = settings["data"]
    if "probabilities" not in data:  # photos for stage portrait; of its pack other stages can make clips
        data = {**data, "probabilities": {"photo": 1.0}, "synth": {}}
    if not words:
        data = with_packed_settings(data)
    side = longest or LARGEST_SIDE
    readers = word_readers() if words else READERS
    opened = open_sources(with_longest(data["sources"], readers, side), readers)
    kept = {}
    if not words:
        kept = {"probabilities": data["probabilities"], "synth": data["synth"]}
        # A pack that training would refuse is refused now.
        clips_of(opened, ClipSettings(data["probabilities"]), extra={"synth": ()})
    console = plain_console(stderr=True)
    with progress_bar(console, disable=not console.is_terminal) as bar:
        task = bar.add_task("pack", total=None)
        return write_pack(
            out,
            "words" if words else "clips",
            opened,
            longest=side,
            quality=quality,
            limit=limit,
            **kept,
            progress=lambda what, total, done: bar.update(task, description=what, completed=done, total=total),
        )


def check_out(path: Path) -> None:
    """Makes the folder of a pack.

    UserError for a name that is not FILE.zip, where another file has it, and where no file can be written.
    """
    from univs.data.pack.archive import Archive
    from univs.data.pack.contents import INDEX, read_index

    fault = "is a folder" if path.is_dir() else "does not end in .zip" if path.suffix.lower() != ".zip" else None
    if fault:
        raise UserError(f"--out {path} {fault}; expected a file such as pack.zip")
    if path.exists():
        try:
            read_index(Archive(path).read(INDEX), str(path))
        except UserError as error:
            raise UserError(f"--out {path} is there and no pack; name another file, or remove it") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out {path}: the folder {path.parent} cannot be made ({error.strerror}); name another file"
        ) from None
    check_file(path)


def a_side(text: str) -> int:
    """Pixels of a picture's longer side."""
    from univs.data.pack.contents import LARGEST_SIDE

    if not (text.isascii() and text.isdigit() and len(text) < 10 and 16 <= int(text) <= LARGEST_SIDE):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no number of pixels from 16 to {LARGEST_SIDE}, such as 288")
    return int(text)


def a_quality(text: str) -> int:
    """A quality of WebP."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= 100):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no quality from 1 to 100, such as 80")
    return int(text)


def a_file_size(text: str) -> int:
    """Bytes out of "45MB" (45,000,000) or "45MiB"."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([KMG]I?B)", text.strip().upper(), re.ASCII)
    size = int(float(found[1]) * UNITS[found[2]]) if found else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no size of a file, such as 45MB or 1.5GB")
    return size
