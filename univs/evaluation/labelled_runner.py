"""Finds things by free category names on labelled images and scores them: `univs evaluate dataset=labelled`.

Classes are the names of all things on the images, asked for together. The score is AP50, averaged over the classes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import numpy as np
from rich.console import Console
from rich.table import Table

from univs.claim import claim_folder
from univs.data.named_images import NamedImages
from univs.devices import choose_device
from univs.errors import UserError
from univs.evaluation.average_precision import AveragePrecision
from univs.files import atomic_path
from univs.formats.sample import IGNORE, VideoSample
from univs.settings import Count, Device, NotEmpty, ShortSide, Text
from univs.terminal import counted, plain_console

if TYPE_CHECKING:
    from torch import Tensor

    from univs.models.univs import UniVS

MOST = 100
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
) -> dict[str, float]:
    """AP50 of each class on the images that `data` names.

    Settings are those of configs/dataset/labelled.yaml; `size` is the short side (pixels) at which the model sees an
    image. Prints a table and writes `out`/summary.json. Raises UserError for missing data and unknown weights.
    """
    folders = [NamedImages(Path(data["root"]) / folder, only=data["list"]) for folder in data["folders"]]
    chosen = [(folder, index) for folder in folders for index in range(len(folder))][:images]
    if not chosen:
        raise UserError(f"no image of {data['list']} in {', '.join(data['folders'])} of {data['root']}")
    device = choose_device(device)

    from univs.models.encoders import load_text_encoder
    from univs.models.zoo import load

    console = plain_console()
    model = load(weights, device=device)
    if not model.config.get("text"):
        raise UserError(f"the weights {weights} know no words: choose weights that were trained with a text encoder")
    samples = [folder[index] for folder, index in chosen]
    counts = Counter(name for sample in samples for name in sample.categories.values())
    names = sorted(counts)
    embeddings = load_text_encoder(model.config["text"]["encoder"], device=device).encode_categories(names)
    score = AveragePrecision()
    for sample, (folder, index) in zip(counted(samples, "images", len(samples), console), chosen, strict=True):
        masks, scores = find(model, sample.frames[0], embeddings, size)
        judged = folder.judged(index)
        add_image(score, sample, [(n, name) for n, name in enumerate(names) if name in judged], masks, scores)
    result = score.compute()
    _report(console, result, counts, f"labelled, {len(chosen)} images, weights {weights}")
    folder_out = Path(out) if out else Path("results") / dataset
    with claim_folder(folder_out, "out="), atomic_path(folder_out / "summary.json") as temporary:
        mean = float(np.mean(list(result.values())))
        temporary.write_text(
            json.dumps({"weights": str(weights), "size": size, "ap50": mean, "classes": result}, indent=1)
        )
    return result


def find(model: UniVS, image: np.ndarray, embeddings: Tensor, size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Masks N H W bool of what is found on an image H W 3, and their scores N K for K classes."""
    import torch
    import torch.nn.functional as F

    from univs.models.word_answers import discover

    height, width = image.shape[:2]
    frame = torch.from_numpy(image).permute(2, 0, 1)[None].to(embeddings.device)
    short = min(height, width) if size is None else size
    scaled = (round(height * short / min(height, width)), round(width * short / min(height, width)))
    with torch.inference_mode():
        frame = F.interpolate(frame.float(), scaled, mode="bilinear", align_corners=False, antialias=True)
        prediction, objectness = discover(model, model.encode_image(model.normalize(frame)), embeddings)
        logits = F.interpolate(prediction.mask_logits[0, :, 0][None], scale_factor=4, mode="bilinear")
        logits = F.interpolate(logits[..., : scaled[0], : scaled[1]], (height, width), mode="bilinear")[0]
        assert prediction.class_logits is not None
        scores = prediction.class_logits[0].sigmoid() * objectness[:, None]
    return (logits > 0).cpu().numpy(), scores.cpu().numpy()


def add_image(
    score: AveragePrecision,
    sample: VideoSample,
    names: Sequence[tuple[int, str]],
    masks: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Count the best detections of one image. names: columns of `scores` and the classes that are judged on it."""
    labels = sample.labels[0]
    ids = list(sample.categories)
    truth = (labels.reshape(1, -1) == np.array(ids, np.uint8).reshape(-1, 1)).astype(np.float32)
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    shared = flat @ truth.T
    sizes = flat.sum(1)
    ious = shared / np.maximum(1, sizes[:, None] + truth.sum(1)[None] - shared)
    unknown = flat @ (labels == IGNORE).reshape(-1).astype(np.float32) > 0.5 * np.maximum(1, sizes)
    considered = scores[:, [column for column, _ in names]]
    least = np.sort(considered, axis=None)[-MOST] if considered.size > MOST else -np.inf
    for column, name in names:
        rows = (scores[:, column] >= least) & (sizes > 0)
        ours = [place for place, i in enumerate(ids) if sample.categories[i] == name]
        score.update(name, scores[rows, column], ious[rows][:, ours], unknown[rows])


def _report(console: Console, result: Mapping[str, float], counts: Mapping[str, int], title: str) -> None:
    table = Table(title=title)
    for column in ("class", "objects", "AP50"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, value in sorted(result.items(), key=lambda item: -counts[item[0]]):
        table.add_row(name, str(counts[name]), f"{100 * value:.1f}")
    console.print(table)
    console.print(f"AP50, mean of {len(result)} classes: {100 * float(np.mean(list(result.values()))):.1f}")
