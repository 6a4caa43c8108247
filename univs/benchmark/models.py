"""Time, memory and multiply-adds of a frame, network by network: `univs benchmark models`.

Weights are drawn at random: what a network costs does not depend on them (masks of noise have many parts, so that what
SiamMask looks for in them takes a little longer). Every network looks at frames of the size that it was published for,
or made for. Machines differ, so times also stand beside that of a plain ResNet-50 (timm, float32)
in the same process: the time that it would take for as many multiply-adds.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from univs.allocator import keep_freed_memory
from univs.benchmark.memory import peak_bytes, resident_bytes
from univs.benchmark.official import PASSES
from univs.benchmark.step import a_number_of_objects, moving_frames
from univs.commands.argument_types import Parser
from univs.errors import UserError
from univs.evaluation.metrics.score_printing import print_whole
from univs.models.zoo import build_network, numbers_of
from univs.prompts import Mask, Prompt
from univs.streaming import Session
from univs.terminal import plain_console, plain_table

SIZES: dict[str, tuple[int, int]] = {
    "feelvos": (480, 854),
    "feelvos_light": (480, 854),
    "mivos": (480, 864),
    "portrait": (160, 288),
    "rvos": (240, 427),
    "rvos_zero_shot": (240, 427),
    "siammask": (480, 854),
    "siammask_light": (480, 854),
    "stm": (480, 864),
    "stm_light": (480, 864),
    "tiny": (480, 854),
}
"""Network -> height and width of the frames, pixels; SiamMask cuts 255 x 255 out of them."""
TASKS = {"portrait": "zero_shot", "rvos_zero_shot": "zero_shot"}
REFERENCE = (480, 864)
"""Of the frames that the ResNet-50 sees."""


@dataclass(frozen=True)
class Measured:
    """What frames cost. seconds, resident: of each frame from the second on, and bytes of the process after it. peak:
    most bytes. macs: multiply-adds of a frame. rate: multiply-adds a second of the ResNet-50."""

    seconds: tuple[float, ...]
    resident: tuple[int, ...]
    peak: int
    macs: float
    rate: float

    @property
    def frame(self) -> float:
        """Seconds; the median counts, so that a busy machine disturbs less."""
        return float(np.median(self.seconds))

    @property
    def ratio(self) -> float:
        """To the time of a ResNet-50 for as many multiply-adds."""
        return self.frame * self.rate / self.macs

    @property
    def growth(self) -> float:
        """MiB a frame over the second half of the video."""
        half = len(self.resident) // 2
        return (self.resident[-1] - self.resident[half]) / max(1, len(self.resident) - 1 - half) / 2**20


def run(name: str, objects: int, frames: int, threads: int) -> Measured:
    """Follow objects over so many frames, in this process."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build_network(numbers_of(name)).eval().requires_grad_(False)
    task = TASKS.get(name, "vos")
    seconds, resident = [], []
    with Session(model, task, size=0, keep_results=False) as session:
        for frame, given in islice(film(name, objects), frames):
            start = time.perf_counter()  # what draws the frames does not count
            session.step(frame, given)
            seconds.append(time.perf_counter() - start)
            resident.append(resident_bytes())
    peak = peak_bytes()
    macs = multiply_adds(model, name, objects)
    return Measured(tuple(seconds[1:]), tuple(resident[1:]), peak, macs, reference_rate())


def film(name: str, objects: int) -> Iterator[tuple[NDArray[np.uint8], list[Prompt]]]:
    """Frames, and what is said on them: masks of the objects on the first one, where the task takes any."""
    for index, (frame, labels) in enumerate(moving_frames(*SIZES[name], objects)):
        shown = range(1, objects + 1) if index == 0 and name not in TASKS else ()
        yield frame, [Mask(number, labels == number) for number in shown]


def multiply_adds(model: Any, name: str, objects: int) -> float:
    """Of the third frame."""
    # convolutions with what follows them inside have a name of their own
    inside = {torch.ops.mkldnn._convolution_pointwise: pointwise_flop}
    with Session(model, TASKS.get(name, "vos"), size=0, keep_results=False) as session:
        for frame, given in islice(film(name, objects), 3):
            with FlopCounterMode(display=False, custom_mapping=inside) as counter:
                session.step(frame, given)
    return float(counter.get_total_flops() / 2)


def pointwise_flop(x: Any, weight: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
    """Of a convolution with what follows it, given by shapes."""
    return int(conv_flop_count(x, weight, out_shape))


def reference_rate() -> float:
    """Multiply-adds a second of timm's ResNet-50 features."""
    import timm

    network = timm.create_model("resnet50", features_only=True).eval()
    image = torch.randn(1, 3, *REFERENCE)
    seconds = []
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network(image)
        for _ in range(PASSES + 1):
            start = time.perf_counter()
            network(image)
            seconds.append(time.perf_counter() - start)
    return float(counter.get_total_flops() / 2 / np.median(seconds[1:]))


def apart(name: str, objects: int, frames: int, threads: int) -> Measured:
    """`run` in a process of its own, so that its peak of memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (name, objects, frames, threads))


def show(found: Mapping[str, Measured]) -> None:
    """Print the table."""
    heads = "model", "frame", "ms", "G multiply-adds", "of R50's time", "peak, MiB", "MiB a frame"
    table = plain_table("", *heads, no_wrap=True)
    for name, one in found.items():
        table.add_row(
            name,
            "x".join(map(str, SIZES[name])),
            f"{1000 * one.frame:.0f}",
            f"{one.macs / 1e9:.2f}",
            f"{one.ratio:.2f}",
            f"{one.peak / 2**20:.0f}",
            f"{one.growth:.2f}",
        )
    console = plain_console()
    print_whole(table)
    console.print("of R50's time: as a multiple of what a ResNet-50 takes for as many multiply-adds", highlight=False)


def main(argv: Sequence[str]) -> int:
    """`univs benchmark models`: print the table. Raises UserError for what cannot be read."""
    parser = Parser("univs benchmark models", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help=f"of {', '.join(SIZES)}; default: all of them")
    parser.add_argument("--objects", type=a_number_of_objects, default=1)
    parser.add_argument("--frames", type=int, default=12, help="of the video; 500 shows whether memory grows")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in SIZES:
            raise UserError(f"no model {name} in this table; there are {', '.join(SIZES)}")
    if options.threads < 1 or options.frames < 3:
        raise UserError("--threads must be at least 1, --frames at least 3")
    console = plain_console()
    found = {}
    for name in options.names or SIZES:
        with console.status(name):
            found[name] = apart(name, options.objects, options.frames, options.threads)
    show(found)
    return 0
