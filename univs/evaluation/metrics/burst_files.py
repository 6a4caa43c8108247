"""Sequences in the BURST format: checked and spooled one by one, and read again where they are scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from univs.errors import UserError
from univs.evaluation.metrics.json_items import json_arrays
from univs.evaluation.metrics.spool import Spooled, SpoolWriter
from univs.fields import finite, whole
from univs.masks.rle import Rle, read_masks
from univs.vocabularies.tao import tao_distractors

MOST = 300
"""Detections of a frame that are looked at, the most certain ones."""
HOLDS = "sequences with segmentations in the BURST format"
FIELDS = ("dataset", "seq_name", "width", "height", "annotated_image_paths", "segmentations", "track_category_ids")


class Detection(NamedTuple):
    """An object on a frame."""

    track: int
    category: int
    mask: Rle
    score: float = 1.0


class Video(NamedTuple):
    """A sequence to score: the detections of its annotated frames."""

    name: str
    truth: list[list[Detection]]
    prediction: list[list[Detection]]
    negative: frozenset[int]
    """Classes that are known not to be there."""
    incomplete: frozenset[int]
    """Classes of which not every object is annotated."""


class SpooledSequence(NamedTuple):
    """A sequence that is yet to be read."""

    key: tuple[str, str]
    """Data set and name."""
    gt: Path
    truth: Spooled
    """One item."""
    pred: Path
    prediction: Spooled
    """One item, or none."""


def spool_sequences(gt: Path, pred: Path, folder: Path) -> list[SpooledSequence]:
    """The sequences by name. Raises UserError for what is not as expected.

    Args:
        folder: where the temporary files go; the sequences can be read as long as they are there.
    """
    truth, true_places = _spool(gt, folder / "truth")
    if not true_places:
        raise UserError(f"{gt} holds no sequence; expected {HOLDS}")
    prediction, places = _spool(pred, folder / "prediction")
    unknown = [key for key in places if key not in true_places]
    if unknown:
        raise UserError(f"{pred} holds the sequence {'/'.join(unknown[0])}, which {gt} does not have")
    return [
        SpooledSequence(
            key, gt, truth.at([true_places[key]]), pred, prediction.at([places[key]] if key in places else slice(0))
        )
        for key in sorted(true_places, key=lambda key: "-".join(key).replace("/", "-"))
    ]


def read_sequence(spooled: SpooledSequence, exemplar: bool) -> Video:
    """What is scored of a sequence. Raises UserError for what is not as expected.

    Args:
        exemplar: whether no tracks but the true ones may have been predicted.
    """
    key, (sequence,), predicted = spooled.key, spooled.truth.read(), list(spooled.prediction.read())
    try:
        paths = [str(path) for path in sequence["annotated_image_paths"]]
        size = (whole(sequence["height"]), whole(sequence["width"]))
        negative, incomplete = (
            frozenset(map(whole, sequence.get(field, ())))
            for field in ("neg_category_ids", "not_exhaustive_category_ids")
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{spooled.gt}, {'/'.join(key)}: {error}; expected {HOLDS}") from error
    if predicted and (said := (predicted[0]["height"], predicted[0]["width"])) != size:
        raise UserError(
            f"{spooled.pred}, {'/'.join(key)} is {said[0]} x {said[1]} (height x width); expected {size[0]} x {size[1]}"
        )
    true = _detections(sequence, size, spooled.gt, key)
    found = _detections(predicted[0], size, spooled.pred, key) if predicted else {}
    if found and paths and not found.keys() & set(paths):
        raise UserError(
            f"{spooled.pred}, {'/'.join(key)} is of none of the annotated frames; expected {paths[0]} and others of "
            f"{spooled.gt}"
        )
    if exemplar:
        own = {int(track) for track in sequence["track_category_ids"]}
        extra = {one.track for frame in found.values() for one in frame} - own
        if extra:
            raise UserError(
                f"{spooled.pred}, {'/'.join(key)}: track {min(extra)} is none of the true ones, which were given"
            )
    return Video(
        "/".join(key),
        [[one for one in true[path] if one.category not in tao_distractors()] for path in paths],
        [_most_certain(found.get(path, [])) for path in paths],
        negative,
        incomplete,
    )


def _spool(path: Path, spool: Path) -> tuple[Spooled, dict[tuple[str, str], int]]:
    """Writes the sequences; (data set, name) -> place. UserError if a field is missing or numbers of frames differ."""
    places, there = {}, False
    with SpoolWriter(spool) as writer:
        for member, items in json_arrays(path, HOLDS):
            if member != "sequences":
                continue
            there = True
            for place, (sequence, text) in enumerate(items):
                lacking = [field for field in FIELDS if not isinstance(sequence, Mapping) or field not in sequence]
                if lacking:
                    raise UserError(f"{path}, sequence {place} has no {lacking[0]}; expected {HOLDS}")
                key = (str(sequence["dataset"]), str(sequence["seq_name"]))
                if not all(isinstance(sequence[name], list) for name in ("segmentations", "annotated_image_paths")):
                    raise UserError(f"{path}, {'/'.join(key)}: expected lists of frames and of segmentations")
                counts = (len(sequence["segmentations"]), len(sequence["annotated_image_paths"]))
                if counts[0] != counts[1]:
                    raise UserError(
                        f"{path}, {'/'.join(key)}: segmentations of {counts[0]} frames; expected {counts[1]}"
                    )
                places[key] = place
                writer.add(text)
    if not there:
        raise UserError(f"{path} holds no list of sequences; expected {HOLDS}")
    return writer.spooled, places


def _detections(
    sequence: Mapping[str, Any], size: tuple[int, int], path: Path, name: tuple[str, str]
) -> dict[str, list[Detection]]:
    """Frame -> its objects. UserError for one without a mask or a class, and for masks that are broken."""
    categories = sequence["track_category_ids"]
    rows: list[tuple[str, int, int, float]] = []
    masks: list[Any] = []
    where = f"{path}, {'/'.join(name)}"
    for image, objects in zip(sequence["annotated_image_paths"], sequence["segmentations"], strict=True):
        try:
            for track, one in objects.items():
                category = whole(one["category_id"] if "category_id" in one else categories[track])
                rows.append((str(image), int(track), category, finite(one.get("score", 1.0))))
                masks.append({"size": size, "counts": one["rle"]})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{where}, {image}: expected track -> rle and, where it has one, a finite score; and its class in "
                f"track_category_ids ({error!r})"
            ) from error
    read = read_masks(masks, size, lambda place: f"{where}, {rows[place][0]}, track {rows[place][1]}").rles
    found: dict[str, list[Detection]] = {str(image): [] for image in sequence["annotated_image_paths"]}
    for (image, track, category, score), mask in zip(rows, read, strict=True):
        if mask is not None:
            found[image].append(Detection(track, category, mask, score))
    return found


def _most_certain(found: list[Detection]) -> list[Detection]:
    return found if len(found) <= MOST else sorted(found, key=lambda one: -one.score)[:MOST]
