"""How fast clips of the built-in world are made: `univs benchmark synth`.

Frames with their masks, classes and stuff, as a training process draws them; "of a core" is by the processor time that
this process took, which other work on the machine does not change. A training step wants some 60 of a core.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from univs.benchmark.step import PartsClock
from univs.commands.argument_types import Parser, a_path, read_size
from univs.data.synth import SynthVS
from univs.data.synth.expressions import Expressions
from univs.data.synth.film import Film
from univs.data.synth.scene import Scene
from univs.errors import UserError
from univs.terminal import plain_console, plain_table

DIFFICULTIES = (0.0, 0.5, 1.0)
WARM_UP = 2
"""Clips before the clock starts: tiles of textures are made once per process."""
PARTS = (
    ("place, looks, paths", Scene, "__init__"),
    ("drawing", Scene, "compose"),
    ("light, grain, JPEG", Film, "develop"),
    ("stuff", Scene, "panoptic"),
    ("expressions", Expressions, "__len__"),
)


@dataclass(frozen=True)
class Speed:
    """What clips took. frames: of all. seconds, cpu: on the clock, and of the processor. parts: share of each."""

    frames: int
    seconds: float
    cpu: float
    parts: dict[str, float]


def measure(clips: SynthVS, expressions: bool = False) -> Speed:
    """Make all clips but the first few; their referring expressions too where these are asked for."""
    clock = PartsClock()
    for number in range(WARM_UP):
        _make(clips, number, expressions)
    with clock.watching(PARTS):
        begun, spent = time.perf_counter(), time.process_time()
        for number in range(WARM_UP, len(clips)):
            _make(clips, number, expressions)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - spent
    parts = {part: clock.seconds[part] / seconds for part, _, _ in PARTS}
    return Speed((len(clips) - WARM_UP) * clips.num_frames, seconds, cpu, parts)


def _make(clips: SynthVS, number: int, expressions: bool) -> None:
    sample = clips[number]
    if expressions:
        len(sample.expressions)


def speed_table(title: str, speeds: Mapping[str, Speed]) -> Table:
    """A column for each kind of clip."""
    table = plain_table(title, "difficulty", *speeds)
    table.add_row("frames a second", *(f"{speed.frames / speed.seconds:.0f}" for speed in speeds.values()))
    table.add_row("of a core", *(f"{speed.frames / speed.cpu:.0f}" for speed in speeds.values()), end_section=True)
    for part, _, _ in PARTS:
        table.add_row(part, *(f"{speed.parts[part]:.0%}" for speed in speeds.values()))
    return table


def main(argv: Sequence[str]) -> int:
    """Print the table. Raises UserError for options that cannot be used."""
    parser = Parser("univs benchmark synth", description=__doc__)
    parser.add_argument("--size", default="240x427", metavar="HxW", help="height and width (default: 240x427)")
    parser.add_argument("--frames", type=int, default=8, metavar="N", help="of a clip (default: 8)")
    parser.add_argument("--clips", type=int, default=20, metavar="N", help="to time, of each kind (default: 20)")
    parser.add_argument("--photos", type=a_path, metavar="DIR", help="time clips with these photos, too")
    options = parser.parse_args(argv)
    if options.clips < 1:
        raise UserError(f"--clips is the number of clips and must be at least 1, not {options.clips}")
    size: tuple[int, int] = read_size(options.size)

    def world(difficulty: float, photos: Path | None = None) -> SynthVS:
        return SynthVS("train", size, options.frames, 0, difficulty, photos, WARM_UP + options.clips)

    speeds = {f"{difficulty:g}": measure(world(difficulty)) for difficulty in DIFFICULTIES}
    speeds["0.5, texts"] = measure(world(0.5), expressions=True)
    if options.photos is not None:
        speeds["0.5, photos"] = measure(world(0.5, options.photos))
    title = f"SynthVS, clips of {options.frames} frames of {size[0]}x{size[1]}, one process"
    plain_console().print(speed_table(title, speeds))
    return 0
