"""`univs synth`: clips of the built-in world in the layout of a public set."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from univs.claim import MARK, claim_folder
from univs.commands.argument_types import a_path, read_size
from univs.errors import UserError
from univs.terminal import counted, plain_console

if TYPE_CHECKING:
    from univs.data.synth import SynthVS
    from univs.formats.sample import VideoSample


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.description = (
        "Writes clips of SynthVS as a public set lies on disk, so that its readers, univs evaluate and univs score can "
        "be tried with nothing downloaded."
    )
    command.add_argument("--format", required=True, metavar="NAME", help="a set (univs datasets)")
    command.add_argument("--out", type=a_path, required=True, metavar="DIR", help="a folder that is empty or not there")
    command.add_argument("--videos", type=int, default=10, metavar="N", help="so many clips (default: 10)")
    command.add_argument("--split", help="of the set (default: the one to evaluate on); train has no unseen nouns")
    command.add_argument("--frames", type=int, default=8, metavar="N", help="of a clip (default: 8)")
    command.add_argument("--size", default="240x427", metavar="HxW", help="height and width (default: 240x427)")
    command.add_argument("--seed", type=int, default=0, help="another world, as good as this one")
    command.add_argument("--difficulty", type=float, default=0.5, metavar="0..1", help="default: 0.5")


def run(arguments: argparse.Namespace) -> None:
    """Writes the clips. Raises UserError for an unknown format or split and for a folder that holds something."""
    from univs.data.synth import SynthVS
    from univs.formats import find_set

    known = find_set(arguments.format)
    split = arguments.split or known.splits[0]
    if split not in known.splits:
        raise UserError(f"--split {split}: {arguments.format} has {', '.join(known.splits)}")
    if arguments.videos < 1:
        raise UserError(f"--videos is the number of clips and must be at least 1, not {arguments.videos}")
    clips = SynthVS(
        next((ours for ours in ("train", "test") if split.startswith(ours)), "val"),
        read_size(arguments.size),
        arguments.frames,
        arguments.seed,
        arguments.difficulty,
        length=arguments.videos,
    )
    out: Path = arguments.out
    with claim_folder(out):
        if any(path.name != MARK for path in out.iterdir()):
            raise UserError(f"--out {out} is there and not an empty folder; name another one")
        known.load().write(with_progress(clips), out, split, **known.options)
    print(f"{known.title}, {split}: {len(clips)} clips of {arguments.frames} frames: {out}")


def with_progress(clips: SynthVS) -> Iterator[VideoSample]:
    """The clips, each made when it is written, with a progress bar on stderr where that is a terminal."""
    for number in counted(range(len(clips)), "clips", len(clips), plain_console(stderr=True)):
        yield clips[number]
