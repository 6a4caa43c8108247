"""From the command to the first frame, task by task, and one clip at three sizes: `univs benchmark start`.

The first table runs the real command in a process of its own and waits for the first file of an answer; the second
follows one object through the same clip at 480p, 1080p and 2160p, side by side, with the sizes taking turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from rich.table import Table

from univs.commands.argument_types import Parser
from univs.errors import UserError
from univs.models.weights_path import WEIGHTS, weights_path
from univs.prompts import Box
from univs.terminal import plain_console, plain_table
from univs.video import VideoWriter, open_video

CLIP = WEIGHTS / "clips" / "bunny.mp4"
BOX = "1@0:250,120,390,240"
NAMES = "rabbit, bird, tree, grass, sky"
QUESTIONS: Mapping[str, Sequence[str]] = {
    "vos": ("--box", BOX),
    "refvos": ("--text", "the tree"),
    "vis": ("--task", "vis", "--categories", NAMES),
    "vss": ("--task", "vss", "--categories", NAMES),
    "vps": ("--task", "vps", "--categories", "synth"),
    "pvos": ("--box", BOX, "--name", "1:tree"),
}
"""Task -> what is asked of the built-in clip."""
PATIENCE = 120.0
"""Seconds until a command that gives no answer is given up."""

SIZES = {"480p": (480, 854), "1080p": (1080, 1920), "2160p": (2160, 3840)}
FIRST_SHOWN = 40
"""Frame of the clip from which the rabbit is in full view."""
RABBIT = (100 / 640, 17 / 360, 355 / 640, 303 / 360)
"""Its box there, as shares of width and height."""
SETTLING = 3
"""Frames before the clock starts."""


@dataclass(frozen=True)
class Start:
    """Seconds from the command to the first file of an answer; CPU seconds by then, where the system tells."""

    seconds: float
    cpu: float | None


@dataclass(frozen=True)
class FrameCost:
    """Median seconds of a frame: decoding it, making it small, the model, masks of its own size."""

    decode: float
    resize: float
    model: float
    masks: float

    @property
    def total(self) -> float:
        """All four."""
        return self.decode + self.resize + self.model + self.masks


def first_answer(arguments: Sequence[str], threads: int) -> Start:
    """Start `univs segment` on the built-in clip and stop it after the first frame.

    Raises UserError with its last line if it ends, or gives nothing in two minutes.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        command = [sys.executable, "-m", "univs", "segment", str(CLIP), "--out", str(folder), *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        started = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                while not any(folder.glob("*/00000.png")):
                    waited = time.perf_counter() - started
                    if process.poll() is not None or waited > PATIENCE:
                        process.kill()
                        lines = process.communicate()[1].decode(errors="replace").splitlines() or ["no answer"]
                        raise UserError(f"univs segment {' '.join(arguments)}: {lines[-1]}")
                    time.sleep(0.002)
                return Start(time.perf_counter() - started, cpu_seconds(process.pid))
            finally:
                process.kill()


def cpu_seconds(pid: int) -> float | None:
    """What a running process has used, user and system; None where /proc does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_clips(folder: Path, frames: int) -> dict[str, Path]:
    """The first frames of the built-in clip that show the rabbit, as a video file of each of `SIZES`."""
    from PIL import Image

    paths = {name: folder / f"{name}.mp4" for name in SIZES}
    with ExitStack() as stack:
        writers = {name: stack.enter_context(VideoWriter(path, 25)) for name, path in paths.items()}
        for index, frame in enumerate(open_video(CLIP)):
            if index >= FIRST_SHOWN + frames:
                break
            if index >= FIRST_SHOWN:
                for name, (height, width) in SIZES.items():
                    picture = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
                    writers[name].write(np.asarray(picture))
    return paths


def frame_costs(weights: str, clips: Mapping[str, Path]) -> dict[str, FrameCost]:
    """What a frame of each clip costs, with the model's own short side; all clips go on together, frame by frame."""
    from univs.benchmark.step import PartsClock
    from univs.masks.geometry import Geometry
    from univs.models.zoo import load_univs
    from univs.streaming import Session
    from univs.trackers.frame.tracker import Followed

    model, clock = load_univs(weights), PartsClock()
    readers = {name: open_video(path) for name, path in clips.items()}
    prompts = {}
    for name, reader in readers.items():
        height, width = reader.size
        x0, y0, x1, y1 = RABBIT
        prompts[name] = [Box(1, (x0 * width, y0 * height, x1 * width, y1 * height))]
    sessions = {name: Session(model, "vos", keep_results=False) for name in clips}
    sources = {name: iter(reader) for name, reader in readers.items()}
    spent: dict[str, list[FrameCost]] = {name: [] for name in clips}
    with (
        patch.object(Geometry, "shrink_frame", clock.wrap("resize", Geometry.shrink_frame)),
        patch.object(Followed, "labels", clock.wrap("masks", Followed.labels)),
    ):
        while True:
            for name, session in sessions.items():
                clock.seconds = dict.fromkeys(clock.seconds, 0.0)
                started = time.perf_counter()
                frame = next(sources[name], None)
                decoded = time.perf_counter()
                if frame is None:
                    return {name: typical(costs[SETTLING:]) for name, costs in spent.items()}
                session.step(frame, prompts.pop(name, ()))
                resize, masks = clock.seconds["resize"], clock.seconds["masks"]
                model_alone = time.perf_counter() - decoded - resize - masks
                spent[name].append(FrameCost(decoded - started, resize, model_alone, masks))


def typical(costs: Sequence[FrameCost]) -> FrameCost:
    """The median of each part."""
    parts = zip(*((cost.decode, cost.resize, cost.model, cost.masks) for cost in costs), strict=True)
    return FrameCost(*map(median, parts))


def start_table(starts: Mapping[str, Sequence[Start]], threads: int) -> Table:
    """A row for each task: seconds of the best run and the median, CPU seconds of the best."""
    title = f"from the command to the first frame, {threads} threads"
    table = plain_table(title, "task", "seconds, best", "median", "CPU seconds", title_justify="left")
    for task, runs in starts.items():
        cpu = [run.cpu for run in runs if run.cpu is not None]
        seconds = [run.seconds for run in runs]
        table.add_row(task, f"{min(seconds):.2f}", f"{median(seconds):.2f}", f"{min(cpu):.2f}" if cpu else "not known")
    return table


def cost_table(costs: Mapping[str, FrameCost]) -> Table:
    """A row for each size: milliseconds a frame, and those of the parts."""
    columns = ("", "decode", "resize", "model", "full-size masks", "all", "model and masks")
    table = plain_table("vos, one object, milliseconds a frame", *columns, title_justify="left")
    for name, cost in costs.items():
        parts = (cost.decode, cost.resize, cost.model, cost.masks, cost.total, cost.model + cost.masks)
        table.add_row(name, *(f"{1000 * part:.1f}" for part in parts))
    return table


def main(argv: Sequence[str]) -> int:
    """Print both tables. Raises UserError for options that cannot be read and for a command that fails."""
    parser = Parser("univs benchmark start", description=__doc__)
    parser.add_argument("--weights", default="tiny", metavar="NAME|PATH")
    parser.add_argument("--runs", type=int, default=3, help="of each command, after one that does not count")
    parser.add_argument("--frames", type=int, default=20, help="of the clip at three sizes; 0: leave it out")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args(argv)
    if options.runs < 1 or options.threads < 1:
        raise UserError("--runs and --threads must be at least 1")
    if options.frames and options.frames <= SETTLING:
        raise UserError(f"--frames must be 0 or more than {SETTLING}, which settle before the clock starts")
    chosen = ("--weights", str(weights_path(options.weights))) if options.weights != "tiny" else ()
    console = plain_console()
    first_answer((*QUESTIONS["vos"], *chosen), options.threads)  # files come into memory, compiled modules to disk
    starts = {
        task: [first_answer((*asked, *chosen), options.threads) for _ in range(options.runs)]
        for task, asked in QUESTIONS.items()
    }
    console.print(start_table(starts, options.threads))
    if options.frames:
        import torch

        torch.set_num_threads(options.threads)
        with tempfile.TemporaryDirectory() as folder:
            console.print(cost_table(frame_costs(options.weights, write_clips(Path(folder), options.frames))))
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    if busy is not None:
        console.print(f"{os.cpu_count()} processors; {busy:.1f} processes wanted one in the last minute")
    return 0
