"""Speed and memory of a round of an interactive session: `univs benchmark interactive`.

Masks of the first frame are carried through synthetic moving frames by the propagation network of MiVOS, whose weights
are drawn at random without a file: what a frame costs does not depend on them. Beside it stand the figures of the
official program. Machines differ, so times are also given as multiples of one forward pass of a plain ResNet-50 (timm,
float32) over the same frame in the same process.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from rich.table import Table

from univs.allocator import keep_freed_memory
from univs.benchmark.memory import peak_bytes, resident_bytes
from univs.benchmark.official import SIZE, plain_pass
from univs.benchmark.step import a_number_of_objects, moving_frames
from univs.commands.argument_types import Parser
from univs.errors import UserError
from univs.interactive.session import Session
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.zoo import build_space_time, load, numbers_of
from univs.terminal import plain_console, plain_table
from univs.video import VideoReader
from univs.video.reader import Frame

OFFICIAL_PASSES = {1: 4.6}
"""Objects -> ResNet-50 passes a frame. Source, of all three: the official InferenceCore (mem_profile 0, every 5th frame
kept, top 50) on 2 cores of an AMD EPYC in float32, 480 x 864, mask on frame 0; the least disturbed runs."""
OFFICIAL_SECONDS = {1: 1.53, 3: 4.25}
"""Objects -> seconds a frame, there."""
OFFICIAL_PEAK = {(1, 10): 1902, (1, 20): 2467, (1, 40): 3724, (1, 80): 6513, (3, 10): 2384, (3, 20): 2974}
"""(objects, frames) -> most MiB of the process, there: some 50 MiB more with every frame."""


class MovingFrames(VideoReader):
    """Discs that drift (`moving_frames`), drawn when they are asked for."""

    def __init__(self, size: tuple[int, int], objects: int, frames: int) -> None:
        self.name, self.size, self.num_frames, self.objects = "moving discs", size, frames, objects

    def frames(self) -> Iterator[Frame]:
        """H W 3, as many as there are."""
        return (frame for frame, _ in islice(moving_frames(*self.size, self.objects), self.num_frames))


@dataclass(frozen=True)
class Round:
    """What a round took. seconds, resident: of each frame, and bytes of the process after it. peak: most bytes. unit:
    seconds of one forward pass of a plain ResNet-50."""

    seconds: tuple[float, ...]
    resident: tuple[int, ...]
    peak: int
    unit: float

    @property
    def passes(self) -> float:
        """ResNet-50 passes a frame; the median of the frames counts, so that a busy machine disturbs less."""
        return float(np.median(self.seconds)) / self.unit

    @property
    def growth(self) -> float:
        """MiB a frame over the second half of the video."""
        half = len(self.resident) // 2
        return (self.resident[-1] - self.resident[half]) / max(1, len(self.resident) - 1 - half) / 2**20


def random_network() -> SpaceTimeMemory:
    """The propagation network of MiVOS with weights drawn at random, the same ones every time."""
    torch.manual_seed(0)
    return build_space_time(numbers_of("mivos")).eval().requires_grad_(False)


def run(weights: str | None, size: tuple[int, int], objects: int, frames: int, threads: int) -> Round:
    """One round over a video, in this process. UserError for weights of another kind."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    model = random_network() if weights is None else load(weights)
    if not isinstance(model, SpaceTimeMemory):
        raise UserError(f"{weights} are no weights of a space-time memory")
    _, labels = next(moving_frames(*size, objects))
    seconds, resident = [], []
    with Session(model, MovingFrames(size, objects, frames), size=0) as session:
        del model  # the session keeps what it needs
        ids = [session.add_object() for _ in range(objects)]
        session.interact(0, {number: labels == number for number in ids})
        start = time.perf_counter()

        def note(done: int, total: int) -> None:
            nonlocal start
            seconds.append(time.perf_counter() - start)
            resident.append(resident_bytes())
            start = time.perf_counter()

        session.propagate(progress=note)
    peak = peak_bytes()
    return Round(tuple(seconds), tuple(resident), peak, plain_pass(*size))


def apart(weights: str | None, size: tuple[int, int], objects: int, frames: int, threads: int) -> Round:
    """`run` in a process of its own, so that its peak of memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (weights, size, objects, frames, threads))


def table(rounds: Mapping[tuple[int, int], Round]) -> Table:
    """One column for each (objects, frames)."""
    heads = [f"{objects} object{'s' if objects > 1 else ''}\n{frames} frames" for objects, frames in rounds]
    made = plain_table(f"one round, {SIZE[0]}x{SIZE[1]}, mask on the first frame", "", *heads)
    columns = list(rounds.values())

    def official(values: Mapping[int, float], form: str) -> list[str]:
        return [format(values[objects], form) if objects in values else "" for objects, _ in rounds]

    made.add_row("ResNet-50 passes a frame", *(f"{one.passes:.2f}" for one in columns))
    made.add_row("official", *official(OFFICIAL_PASSES, ".1f"), end_section=True)
    made.add_row("seconds a frame", *(f"{np.median(one.seconds):.2f}" for one in columns))
    made.add_row("official, on its machine", *official(OFFICIAL_SECONDS, ".2f"), end_section=True)
    made.add_row("peak memory, MiB", *(f"{one.peak / 2**20:.0f}" for one in columns))
    made.add_row("official", *(str(OFFICIAL_PEAK.get(key, "")) for key in rounds), end_section=True)
    made.add_row("growth, MiB a frame", *(f"{one.growth:.1f}" for one in columns))
    made.add_row("one pass, seconds", *(f"{one.unit:.3f}" for one in columns))
    return made


def main(argv: Sequence[str]) -> int:
    """`univs benchmark interactive`: print the table. Raises UserError for what cannot be read."""
    parser = Parser("univs benchmark interactive", description=__doc__)
    parser.add_argument("--weights", metavar="NAME|PATH", help="of a space-time memory; default: MiVOS drawn at random")
    parser.add_argument("--objects", type=a_number_of_objects, nargs="+", default=[1, 3])
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 20, 40, 80])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    if options.threads < 1 or min(options.frames) < 2:
        raise UserError("--threads must be at least 1, --frames at least 2")
    console = plain_console()
    rounds: dict[tuple[int, int], Round] = {}
    for objects in options.objects:
        for frames in options.frames:
            with console.status(f"{objects} objects, {frames} frames"):
                rounds[objects, frames] = apart(options.weights, SIZE, objects, frames, options.threads)
    console.print(table(rounds))
    return 0
