"""`univs evaluate dataset=davis17_interactive`: how quickly masks become good while a robot corrects them.

Figures are those of `univs score interactive`: quality over time, the area under it, and J&F after 60 seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import numpy as np

from univs.claim import claim_folder
from univs.devices import choose_device
from univs.errors import UserError
from univs.evaluation.metrics.interactive import Curve, Round, choose, quality_curve
from univs.evaluation.metrics.score_printing import print_whole
from univs.evaluation.run.first_scribbles import read_scribbles
from univs.evaluation.run.interactive_rounds import (
    FirstScribbles,
    PlayedVideo,
    Robot,
    Rules,
    as_json,
    from_json,
    objects_of,
    play,
)
from univs.evaluation.run.official_session import drive, open_official
from univs.evaluation.run.records import BROKEN
from univs.evaluation.run.runner import RESULTS
from univs.evaluation.run.stamps import digest, stamp
from univs.evaluation.run.video_folders import find_sequences, shown_at_first
from univs.files import from_home
from univs.formats import Recording, read_set
from univs.formats.files import inside, write_json
from univs.settings import Count, Device, NotEmpty, Positive, ShortSide, Text
from univs.terminal import plain_console, plain_table

if TYPE_CHECKING:
    from torch import nn

    from univs.interactive.corrections import CorrectedVideo
    from univs.interactive.segmenters import Segmenter

ONE_OBJECT = "davis2016_interactive"
"""The data set in which all that is labelled is one object; the other is DAVIS-2017."""
MOMENT = 60.0
"""Seconds, at which quality is told."""


class SetData(TypedDict):
    """The folder of DAVIS."""

    root: Text


def evaluate(
    dataset: str,
    data: SetData,
    weights: Text,
    split: Text = "val",
    sequences: Annotated[Sequence[str], NotEmpty()] | None = None,
    max_frames: Count | None = None,
    segmenter: Text = "tiny",
    fusion: Text = "none",
    robot: Robot = "scribbles",
    interactions: Count = 8,
    seconds: Positive = 30.0,
    group: Count = 1,
    size: ShortSide | None = 480,
    session: Literal["own", "davisinteractive"] = "own",
    options: Mapping[str, Any] | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
) -> dict[str, Any]:
    """Plays the rounds of every sequence with every first scribble that a person drew, or with the robot's own.

    Settings are those of configs/dataset/davis17_interactive.yaml. Prints a table and writes `out`/summary.json;
    sequences that were played before with the same settings, weights and files are not played again. Raises UserError
    for missing data, unknown names and weights.
    """
    if session == "davisinteractive" and dataset == ONE_OBJECT:
        raise UserError("session=davisinteractive is for dataset=davis17_interactive")
    folder, root = Path(out) if out else RESULTS / dataset / robot, from_home(str(data["root"]))
    recordings = find_recordings(dataset, data, split, sequences, max_frames)
    rules = Rules(interactions, float(seconds), group, robot)
    methods = Methods(weights, segmenter, fusion, choose_device(device), size, options or {})
    settings = {
        "root": str(root.resolve()),
        "split": split,
        "max_frames": max_frames,
        "rules": vars(rules),
        **methods.settings,
    }
    console = plain_console()
    if session == "davisinteractive":
        return _official(str(root), split, recordings, rules, methods, folder)
    played: dict[tuple[str, int], PlayedVideo] = {}
    objects: dict[tuple[str, int], int] = {}
    with claim_folder(folder, "out="):
        for recording in recordings:
            ids = objects_of(recording)
            if not ids:
                raise UserError(f"{recording.name}: nothing is labelled, so there is nothing to correct")
            scribbles = read_scribbles(root, recording) if robot == "scribbles" else []
            for number, first in enumerate(scribbles or [None], 1):
                path = inside(folder / "sequences", f"{recording.name}_{number:03d}.json")
                made_under = {**settings, "files": stamp(recording), "first": digest(first)}
                found = _earlier(path, made_under, (len(recording.annotated), len(ids)))
                if found is None:
                    found = play_one(recording, ids, methods, rules, first)
                    write_json(path, {**as_json(found), "settings": made_under})
                sample = recording.name, number
                played[sample], objects[sample] = found, len(ids)
                console.print(f"{recording.name} {number}: {_words(found)}", highlight=False)
        summary = summarize(played, objects, rules)
        write_json(folder / "summary.json", {**summary, "settings": settings})
    show(dataset, played, summary)
    return summary


def _official(
    root: str, split: str, recordings: Sequence[Recording], rules: Rules, methods: Methods, folder: Path
) -> dict[str, Any]:
    """The rounds as the official package asks for them; its figures."""
    console = plain_console()
    with claim_folder(folder, "out="), open_official(root, split, rules, folder) as official:
        by_name = {recording.name: recording for recording in recordings}
        summary = drive(official, by_name, methods.new, lambda said: console.print(said, highlight=False))
        write_json(folder / "summary.json", {**summary, "settings": {"rules": vars(rules), **methods.settings}})
    console.print(f"AUC {100 * summary['auc']:.1f}", highlight=False)
    moment = summary["metric_at_threshold"]
    console.print(f"J&F after {moment['threshold']:g} s {100 * moment['J_AND_F']:.1f}", highlight=False)
    return summary


def find_recordings(
    dataset: str, data: SetData, split: str, sequences: Sequence[str] | None, max_frames: int | None
) -> list[Recording]:
    """The sequences to play. Raises UserError for missing data and unknown names."""
    if dataset == ONE_OBJECT:
        found = find_sequences("davis2016", {"root": data["root"]}, sequences, split)
        return [shown_at_first(sequence, True, max_frames) for sequence in found]
    every = {recording.name: recording for recording in read_set("davis17", data["root"], split).recordings}
    for name in sequences or ():
        if name not in every:
            raise UserError(f"no sequence {name} in the data set; there are {', '.join(sorted(every))}")
    return [every[name].first(max_frames) for name in sequences or sorted(every)]


def play_one(
    recording: Recording, ids: Sequence[int], methods: Methods, rules: Rules, first: FirstScribbles | None
) -> PlayedVideo:
    """One sequence with one first scribble."""
    method = methods.new(recording, ids)
    with closing(method.session):
        return play(recording, ids, method, rules, first)


class Methods:
    """What carries masks, a segmenter and a fusion, loaded once; a session for each sequence.

    Args:
        weights, segmenter: names or files. fusion: none, linear, or the file of a fusion network.
        device: as torch names it. size: short side at which the model sees a frame. options: of `interactive.Session`.
    Raises UserError for weights that are not there or of another kind of model.
    """

    def __init__(
        self, weights: str, segmenter: str, fusion: str, device: str, size: int | None, options: Mapping[str, Any]
    ) -> None:
        from univs.evaluation.run.fingerprint import fingerprint
        from univs.interactive.fusion import Fusion, learned, linear
        from univs.interactive.segmenters import segmenter_of
        from univs.models.fusion_files import load_fusion
        from univs.models.space_time_memory import SpaceTimeMemory
        from univs.models.univs import UniVS
        from univs.models.zoo import load

        model = load(weights, device)
        if not isinstance(model, SpaceTimeMemory | UniVS):
            raise UserError(
                f"weights={weights} carries no masks between frames: give tiny, stm_light, mivos, stm or a file of them"
            )
        self._model, self._size, self._options = model, size, dict(options)
        self._segmenter = segmenter_of(segmenter, device, size)
        known: dict[str, Fusion | None] = {"none": None, "linear": linear}
        network = None if fusion in known else load_fusion(fusion, device)
        self._fusion = known[fusion] if network is None else learned(network)
        self.settings = {
            "weights": str(weights),
            "fingerprint": fingerprint(model),
            "segmenter": str(segmenter),
            "segmenter_fingerprint": fingerprint(_network_of(self._segmenter)),
            "fusion": str(fusion),
            "fusion_fingerprint": fingerprint(network) if network else None,
            "size": size,
            "options": self._options,
        }

    def new(self, recording: Recording, ids: Sequence[int]) -> CorrectedVideo:
        """A session over a sequence."""
        from univs.interactive.corrections import CorrectedVideo
        from univs.interactive.session import Session
        from univs.video.images import ImageReader

        video = ImageReader(list(recording.frames), recording.name)
        session = Session(self._model, video, fusion=self._fusion, size=self._size, **self._options)
        return CorrectedVideo(session, self._segmenter, ids)


def _network_of(segmenter: Segmenter) -> nn.Module:
    """What a segmenter of `segmenter_of` asks."""
    from univs.interactive.segmenters import ClickSegmenter, PromptSegmenter, ScribbleSegmenter

    assert isinstance(segmenter, ClickSegmenter | PromptSegmenter | ScribbleSegmenter)
    return segmenter.model if isinstance(segmenter, PromptSegmenter) else segmenter.network


def summarize(
    played: Mapping[tuple[str, int], PlayedVideo], objects: Mapping[tuple[str, int], int], rules: Rules
) -> dict[str, Any]:
    """AUC and the value after 60 seconds of J, F and J&F, the curve of J&F, and J&F after each round.

    Every object of every sample weighs alike; a sample without a round in time counts as 0.
    """
    rounds = [
        Round(sample, number + 1, seconds, None)
        for sample, video in played.items()
        for number, seconds in enumerate(video.seconds)
    ]
    of_sequences = {name: count for (name, _), count in objects.items()}  # each counts once, as officially
    budget = rules.seconds * rules.interactions * float(np.mean(list(of_sequences.values())))
    summary: dict[str, Any] = {}
    for metric in ("J_AND_F", "J", "F"):
        figures = {s: choose(video.figures, metric) for s, video in played.items() if len(video.frames)}
        curve: Curve = quality_curve(figures, rounds, objects, budget)
        name = metric.replace("_AND_", "&")
        summary[f"{name} AUC"], summary[f"{name}@{MOMENT:g}s"] = curve.area, curve.at(MOMENT)
        if metric == "J_AND_F":
            summary["curve"] = {"time": curve.times.tolist(), name: curve.values.tolist()}
            summary["rounds"] = curve.values[1:-1].tolist()
    return summary


def show(dataset: str, played: Mapping[tuple[str, int], PlayedVideo], summary: Mapping[str, Any]) -> None:
    """Print J&F after each round of each sample, and of all together."""
    console, count = plain_console(), len(summary["rounds"])
    table = plain_table(f"{dataset}: J&F after each round", "sequence", *map(str, range(1, count + 1)), no_wrap=True)
    for (name, number), video in played.items():
        means = choose(video.figures, "J_AND_F").mean((1, 2))
        table.add_row(f"{name} {number}", *(f"{100 * mean:.1f}" for mean in means), *[""] * (count - len(means)))
    table.add_section()
    table.add_row("all objects", *(f"{100 * value:.1f}" for value in summary["rounds"]))
    print_whole(table)
    for metric in ("J&F", "J", "F"):
        auc, moment = summary[f"{metric} AUC"], summary[f"{metric}@{MOMENT:g}s"]
        console.print(f"{metric}: AUC {100 * auc:.1f}, after {MOMENT:g} s {100 * moment:.1f}", highlight=False)


def _words(video: PlayedVideo) -> str:
    """The figure of each round."""
    means = choose(video.figures, "J_AND_F").mean((1, 2))
    return "J&F " + " ".join(f"{100 * mean:.1f}" for mean in means) if len(means) else "no round in time"


def _earlier(path: Path, settings: Mapping[str, Any], shape: tuple[int, int]) -> PlayedVideo | None:
    """What was played before with the same settings; None if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return from_json(found, shape) if found["settings"] == json.loads(json.dumps(settings)) else None
    except (*BROKEN, KeyError, TypeError, ValueError):
        return None
