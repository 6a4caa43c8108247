"""Where the time of a training step goes: `univs benchmark training`.

Takes the settings of `univs train` (stage=clip, stage.batch_size=8, data.root=...). Without any for data, the built-in
world is drawn. The waiting for data is that of a trainer whose processes work ahead; what a step costs does not depend
on what the model knows, so its weights are random unless init= names some.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.table import Table

from univs.allocator import keep_freed_memory
from univs.benchmark.memory import peak_bytes
from univs.benchmark.step import PartsClock
from univs.commands.argument_types import Parser
from univs.configuration import compose
from univs.errors import UserError
from univs.terminal import plain_console, plain_table
from univs.training.loading import batches
from univs.training.plan import crop_words
from univs.training.run import device_of_this_process, prepare, prepare_cpu, prepare_gpu
from univs.training.stages import check_run
from univs.training.trainer import Trainer

PARTS = (("forward", Trainer, "losses"), ("backward", Trainer, "backward"), ("optimizer, average", Trainer, "update"))
WAITING = "waiting for data"


@dataclass(frozen=True)
class Timing:
    """What steps took. seconds: the mean. parts: share of each. frames: of a step. precision: number format.

    peak: most bytes at a time, of the GPU where it ran there, else of the process.
    """

    seconds: float
    parts: Mapping[str, float]
    frames: int
    peak: int
    precision: str


class DeviceClock(PartsClock):
    """A clock that waits for what a device was told to do."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time counted."""

        def done(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            return result

        return super().wrap(part, done)


def measure(settings: Mapping[str, Any], device: torch.device, steps: int, warm_up: int) -> Timing:
    """Time so many steps after the warm-up, with checked settings."""
    stage = settings["stage"]
    torch.manual_seed(settings["seed"])
    made = prepare(settings, device, 1)
    loader = batches(made.data, stage["batch_size"], stage["workers"], 0, 1, made.collate)
    clock = DeviceClock(device)
    with TemporaryDirectory() as folder, closing(loader(0)) as given, clock.watching(PARTS):
        trainer = Trainer(made.model.train(), made.step, loader, made.options, Path(folder), device)
        take = clock.wrap(WAITING, lambda: [next(given) for _ in range(made.options.accumulate)])
        start = 0.0
        for number in range(warm_up + steps):
            if number == warm_up:
                clock.seconds = dict.fromkeys(clock.seconds, 0.0)
                start = time.perf_counter()
            values = trainer.gradients(take(), number / (warm_up + steps))
            trainer.update(values["gradient_norm"])
            trainer.step_number += 1
        total = time.perf_counter() - start
    parts = {**clock.seconds, "the rest": total - sum(clock.seconds.values())}
    order = (WAITING, *(name for name, _, _ in PARTS), "the rest")
    peak = peak_bytes()
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    frames = stage["batch_size"] * made.options.accumulate * stage.get("frames", 1)
    return Timing(total / steps, {name: parts[name] / total for name in order}, frames, peak, trainer.precision)


def timing_table(settings: Mapping[str, Any], device: torch.device, timing: Timing) -> Table:
    """Frames a second, and the share of each part of a step."""
    table = plain_table("a training step", "", "")
    table.add_row("model", settings["model"]["name"])
    table.add_row("on", f"{device}, {timing.precision}")
    table.add_row("frames", f"{timing.frames} of {crop_words(settings['stage']['size'])}", end_section=True)
    table.add_row("frames a second", f"{timing.frames / timing.seconds:.1f}")
    table.add_row("milliseconds a step", f"{1000 * timing.seconds:.0f}", end_section=True)
    for part, share in timing.parts.items():
        table.add_row(part, f"{share:.0%}")
    table.add_section()
    table.add_row("peak memory, MiB", f"{timing.peak / 2**20:.0f}")
    return table


def with_defaults(overrides: Sequence[str]) -> list[str]:
    """The settings that were given, and the built-in world and random weights where none were."""
    named = {override.lstrip("+~").partition("=")[0].partition(".")[0] for override in overrides}
    added = [] if "init" in named else ["init=null"]
    if "data" not in named:
        if "stage=words" in overrides:
            added += ["data=named_images", "data.root=-", "data.sources=[{kind: synth}]"]
        else:
            added += ["data.root=-", "data.sources=[]", "data.probabilities={photo: 0, video: 0, synth: 1}"]
    return [*added, *overrides]


def main(argv: Sequence[str]) -> int:
    """Print the table. Raises UserError for options and settings that cannot be used."""
    parser = Parser("univs benchmark training", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of univs train")
    parser.add_argument("--steps", type=int, default=10, help="to time, after a warm-up")
    parser.add_argument("--warm-up", type=int, default=3, metavar="STEPS", help="before the clock starts")
    parser.add_argument("--threads", type=int, help="CPU threads; left out: torch's own choice")
    options = parser.parse_args(argv)
    threads = torch.get_num_threads() if options.threads is None else options.threads
    if min(options.steps, threads) < 1 or options.warm_up < 0:
        raise UserError("--steps and --threads must be at least 1, --warm-up at least 0")
    keep_freed_memory()
    settings = compose("train", with_defaults(options.overrides))
    check_run(settings)
    torch.set_num_threads(threads)
    prepare_cpu()
    device = device_of_this_process(settings["device"])
    if device.type == "cuda":
        prepare_gpu()
    timing = measure(settings, device, options.steps, options.warm_up)
    plain_console().print(timing_table(settings, device, timing))
    return 0
