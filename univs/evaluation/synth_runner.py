"""Runs a model over clips of SynthVS and scores one task on them: `univs evaluate dataset=synth task=...`.

Every clip leaves one JSON file as soon as it is done; a run that was killed goes on from there.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from univs.claim import claim_folder
from univs.data.synth import SynthVS
from univs.data.synth.vocabulary import vocabulary
from univs.devices import choose_device
from univs.errors import UserError
from univs.evaluation.fingerprint import fingerprint
from univs.evaluation.records import BROKEN, of_other_runs, read_record, write_record
from univs.evaluation.synth import EXAMS, exam
from univs.evaluation.tallies import Tally, mean, total
from univs.files import atomic_path
from univs.formats.sample import VideoSample
from univs.results import FrameResult
from univs.settings import Device, Is, Seed, ShortSide, Text, Within, check, settings_of
from univs.terminal import plain_console, progress_bar


class Pusher(Protocol):
    """What answers a video: a `univs.Session`."""

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]: ...

    def flush(self) -> list[FrameResult]: ...


@dataclass(frozen=True)
class ClipRecord:
    """The result of one clip."""

    name: str
    num_frames: int
    seconds: float  # spent in the model
    tally: Tally

    @property
    def speed(self) -> float:
        """Frames a second."""
        return self.num_frames / self.seconds if self.seconds > 0 else math.nan

    def write(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Writes the record with the settings it was made under, whole or not at all."""
        content = {"name": self.name, "num_frames": self.num_frames, "seconds": self.seconds, "tally": self.tally}
        write_record(path, settings, content)

    @classmethod
    def read(cls, path: Path, settings: Mapping[str, Any]) -> ClipRecord | None:
        """The record in a file; None if there is none, or it cannot be read, or was made under other settings."""
        try:
            content = read_record(path, settings)
            tally = {key: (float(a), float(b)) for key, (a, b) in content["tally"].items()}
            return cls(content["name"], content["num_frames"], content["seconds"], tally)
        except BROKEN:
            return None


def evaluate(
    dataset: str,
    task: str,
    videos: Annotated[int, Is("the number of clips"), Within(1)],
    seed: Seed,
    data: Mapping[str, Any],
    weights: Text = "tiny",
    size: ShortSide | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
) -> list[ClipRecord]:
    """Scores a task on the first `videos` clips of SynthVS at a seed; `data` are further arguments of `SynthVS`.

    Settings are those of configs/dataset/synth.yaml; `size` is the short side (pixels) at which the model sees a frame.
    Prints a table and writes it to `out`/summary.json. Raises UserError for unknown tasks, settings and weights.
    """
    if task not in EXAMS:
        raise UserError(f"unknown task {task}: choose one of {', '.join(EXAMS)}")
    check(data, settings_of(SynthVS, leave_out=("seed", "length")), "data")
    if data.get("photos"):
        raise UserError("dataset synth: what a photo shows is not known, so data.photos cannot be scored")
    clips = SynthVS(seed=seed, length=videos, **data)
    device = choose_device(device)  # after the cheap checks: torch takes seconds to import

    from univs.models.zoo import load
    from univs.streaming import Session

    model = load(weights, device=device)

    def session() -> Session:
        return Session(model, task, size=size or 0, keep_results=False)

    session().close()  # an unknown task is refused before any work
    settings = {"dataset": dataset, "task": task, "seed": seed, "data": dict(data), "weights": str(weights),
                "fingerprint": fingerprint(model), "size": size}  # fmt: skip
    folder = Path(out) if out else Path("results") / dataset / task
    console = plain_console()
    with claim_folder(folder, "out="):
        records = run(clips, task, session, settings, folder, console)
        with atomic_path(folder / "summary.json") as temporary:
            temporary.write_text(json.dumps({"settings": settings, "videos": videos, **summary(records)}, indent=1))
    console.print(results_table(records, task, f"SynthVS {clips.split}, {task}, weights {weights}"))
    console.print(f"{task} {summary(records)['score']:.1f}   (figures clip by clip: {folder}/sequences)")
    if others := of_other_runs(folder / "sequences", (f"{number:05d}" for number in range(len(clips)))):
        console.print(others, soft_wrap=True)
    return records


def run(
    clips: SynthVS,
    task: str,
    new_session: Callable[[], Pusher],
    settings: Mapping[str, Any],
    folder: Path,
    console: Console,
) -> list[ClipRecord]:
    """Records of the clips in their order; those in `folder` are taken from there."""
    records = []
    with progress_bar(console) as progress:
        bar = progress.add_task("clips", total=len(clips))
        for number in range(len(clips)):
            path = folder / "sequences" / f"{number:05d}.json"
            record = ClipRecord.read(path, settings)
            if record is None:
                record = run_clip(clips[number], task, new_session())
                record.write(path, settings)
            records.append(record)
            progress.advance(bar)
    return records


def run_clip(sample: VideoSample, task: str, session: Pusher) -> ClipRecord:
    """Asks and scores one clip. Where there is nothing to ask before some frame, the clip begins with that frame."""
    asked = exam(task, sample)
    if not asked.prompts:
        return ClipRecord(sample.name, 0, 0.0, {})
    first, seconds = min(asked.prompts), 0.0
    for index in range(first, len(sample.frames) + 1):
        start = time.perf_counter()
        if index < len(sample.frames):
            results = session.push(sample.frames[index], asked.prompts.get(index, ()))
        else:
            results = session.flush()
        seconds += time.perf_counter() - start
        for result in results:
            asked.take(result if first == 0 else _later(result, first))
    return ClipRecord(sample.name, len(sample.frames) - first, seconds, asked.tally())


def _later(result: FrameResult, frames: int) -> FrameResult:
    return replace(result, frame_index=result.frame_index + frames)


def summary(records: Sequence[ClipRecord]) -> dict[str, Any]:
    """The score (percent), the same over parts of the classes where keys are classes, and every key's own."""
    tally = total(record.tally for record in records)
    words = vocabulary()
    parts = {
        "seen things": set(words.things) - words.unseen,
        "unseen things": words.unseen,
        "stuff": set(words.stuff),
    }
    return {
        "score": 100 * mean(tally),
        "count": sum(denominator > 0 for _, denominator in tally.values()),
        "parts": {name: 100 * mean(tally, keys) for name, keys in parts.items() if any(key in tally for key in keys)},
        "keys": {key: 100 * a / b for key, (a, b) in sorted(tally.items()) if b > 0},
    }


def results_table(records: Sequence[ClipRecord], task: str, title: str) -> Table:
    """One row per clip, then the means."""
    over = EXAMS[task][1]
    table = Table(title=title)
    for heading in ("clip", over, "frames", "score", "frames/s"):
        table.add_column(heading, justify="left" if heading == "clip" else "right", no_wrap=True)
    for record in records:
        own = summary([record])
        figures = f"{own['score']:.1f}", f"{record.speed:.2f}"
        table.add_row(record.name, str(own["count"]), str(record.num_frames), *figures)
    table.add_section()
    every = summary(records)
    for name, score in every["parts"].items():
        table.add_row(name, "", "", f"{score:.1f}", "")
    frames = str(sum(record.num_frames for record in records))
    table.add_row(f"mean over {over}", str(every["count"]), frames, f"{every['score']:.1f}", "")
    return table
