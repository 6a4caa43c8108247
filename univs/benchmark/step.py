"""Speed and memory of the streaming loop, measured on synthetic moving frames: `univs benchmark`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from univs.allocator import keep_freed_memory
from univs.benchmark.memory import peak_bytes, resident_bytes
from univs.commands.argument_types import Parser, read_size
from univs.devices import choose_device
from univs.errors import UserError
from univs.models.dense_memory import DenseMemory
from univs.models.precision import PRECISIONS
from univs.models.univs import UniVS
from univs.models.zoo import load_univs
from univs.prompts import Mask
from univs.streaming import Session
from univs.streaming.tasks import TASKS
from univs.terminal import plain_console, plain_table
from univs.trackers.frame.memory import DensePool
from univs.trackers.frame.tracker import Followed

WARM_UP = 35
"""Frames before the clock starts: by then every entry of the dense memory is in use."""
FLAT_FRAMES = 2000
FLAT_SETTLED = 100


WATCHED: tuple[tuple[str, type, str], ...] = (
    ("image encoder", UniVS, "normalize"),
    ("image encoder", UniVS, "encode_image"),
    ("prompt encoder", UniVS, "encode_masks"),
    ("prompt encoder", UniVS, "prompt_queries"),
    ("mask decoder", UniVS, "decode"),
    ("memory key", DenseMemory, "memory_key"),
    ("memory read", DensePool, "read"),
    ("memory residual", DenseMemory, "residual"),
    ("memory value", DenseMemory, "memory_value"),
    ("memory write", DensePool, "write"),
    ("assembly", Followed, "labels"),
)
"""What the parts of a step are: name, class, method."""


@dataclass(frozen=True)
class Timing:
    """Median seconds of `Session.step`, and the share of each part in the time."""

    total: float
    parts: dict[str, float]


class PartsClock:
    """Sums up the time spent in functions that it wraps, by part; an inner call's time is the inner part's alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = 0.0

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time counted."""
        self.seconds.setdefault(part, 0.0)

        def timed(*arguments: Any, **options: Any) -> Any:
            outer, self._inner = self._inner, 0.0
            start = time.perf_counter()
            result = function(*arguments, **options)
            spent = time.perf_counter() - start
            self.seconds[part] += spent - self._inner
            self._inner = outer + spent
            return result

        return timed

    @contextmanager
    def watching(self, parts: Iterable[tuple[str, type, str]]) -> Iterator[None]:
        """Count the calls of some methods, each with the name of its part, while the block runs."""
        with ExitStack() as stack:
            for part, owner, name in parts:
                stack.enter_context(patch.object(owner, name, self.wrap(part, getattr(owner, name))))
            yield


def moving_frames(height: int, width: int, objects: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Frames without end of textured discs that drift over a textured ground, with their label maps (ids 1, 2, ...).

    objects: at most 255.
    """
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 215, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    ground = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
    colours = rng.integers(0, 255, (objects, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    radius = min(height, width) / (4 + objects)
    index = 0
    while True:
        frame, labels = ground.copy(), np.zeros((height, width), np.uint8)
        for number in range(objects):
            angle = 0.02 * index + 2 * np.pi * number / objects
            centre_y, centre_x = height * (0.5 + 0.3 * np.sin(angle)), width * (0.5 + 0.3 * np.cos(angle))
            inside = (y - centre_y) ** 2 + (x - centre_x) ** 2 <= radius**2
            stripes = inside & ((x - int(centre_x)) // 8 % 2 == 0)
            frame[inside], labels[inside] = colours[number], number + 1
            frame[stripes] = 255 - colours[number]
        yield frame, labels
        index += 1


def a_number_of_objects(text: str) -> int:
    """How many objects `moving_frames` draws: its label maps are uint8."""
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= 255):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no number of objects from 1 to 255")
    return int(text)


def run(session: Session, height: int, width: int, objects: int) -> Iterator[float]:
    """Seconds of `Session.step` for one frame after the other; drawing the frames does not count."""
    for index, (frame, labels) in enumerate(moving_frames(height, width, objects)):
        prompts = [Mask(number, labels == number) for number in range(1, objects + 1)] if index == 0 else []
        start = time.perf_counter()
        session.step(frame, prompts)
        yield time.perf_counter() - start


def measure(model: UniVS, task: str, height: int, width: int, objects: int, frames: int, **options: Any) -> Timing:
    """Time `frames` frames after the warm-up; the median stands for the whole, so that a busy machine disturbs less."""
    clock = PartsClock()
    with clock.watching(WATCHED), Session(model, task, size=0, keep_results=False, **options) as session:
        steps = run(session, height, width, objects)
        for _ in range(WARM_UP):
            next(steps)
        clock.seconds = dict.fromkeys(clock.seconds, 0.0)
        spent = [next(steps) for _ in range(frames)]
    parts = dict(sorted(clock.seconds.items(), key=lambda item: -item[1]))
    parts["the rest"] = sum(spent) - sum(parts.values())
    return Timing(float(np.median(spent)), {part: seconds / sum(spent) for part, seconds in parts.items()})


def flatness(model: UniVS, task: str, height: int, width: int, objects: int, frames: int) -> tuple[int, int]:
    """Resident bytes after the first 100 frames, and the most that was seen from there to the end."""
    with Session(model, task, size=0, keep_results=False) as session:
        steps = run(session, height, width, objects)
        settled = most = 0
        for index in range(frames):
            next(steps)
            if index + 1 == FLAT_SETTLED:
                settled = most = resident_bytes()
            elif index >= FLAT_SETTLED and index % 20 == 0:
                most = max(most, resident_bytes())
    return settled, max(most, resident_bytes())


def timing_table(timings: dict[tuple[tuple[int, int], int], Timing]) -> Table:
    """One column for each size and number of objects: frames a second, then the share of each part."""
    heads = [f"{height}x{width}\n{count} object{'s' if count > 1 else ''}" for (height, width), count in timings]
    table = plain_table("Session.step, RGB uint8 in, label map of the frame's size out", "", *heads)
    columns = list(timings.values())
    table.add_row("frames a second", *(f"{1 / timing.total:.1f}" for timing in columns))
    table.add_row("milliseconds a frame", *(f"{1000 * timing.total:.0f}" for timing in columns), end_section=True)
    for part in columns[0].parts:
        table.add_row(part, *(f"{timing.parts[part]:.0%}" for timing in columns))
    return table


def main(argv: Sequence[str]) -> int:
    """`univs benchmark`: print the tables. Raises UserError for unknown weights or sizes that cannot be read."""
    parser = Parser(
        "univs benchmark",
        description=__doc__,
        epilog="also: univs benchmark start, training, official, interactive, matches, metrics, models",
    )
    parser.add_argument("--weights", default="tiny", metavar="NAME|PATH")
    parser.add_argument("--task", default="vos", choices=sorted(TASKS))
    parser.add_argument("--size", nargs="+", default=["240x427", "480x854"], metavar="HEIGHTxWIDTH")
    parser.add_argument("--objects", nargs="+", type=a_number_of_objects, default=[1, 5], metavar="N")
    parser.add_argument("--frames", type=int, default=40, help="frames to time, after a warm-up")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=list(PRECISIONS))
    parser.add_argument("--compile", action="store_true", help="compile the image encoder")
    parser.add_argument("--flat", action="store_true", help=f"memory over {FLAT_FRAMES} frames in place of speed")
    options = parser.parse_args(argv)
    sizes = [read_size(text) for text in options.size]
    if options.frames < 1 or options.threads < 1:
        raise UserError("--frames and --threads must be at least 1")
    device = choose_device(options.device)  # before anything of this process is changed
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    model = load_univs(options.weights, device=device)
    console = plain_console()
    if options.flat:
        (height, width), objects = sizes[0], options.objects[0]
        settled, most = flatness(model, options.task, height, width, objects, FLAT_FRAMES)
        console.print(
            f"{FLAT_FRAMES} frames of {height}x{width}, {objects} object(s): {settled / 2**20:.0f} MiB after "
            f"{FLAT_SETTLED} frames, at most {most / 2**20:.0f} MiB later: growth {most / settled - 1:+.1%}"
        )
        return 0
    timings = {
        (size, objects): measure(
            model,
            options.task,
            *size,
            objects,
            options.frames,
            precision=options.precision,
            compiled=options.compile,
        )
        for size in sizes
        for objects in options.objects
    }
    console.print(timing_table(timings))
    peak = peak_bytes()
    console.print(f"peak memory of the process: {peak / 2**20:.0f} MiB; {options.threads} threads")
    return 0
