"""Things found by free category names on labelled images: `univs evaluate dataset=labelled`.

Classes are the names of all things on the images, asked for together. The score is AP50, averaged over the classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from univs.data.named_images import NamedImages
from univs.errors import UserError
from univs.evaluation.metrics.score_printing import print_whole
from univs.evaluation.metrics.scores import Scores
from univs.evaluation.metrics.tube_precision import Matches, match, precision_at_recalls
from univs.evaluation.run.benchmark import Benchmark, Figure, Measure
from univs.evaluation.run.benchmark_run import Job, Outcome
from univs.evaluation.run.figure_writer import FigureWriter
from univs.evaluation.run.questions import Question
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.runner import RESULTS, run_benchmark
from univs.evaluation.run.running import NewSession
from univs.evaluation.run.stamps import stamp_files
from univs.formats import Recording, RecordingSet
from univs.formats.answer_writer import AnswerWriter
from univs.formats.lazy import LazyRecordings
from univs.masks.meanings import IGNORE
from univs.prompts import Categories
from univs.results import FrameResult
from univs.settings import Count, Device, NotEmpty, ShortSide, Text
from univs.terminal import plain_console, plain_table

if TYPE_CHECKING:
    from torch import Tensor

    from univs.models.univs import UniVS
    from univs.models.word_head import WordCells
    from univs.models.zoo import Network

MOST_DETECTIONS = 100
"""Detections (mask and class) of an image that count."""


class LabelledData(TypedDict):
    """The folder of all, the folders in it that hold images, and a file that lists those to take."""

    root: Text
    folders: Annotated[Sequence[str], NotEmpty()]
    list: Text


def evaluate(
    dataset: str,
    data: LabelledData,
    images: Count | None = None,
    weights: Text = "tiny",
    size: ShortSide | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
) -> Outcome | None:
    """AP50 of each class on the images that `data` names.

    Settings are those of configs/dataset/labelled.yaml; `size` is the short side (pixels) at which the model sees an
    image. Prints a table and writes `out`/summary.json. None in all processes of torchrun but the first. Raises
    UserError for missing data and unknown weights.
    """
    return run_benchmark(find_job(data, images, Path(out) if out else RESULTS / dataset), weights, device, size)


@dataclass(frozen=True)
class Images:
    """Images by the name of their recording, and the classes that are asked for on all of them."""

    places: Mapping[str, tuple[NamedImages, int]]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, folders: Sequence[NamedImages], most: int | None = None) -> Images:
        """The first `most` images of some folders."""
        named = (
            (f"{folder.folder.name}_{number}/{index:06d}_{Path(image.file).stem}", (folder, index))
            for number, folder in enumerate(folders)
            for index, image in enumerate(folder.folder.images)
        )
        places = dict(islice(named, most))
        return cls(places, tuple(sorted({name for folder, index in places.values() for name in folder.things(index)})))

    def recording(self, name: str) -> Recording:
        """One image as a video of one frame."""
        folder, index = self.places[name]
        return replace(folder.folder.recordings[index], name=name)

    def judged(self, recording: Recording) -> list[str]:
        """The classes whose absence from the labels of an image says that they are not there."""
        folder, index = self.places[recording.name]
        known = folder.judged(index)
        return [name for name in self.classes if name in known]


def find_job(data: LabelledData, most: int | None, folder: Path) -> Job:
    """The images of a list. Raises UserError for files that are missing or do not fit, and if there is no image."""
    root = Path(data["root"])
    folders = [NamedImages(root / name, only=data["list"]) for name in data["folders"]]
    images = Images.of(folders, most)
    if not images.places:
        raise UserError(f"no image of {data['list']} in {', '.join(data['folders'])} of {data['root']}")
    if not images.classes:
        raise UserError(f"no thing is labelled on the images of {data['list']}, so no name can be asked for")
    recordings = LazyRecordings(images.recording, tuple(images.places))
    categories = Categories(images.classes)

    def ask(recording: Recording, data: RecordingSet) -> Question:
        return Question((0,), lambda frame: [categories])

    def writer(predictions: Path, data: RecordingSet) -> AnswerWriter:
        return FigureWriter(folder / "images", partial(ImageScorer, images))

    return Job(
        Benchmark(
            "labelled",
            "vis",
            ask,
            writer,
            ClassPrecision(),
            (Figure("AP50", "AP50"),),
            sessions=partial(finders, images),
        ),
        RecordingSet("labelled", "", root, recordings),
        recordings,
        folder,
        {
            "data": {**data, "folders": list(data["folders"])},
            "label_files": stamp_files(folder.folder.source.path for folder in folders),
            "classes": list(images.classes),
        },
        len(images.places) == sum(map(len, folders)),
    )


def finders(images: Images, model: Network, task: str, size: int | None, options: Mapping[str, Any]) -> NewSession:
    """For each image something that finds the classes that are judged on it; `univs.Session` has one name a thing."""
    from univs.models.encoders import load_text_encoder
    from univs.models.univs import UniVS

    if not isinstance(model, UniVS) or not model.config.get("text"):
        raise UserError("these weights know no words: choose weights that were trained with a text encoder")
    device = next(model.parameters()).device
    encoder = load_text_encoder(model.config["text"]["encoder"], device=str(device))
    embeddings = encoder.encode_categories(list(images.classes))

    def new_session(recording: Recording, question: Question) -> Finder:
        return Finder(model, images.classes, embeddings, size, images.judged(recording))

    return new_session


class Finder:
    """Answers one image with its best detections: masks that may overlap, each with one of the judged names.

    Args:
        classes: K names that are looked for. embeddings: theirs, K D. judged: those whose detections count.
    """

    def __init__(
        self, model: UniVS, classes: Sequence[str], embeddings: Tensor, size: int | None, judged: Sequence[str]
    ) -> None:
        self._model, self._classes, self._embeddings, self._size = model, classes, embeddings, size
        self._judged = judged

    def push(self, frame: NDArray[np.uint8], prompts: Sequence[Any] = ()) -> list[FrameResult]:
        """The answer; prompts are the classes, which are known."""
        masks, scores = find(self._model, frame, self._embeddings, self._size)
        columns = [self._classes.index(name) for name in self._judged]
        chosen = best_detections(masks, scores[:, columns])
        names = {number: self._judged[column] for number, (_, column) in enumerate(chosen, 1)}
        separate = {number: masks[row] for number, (row, _) in enumerate(chosen, 1)}
        certain = {number: float(scores[row, columns[column]]) for number, (row, column) in enumerate(chosen, 1)}
        return [FrameResult(0, np.zeros(frame.shape[:2], np.uint8), tuple(separate), certain, separate, names)]

    def flush(self) -> list[FrameResult]:
        """Nothing is late."""
        return []


def best_detections(masks: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> list[tuple[int, int]]:
    """Mask and class of the MOST_DETECTIONS best of N masks (N H W) by their scores N K, ties too, by mask and class.

    Empty masks take part in the choice and are left out of it.
    """
    least = np.sort(scores, axis=None)[-MOST_DETECTIONS] if scores.size > MOST_DETECTIONS else -np.inf
    visible = np.asarray(masks.any((1, 2)))[:, None]
    return [(int(row), int(column)) for row, column in np.argwhere((scores >= least) & visible)]


def find(
    model: UniVS, image: NDArray[np.uint8], embeddings: Tensor, size: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.floating[Any]]]:
    """Masks N H W bool of what is found on an image H W 3, and their scores N K for K classes.

    A model that takes a closer look does so at each of them, and names what it then sees.
    """
    import torch
    import torch.nn.functional as F

    from univs.models.word_answers import discover

    height, width = image.shape[:2]
    frame = torch.from_numpy(image).permute(2, 0, 1)[None].to(embeddings.device)
    short = min(height, width) if size is None else size
    scaled = (round(height * short / min(height, width)), round(width * short / min(height, width)))
    with torch.inference_mode():
        frame = F.interpolate(frame.float(), scaled, mode="bilinear", align_corners=False, antialias=True)
        features = model.encode_image(model.normalize(frame))
        cells = None if model.word_head is None else model.word_head(features)
        prediction, objectness = discover(model, features, embeddings, cells=cells)
        if model.looks_closer and cells is not None:
            masks, fits = seen_closer(model, image, scaled, cells, prediction.mask_logits[0, :, 0], embeddings)
            return masks, (fits.sigmoid() * objectness[:, None]).cpu().numpy()
        logits = F.interpolate(prediction.mask_logits[0, :, 0][None], scale_factor=4, mode="bilinear")
        logits = F.interpolate(logits[..., : scaled[0], : scaled[1]], (height, width), mode="bilinear")[0]
        assert prediction.class_logits is not None
        scores = prediction.class_logits[0].sigmoid() * objectness[:, None]
    return (logits > 0).cpu().numpy(), scores.cpu().numpy()


def seen_closer(
    model: UniVS,
    image: NDArray[np.uint8],
    size: tuple[int, int],
    cells: WordCells,
    logits: Tensor,
    embeddings: Tensor,
) -> tuple[NDArray[np.bool_], Tensor]:
    """Masks N H W after a closer look, and how well K names fit them: N K logits.

    Args:
        image: H W 3. size: height and width at which the model sees it.
        cells: of the image.
        logits: N h w, the masks so far.
        embeddings: K D.
    """
    import torch.nn.functional as F

    from univs.masks.frame_labels import mask_of
    from univs.masks.geometry import Geometry
    from univs.models.word_answers import word_parts
    from univs.models.word_head import WORD_STRIDE
    from univs.trackers.frame.closer_look import HOWEVER_FAR, Candidate, boxed, look_closer

    head, _ = word_parts(model)
    geometry = Geometry(image.shape[0], image.shape[1], *size)
    geometry.clear_margin(logits)
    candidates = [Candidate(boxed(one, geometry), one) for one in logits]
    seen = look_closer(model, image, geometry, candidates, False, HOWEVER_FAR)
    masks = [mask_of(rough, geometry) if one is None else one.mask for one, rough in zip(seen, logits, strict=True)]
    shares = F.avg_pool2d(geometry.shrink_masks(masks).to(logits)[None], WORD_STRIDE)
    return np.stack(masks), head.score_masks(cells, shares, embeddings)[0]


class ImageScorer:
    """Compares the detections of one image with its labels (a `figure_writer.Scorer`)."""

    def __init__(self, images: Images, recording: Recording) -> None:
        folder, index = images.places[recording.name]
        self._sample, self._judged = folder[index], images.judged(recording)
        self._found: dict[str, list[list[Any]]] = {name: [] for name in self._judged}

    def take(self, result: FrameResult) -> None:
        """Notes of each detection its score, its IoU with every object of its class, and whether nothing is known
        where most of it lies."""
        labels = self._sample.labels[0]
        for number in result.object_ids:
            name, mask = result.names[number], result.mask(number)
            size = int(np.count_nonzero(mask))
            ious = []
            for thing in self._things(name):
                true = labels == thing
                shared = int(np.count_nonzero(mask & true))
                ious.append(shared / max(1, size + int(np.count_nonzero(true)) - shared))
            unknown = int(np.count_nonzero(mask & (labels == IGNORE))) > 0.5 * size
            self._found[name].append([result.scores[number], ious, unknown])

    def figures(self) -> Mapping[str, Any]:
        """Of each class that is judged: how many objects there are, and score, IoU and excuse of each detection."""
        return {
            name: {"objects": len(self._things(name)), "detections": detections}
            for name, detections in self._found.items()
        }

    def _things(self, name: str) -> list[int]:
        return [number for number, noun in self._sample.categories.items() if noun == name]


def match_image(detections: Sequence[Sequence[Any]], objects: int) -> Matches:
    """How the detections of one class fared on one image, by `tube_precision.match` at IoU 0.5.

    Args:
        detections: score, IoU with each of the objects, and whether it counts as none if it fits no object.
    """
    scores = np.array([score for score, _, _ in detections], np.float64)
    order = np.argsort(-scores, kind="stable")
    iou = np.array([ious for _, ious, _ in detections], np.float64).reshape(len(detections), objects)
    excused = np.array([[excused for _, _, excused in detections]], bool)
    none = np.zeros((1, objects), bool)
    return match(iou[order], scores[order], none, excused[:, order], none[0], np.array([0.5]))


class ClassPrecision(Measure):
    """AP50 of each class, and their mean."""

    def score(self, data: RecordingSet, recordings: Sequence[Recording], folder: Path, writer: FigureWriter) -> Scores:
        """Over all images together."""
        matches: dict[str, list[Matches]] = {}
        for figures in writer.all(recordings).values():
            for name, found in figures.items():
                matches.setdefault(name, []).append(match_image(found["detections"], int(found["objects"])))
        rows = {}
        for name, found in sorted(matches.items()):
            if objects := int(sum(image.true[0] for image in found)):
                rows[name] = {"objects": objects, "AP50": float(precision_at_recalls(found, (1, 1)).mean())}
        mean = float(np.mean([row["AP50"] for row in rows.values()])) if rows else float("nan")
        return Scores({}, {"AP50": mean}, rows)

    def fields(self, scores: Scores) -> Mapping[str, Any]:
        """The mean, and class -> AP50; fractions."""
        return {"ap50": scores.summary["AP50"], "classes": {name: row["AP50"] for name, row in scores.rows.items()}}

    def show(self, title: str, scores: Scores, records: Sequence[VideoRecord]) -> None:
        """One row per class, those of most objects first."""
        table = plain_table(f"{title}, {len(records)} images", "class", "objects", "AP50")
        for name, row in sorted(scores.rows.items(), key=lambda item: -item[1]["objects"]):
            table.add_row(name, str(row["objects"]), f"{100 * row['AP50']:.1f}")
        print_whole(table)
        mean = f"AP50, mean of {len(scores.rows)} classes: {100 * scores.summary['AP50']:.1f}"
        plain_console().print(mean, highlight=False)
