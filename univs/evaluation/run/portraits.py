"""`univs evaluate dataset=portraits`: how well people are found on photos, and how steady their masks are.

A photo stands still: it is shown several times, each time with other noise, as by a camera on a table. The last mask is
compared with the true one; how far masks that have settled change from one time to the next, where nothing moves, is
their flicker. Both are also measured when nothing goes back in (every time as on a first frame).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from univs.claim import claim_folder
from univs.data.clips import READERS
from univs.data.photo import Photo
from univs.data.portrait_images import people
from univs.data.source_settings import open_sources
from univs.devices import choose_device
from univs.errors import UserError
from univs.evaluation.run.runner import RESULTS
from univs.formats.files import write_json
from univs.formats.sample import IGNORE
from univs.masks.geometry import Geometry, short_side
from univs.models.portrait import PortraitNet
from univs.models.zoo import load
from univs.settings import Count, Device, ShortSide, Text
from univs.terminal import plain_console, plain_table
from univs.trackers.portrait import PortraitMemory

TIMES, SETTLED = 8, 4
"""How often a photo is shown, and after how many times its mask has settled; what changes from there on flickers."""
NOISE = 3.0
"""Grey levels, standard deviation."""
SIDES = ("IoU", "IoU alone", "flicker", "flicker alone")
"""Figures of a photo; "alone": when nothing goes back in."""


class FolderOnly(TypedDict):
    """Where the sources lie."""

    root: Text


class PeopleData(TypedDict):
    """configs/data/people.yaml."""

    root: Text
    sources: Sequence[Mapping[str, Any]]
    set_aside: Sequence[Text]


def evaluate(
    dataset: str,
    data: FolderOnly,
    people: PeopleData,
    weights: Text,
    photos: Count | None = None,
    size: ShortSide | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
) -> dict[str, Any]:
    """Shows the photos that were set aside.

    Settings are those of configs/dataset/portraits.yaml. Prints a table and writes `out`/summary.json. Raises UserError
    for missing data, and for weights of another kind of model.
    """
    folder = Path(out) if out else RESULTS / dataset
    model = load(weights, choose_device(device))
    if not isinstance(model, PortraitNet):
        raise UserError(f"weights={weights} is no portrait net: give model=portrait, or weights=FILE of one")
    ready = model.ready("float32", False)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with claim_folder(folder, "out="):
        for source, photo in held_out(people, photos):
            found[source].append(figures(ready, photo, size))
        together = [row for rows in found.values() for row in rows]
        summary = {"sources": {name: means(rows) for name, rows in found.items()}, "all": means(together)}
        write_json(folder / "summary.json", {**summary, "weights": str(weights), "size": size})
    show([*found.items(), ("all", together)])
    return summary


def held_out(data: PeopleData, most: int | None = None) -> Iterator[tuple[str, Photo]]:
    """The photos that are set aside, each with the name of its folder; of sources that leave out what is.

    Raises UserError for missing data, and for videos.
    """
    names = set(data["set_aside"])
    for number, settings in enumerate(data["sources"]):
        if list(settings.get("exclude") or ()) != list(data["set_aside"]):
            continue
        every = {**settings, "exclude": None}
        for _, source, name in open_sources([every], READERS, where=[f"people.sources.{number}"]):
            if isinstance(source, Sequence):
                raise UserError(f"the source {name} holds videos; portraits are measured on photos alone")
            photos = (source[index] for index in range(len(source)))
            aside = (photo for photo in photos if photo.name in names)
            for photo in islice(aside, most):
                yield photo.name.partition("/")[0], photo


def figures(model: PortraitNet, photo: Photo, size: int | None, seed: int = 0) -> dict[str, float]:
    """IoU with the true mask, and flicker, with the mask that goes back in and without."""
    truth = people(photo)
    height, width = truth.shape
    geometry = Geometry.fit(height, width, short_side(size, model.streaming["short_side"], height, width))
    rng = np.random.default_rng(seed)
    frames = [noisy(photo.image, rng) for _ in range(TIMES)]
    memory = PortraitMemory(model, geometry)
    kept = [memory.answer(frame) for frame in frames]
    alone = [PortraitMemory(model, geometry).answer(frame) for frame in frames]
    return {
        "IoU": overlap(kept[-1] > 0.5, truth),
        "IoU alone": overlap(alone[-1] > 0.5, truth),
        "flicker": flicker(kept[SETTLED:]),
        "flicker alone": flicker(alone[SETTLED:]),
    }


def noisy(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture with the noise of a camera."""
    grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(NOISE)
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.uint8]) -> float:
    """IoU over the known pixels of H W 1 people, 0 not, 255 unknown; 1 where there are none in both."""
    known = truth != IGNORE
    union = ((mask | (truth == 1)) & known).sum()
    return float((mask & (truth == 1)).sum() / union) if union else 1.0


def flicker(masks: Sequence[NDArray[np.float32]]) -> float:
    """Mean change of H W probabilities from one frame to the next."""
    return float(np.mean([np.abs(b - a).mean() for a, b in zip(masks, masks[1:], strict=False)]))


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of every figure, over the photos. Raises UserError without photos."""
    if not rows:
        raise UserError("people.set_aside names no photo of the sources: there is nothing to measure")
    return {name: float(np.mean([row[name] for row in rows])) for name in SIDES}


def show(found: Iterable[tuple[str, Sequence[Mapping[str, float]]]]) -> None:
    """Print the table: a name, and the means of its photos."""
    table = plain_table("portraits", "source", "photos", "IoU", "alone", "flicker", "alone ", no_wrap=True)
    for name, rows in found:
        row = means(rows)
        table.add_row(
            name,
            str(len(rows)),
            *(f"{100 * row[figure]:.1f}" for figure in SIDES[:2]),
            *(f"{100 * row[figure]:.2f}" for figure in SIDES[2:]),
        )
    console = plain_console()
    console.print(table)
    console.print("in per cent; alone: without the mask of the frame before", highlight=False)
