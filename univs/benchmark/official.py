"""Speed and memory at the released settings of UniVS, task by task: `univs benchmark official`.

Without a weights file the weights are drawn at random: what a frame costs depends on the sizes and on how much is
followed, not on what the weights know. Machines differ, so times are also given as multiples of one forward pass of a
plain ResNet-50 (timm, float32) over the same frame in the same process.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from univs.allocator import keep_freed_memory
from univs.benchmark.memory import peak_bytes, resident_bytes
from univs.benchmark.step import PartsClock, moving_frames
from univs.commands.argument_types import Parser, read_size
from univs.errors import UserError
from univs.models.features import TextFeatures
from univs.models.precision import PRECISIONS
from univs.models.univs import UniVS
from univs.prompts import Categories, Mask, Prompt, Text
from univs.streaming import Session
from univs.terminal import plain_console, plain_table
from univs.vocabularies import vocabulary

OBJECTS = 2
"""Objects, expressions, or the most entities that are found on a frame."""
SIZE = (480, 864)
FLAT_AT = (20, 100, 500)
PASSES = 7
"""Forward passes of the plain ResNet-50; their median counts."""

PARTS: tuple[tuple[str, type, str], ...] = (
    ("encoder", UniVS, "normalize"),
    ("encoder", UniVS, "encode_image"),
    ("prompt encoder", UniVS, "encode_masks"),
    ("prompt encoder", UniVS, "encode_boxes"),
    ("prompt encoder", UniVS, "prompt_queries"),
    ("prompt encoder", UniVS, "text_prompts"),
    ("decoder", UniVS, "prepare"),
    ("decoder", UniVS, "decode"),
)
"""What the parts of the time are: name, class, method; the rest is assembly."""

CATEGORIES = {"vis": "ytvis21", "vps": "vipseg", "vss": "vspw"}
WORDS = 12
"""Words of an expression."""


class RandomWords:
    """A text encoder whose embeddings are drawn by the length of the text: what they cost is what matters."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """As many words for each text."""
        g = torch.Generator().manual_seed(len(texts[0]))
        words = torch.randn(len(texts), WORDS, self.dim, generator=g)
        return TextFeatures(words, torch.ones(len(texts), WORDS, dtype=torch.bool), words.mean(1))

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        """Unit vectors."""
        g = torch.Generator().manual_seed(len(names))
        return torch.nn.functional.normalize(torch.randn(len(names), self.dim, generator=g), dim=1)


@dataclass(frozen=True)
class Run:
    """What one task took. seconds: of each frame. parts: seconds of each part, over all frames. resident: bytes after
    each frame. peak: most bytes of the process. unit: seconds of one forward pass of a plain ResNet-50. followed:
    objects on the last frame."""

    seconds: tuple[float, ...]
    parts: Mapping[str, float]
    resident: tuple[int, ...]
    peak: int
    unit: float
    followed: int


def random_model(name: str) -> UniVS:
    """A model of that name in configs/model with weights drawn at random, the same ones every time."""
    from univs.configuration import compose
    from univs.models.zoo import build_model

    torch.manual_seed(0)
    return build_model(compose("train", [f"model={name}", "data.root=unused"])["model"]).eval()


def plain_pass(height: int, width: int) -> float:
    """Median seconds of one forward pass of timm's ResNet-50 features."""
    import timm

    network = timm.create_model("resnet50", features_only=True).eval()
    image = torch.randn(1, 3, height, width)
    seconds = []
    with torch.inference_mode():
        for _ in range(PASSES + 1):
            start = time.perf_counter()
            network(image)
            seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def session_for(model: UniVS, task: str, clip_length: int, **options: Any) -> Session:
    """A session at the released settings, with words drawn at random."""
    words = RandomWords(model.mask_decoder.class_projection.out_features)
    options["clip_length"] = clip_length
    if task in CATEGORIES:
        known = vocabulary(CATEGORIES[task])
        options["categories"] = Categories(known.names, known.things)
        options["class_embeddings"] = words.encode_categories(known.names)
    elif task == "pvos":
        options["class_embeddings"] = words.encode_categories(vocabulary("vipseg").names)
    elif task == "refvos":
        options["text_encoder"] = words
    if task == "vis":
        options["most"] = OBJECTS
    return Session(model, task, keep_results=False, way="clip", **options)


def first_prompts(task: str, labels: np.ndarray) -> list[Prompt]:
    """What is said on the first frame."""
    if task in CATEGORIES:
        return []
    if task == "refvos":
        return [Text(f"expression {number}", number) for number in range(1, OBJECTS + 1)]
    return [Mask(number, labels == number) for number in range(1, OBJECTS + 1)]


def run(
    weights: str | None, task: str, size: tuple[int, int], frames: int, clip_length: int, threads: int, **options: Any
) -> Run:
    """One task over synthetic moving frames, in this process."""
    from univs.models.zoo import load_univs

    keep_freed_memory()
    torch.set_num_threads(threads)
    model = random_model("r50") if weights is None else load_univs(weights)
    clock, seconds, resident, followed = PartsClock(), [], [], 0
    session = session_for(model, task, clip_length, **options)
    del model  # a session keeps what it needs
    with session, clock.watching(PARTS):
        for index, (frame, labels) in zip(range(frames), moving_frames(*size, OBJECTS), strict=False):
            start = time.perf_counter()
            session.push(frame, first_prompts(task, labels) if index == 0 else [])
            seconds.append(time.perf_counter() - start)
            resident.append(resident_bytes())
        followed = len(session.object_ids)
        start = time.perf_counter()
        session.flush()
        seconds[-1] += time.perf_counter() - start
    clock.seconds["assembly"] = sum(seconds) - sum(clock.seconds.values())
    peak = peak_bytes()
    return Run(tuple(seconds), clock.seconds, tuple(resident), peak, plain_pass(*size), followed)


def apart(*arguments: Any, **options: Any) -> Run:
    """`run` in a process of its own, so that peak memory is that of the task alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, arguments, options)


def speed_table(runs: Mapping[str, Run], frames: int, clip_length: int) -> Table:
    """One column for each task: time of a frame (the mean over the video), its parts, memory."""
    title = f"released settings, {SIZE[0]}x{SIZE[1]}, {frames} frames, clips of {clip_length}, stride 1"
    table = plain_table(title, "", *runs)
    columns = list(runs.values())
    mean = [sum(one.seconds) / frames for one in columns]
    table.add_row("ResNet-50 passes a frame", *(f"{m / one.unit:.1f}" for m, one in zip(mean, columns, strict=True)))
    table.add_row("seconds a frame", *(f"{m:.2f}" for m in mean))
    table.add_row("frames a second", *(f"{1 / m:.2f}" for m in mean), end_section=True)
    for part in columns[0].parts:
        table.add_row(f"{part}, passes", *(f"{one.parts[part] / frames / one.unit:.2f}" for one in columns))
    table.add_row("peak memory, GiB", *(f"{one.peak / 2**30:.2f}" for one in columns))
    table.add_row("one pass, seconds", *(f"{one.unit:.3f}" for one in columns))
    table.add_row("followed on the last frame", *(str(one.followed) for one in columns))
    return table


def flat_table(runs: Mapping[str, Run], size: tuple[int, int], at: Sequence[int]) -> Table:
    """Resident memory and time per frame up to some frames of one video."""
    table = plain_table(f"one video of {size[0]}x{size[1]}", "", *(f"{count} frames" for count in at))
    for task, one in runs.items():
        table.add_row(f"{task}, resident MiB", *(f"{one.resident[count - 1] / 2**20:.0f}" for count in at))
        lately = [np.mean(one.seconds[max(0, count - 20) : count]) * 1000 for count in at]
        table.add_row(f"{task}, ms a frame (mean of 20)", *(f"{ms:.0f}" for ms in lately), end_section=True)
    return table


def main(argv: Sequence[str]) -> int:
    """`univs benchmark official`: print the tables. Raises UserError for what cannot be read."""
    parser = Parser("univs benchmark official", description=__doc__)
    tasks = ("vos", "refvos", "vis", "vps", "vss", "pvos")
    parser.add_argument("--tasks", nargs="+", default=list(tasks), choices=tasks)
    parser.add_argument("--weights", metavar="PATH", help="official checkpoint; left out: R50 drawn at random")
    parser.add_argument("--clip", type=int, default=5, help="T, frames of a clip")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32", choices=list(PRECISIONS))
    parser.add_argument("--compile", action="store_true", help="compile the backbone")
    parser.add_argument(
        "--flat", metavar="HEIGHTxWIDTH", nargs="?", const="128x224", help="memory and time over long videos instead"
    )
    parser.add_argument("--at", type=int, nargs="+", default=list(FLAT_AT), help="frames after which --flat looks")
    options = parser.parse_args(argv)
    if min(options.clip, options.frames, options.threads, *options.at) < 1:
        raise UserError("--clip, --frames, --threads and --at must be at least 1")
    console = plain_console()
    size = read_size(options.flat, "--flat") if options.flat else SIZE
    frames = max(options.at) if options.flat else options.frames
    runs: dict[str, Run] = {}
    for task in options.tasks:
        with console.status(task):
            how = {"precision": options.precision, "compiled": options.compile}
            runs[task] = apart(options.weights, task, size, frames, options.clip, options.threads, **how)
    if options.flat:
        console.print(flat_table(runs, size, sorted(options.at)))
    else:
        console.print(speed_table(runs, frames, options.clip))
    return 0
