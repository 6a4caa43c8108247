"""One benchmark from its files to its figures: find the videos, answer them, write what is official, score it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from univs.errors import UserError
from univs.evaluation.metrics.score_printing import plain
from univs.evaluation.metrics.scores import Scores
from univs.evaluation.run.benchmark import Benchmark
from univs.evaluation.run.questions import PromptKind, prompted_by
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.running import AnswerStore, NewSession, run
from univs.evaluation.run.sharding import World, deal
from univs.evaluation.run.stamps import digest, stamp_files
from univs.evaluation.run.table import BENCHMARKS
from univs.formats import SETS, Recording, RecordingSet, read_set
from univs.formats.checking import need_whole
from univs.formats.files import write_json
from univs.terminal import progress_bar


@dataclass(frozen=True)
class Job:
    """The videos that a benchmark asks about.

    folder: of everything that is written. made_from: what the answers depend on beside the model. whole: whether these
    are all videos of the split.
    """

    benchmark: Benchmark
    data: RecordingSet
    recordings: Sequence[Recording]
    folder: Path
    made_from: Mapping[str, Any]
    whole: bool = True

    @property
    def title(self) -> str:
        """Set and split."""
        return f"{self.benchmark.dataset} {self.data.split}".strip()


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    figures: those of papers, in percent, none where there is no ground truth. submission: the checked zip file for the
    server, if one scores this split. note: what a reader should know. made_under: the settings of the answers.
    """

    job: Job
    records: Sequence[VideoRecord]
    scores: Scores | None
    submission: Path | None
    note: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    made_under: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Frames that the model looked at."""
        return sum(record.num_frames for record in self.records)

    @property
    def first_ious(self) -> list[float]:
        """IoU of each object that was shown on the frame on which it was."""
        return [iou for record in self.records for iou in record.first_ious.values()]

    @property
    def seconds(self) -> float:
        """Seconds spent in the model, of all processes together."""
        return sum(record.seconds for record in self.records)


def find_job(
    dataset: str, root: str | Path, split: str | None, videos: int | None, out: Path, prompt: PromptKind = "mask"
) -> Job:
    """The videos of a benchmark, or the first `videos` of them, longest first.

    prompt: how objects are shown, where they are. Raises UserError for an unknown benchmark or split, and for files
    that are missing or do not fit.
    """
    name = dataset.lower().replace("-", "_")
    if name not in BENCHMARKS:
        raise UserError(f"unknown benchmark {dataset}: choose one of {', '.join(BENCHMARKS)}")
    data = read_set(name, root, split)
    count = len(data.recordings) if videos is None else min(videos, len(data.recordings))
    recordings = [data.recordings[place] for place in range(count)]
    if not recordings:
        raise UserError(f"{name}: {data.root} has no video in the split {data.split}")
    benchmark = BENCHMARKS[name]
    if prompt != "mask":
        benchmark = replace(benchmark, ask=prompted_by(benchmark.ask, prompt, name))
    made_from = {
        "split": data.split,
        "root": str(data.root.resolve()),
        "label_file": stamp_files([data.file]),
        "classes": digest((list(data.classes.items()), sorted(data.things))),
        "prompt": prompt,
    }
    return Job(benchmark, data, recordings, out / name / data.split, made_from, count == len(data.recordings))


def answer(
    job: Job, new_session: NewSession, settings: Mapping[str, Any], world: World, console: Console
) -> Outcome | None:
    """Answers the videos of a job and scores the answers; None in all processes but the first.

    Args:
        settings: what the answers depend on; those made under others are made again.
    Raises UserError, before the first frame is answered, for files of these videos that cannot be read to their end,
    and where two videos have one name.
    """
    benchmark = job.benchmark
    made_under = {"dataset": benchmark.dataset, "task": benchmark.task, **job.made_from, **settings}
    writer = benchmark.writer(job.folder / "predictions", job.data)
    store = AnswerStore(job.folder / "videos", writer, made_under)
    share = deal(lengths_of(job.recordings), world.size)[world.rank]
    recordings = [job.recordings[place] for place in share]

    def remark(recording: Recording, record: VideoRecord) -> None:
        if said := benchmark.measure.remark(writer, recording, record):
            console.print(said, highlight=False, soft_wrap=True)

    with progress_bar(console) as bar:
        files = bar.add_task("files", total=None)
        need_whole(
            [recording for recording in recordings if store.record(recording) is None],
            lambda done, total: bar.update(files, completed=done, total=total),
            f"univs datasets check {benchmark.dataset} {job.data.root}" if benchmark.dataset in SETS else "",
        )
        bar.remove_task(files)
        frames = bar.add_task(job.title, total=None)
        run(
            recordings,
            lambda recording: benchmark.ask(recording, job.data),
            new_session,
            store,
            lambda done, total: bar.update(frames, completed=done, total=total),
            remark,
        )
    world.wait()
    if world.rank:
        return None
    writer.finish(job.recordings)
    records = [record for recording in job.recordings if (record := store.record(recording))]
    if len(records) != len(job.recordings):
        raise UserError(f"{job.folder} lacks answers that were there; something else writes to this folder")
    submission = make_submission(job, writer.pred)
    scores = benchmark.measure.score(job.data, job.recordings, job.folder, writer)
    outcome = Outcome(
        job,
        records,
        scores,
        submission,
        note_of(job, scores, submission),
        benchmark.main_figures(scores) if scores else {},
        made_under,
    )
    write_summary(outcome)
    return outcome


def lengths_of(recordings: Sequence[Recording]) -> list[int]:
    """Frames of each video. Raises UserError where two have one name: the answers of one would count for both."""
    firsts: dict[str, tuple[Path, ...]] = {}
    lengths = []
    for recording in recordings:
        name, first = recording.name, recording.frames[:1]
        if name in firsts:
            raise UserError(
                f"two videos are called {name}: {_beginning(firsts[name])} and {_beginning(first)}; "
                "give one another name, or leave it out"
            )
        firsts[name] = first
        lengths.append(len(recording))
    return lengths


def _beginning(first: Sequence[Path]) -> str:
    return f"the one that begins with {first[0]}" if first else "one without frames"


def make_submission(job: Job, pred: Path) -> Path | None:
    """The zip file for the server, checked; None where no server scores this split."""
    server = job.benchmark.server
    if server is None or job.data.split not in server.splits:
        return None
    return server.submission(job.folder / "submission.zip", pred, job.data, job.recordings)


def note_of(job: Job, scores: Scores | None, submission: Path | None) -> str:
    """What a reader of the figures should know."""
    part = "" if job.whole else f"the first {len(job.recordings)} videos"
    if scores is None:
        missing = "scored by its server" if submission else job.benchmark.measure.lacking(job.data)
        return f"{missing}, {part}" if part else missing
    return part


def write_summary(outcome: Outcome) -> None:
    """Writes summary.json."""
    scores = outcome.scores
    content = {
        "settings": outcome.made_under,
        "videos": len(outcome.records),
        "frames": outcome.frames,
        "seconds": outcome.seconds,
        "note": outcome.note,
        "first_frame_iou": 100 * fmean(outcome.first_ious) if outcome.first_ious else None,
        "figures": plain(outcome.figures),
        "summary": plain(scores.summary) if scores else {},
        "rows": plain(scores.rows) if scores else {},
        **(plain(outcome.job.benchmark.measure.fields(scores)) if scores else {}),
        "submission": str(outcome.submission) if outcome.submission else None,
    }
    write_json(outcome.job.folder / "summary.json", content, indent=1, allow_nan=False)
