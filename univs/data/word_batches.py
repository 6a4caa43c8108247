"""Training samples of words: crops of labelled images with the names of what is on them.

K names of all data sets together; S pixels of a side; G objects of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from univs.data.appearance import degrade
from univs.data.clips import draw, size_of_batch
from univs.data.named_images import NamedImages, Samples, SemanticImages, SynthWords
from univs.data.pack import open_pack
from univs.data.source_settings import OpenedSource, Reader, SourceCount, open_sources
from univs.data.warps import opencv
from univs.errors import UserError
from univs.formats.sample import IGNORE, NO_CLASS, VideoSample
from univs.settings import check, settings_of
from univs.vocabularies import vocabulary

SIDES = ("left", "right")
TRIES = 20
TILED_FROM = 320
"""Pixels of a side from which a crop may be four."""


@dataclass(frozen=True)
class WordImage:
    """A crop and what is known of it."""

    image: np.ndarray  # S S 3 uint8
    objects: np.ndarray  # S S uint8: ids 1.., 0 none, 255 unknown
    classes: np.ndarray  # S S int16: which of the K names, NO_CLASS where none is known
    object_classes: dict[int, int]  # object id -> name
    complete: bool  # every object is labelled
    stuffed: bool  # stuff is labelled too
    vocabulary: np.ndarray  # K bool: the names of its data set
    stuff: np.ndarray  # K bool: those among them that are stuff
    expression: tuple[int, str] | None  # an object and what is true of it alone


class WordImages(Dataset[WordImage]):
    """An endless supply of crops; the crop of an index depends on index and seed alone.

    Args:
        sources: data sets and their weights.
        size: S; several: one is drawn for every `together` crops in a row.
        seed: of the draws.
        together: crops of one batch, all processes counted.
        counts: of what the sources hold, for who reports it.
        tiled: share of the crops of at least `TILED_FROM` pixels that are four of half their side (`tile_crops`), of
            images of one source: many things, small and sharp, where a single crop has few, large and soft.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Samples, float]],
        *,
        size: int | Sequence[int],
        seed: int = 0,
        together: int = 1,
        counts: Sequence[SourceCount] = (),
        tiled: float = 0.0,
    ) -> None:
        self.sources = [(source, weight) for source, weight in sources if len(source) and weight > 0]
        if not self.sources:
            raise UserError("words: no source with images and a positive weight")
        self.size, self.seed, self.together, self.counts = size, seed, together, tuple(counts)
        self.tiled = tiled
        self.names = tuple(sorted({name for source, _ in self.sources for name in source.names}))
        self.numbers = {name: number for number, name in enumerate(self.names)}

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> WordImage:
        rng = np.random.default_rng([self.seed, index])
        size = size_of_batch(self.size, index // self.together, self.seed)
        source = self.sources[draw(rng, {i: weight for i, (_, weight) in enumerate(self.sources)})][0]
        if self.tiled and size >= TILED_FROM and rng.random() < self.tiled:
            return tile_crops([self._named_crop(source, rng, size // 2) for _ in range(4)])
        return self._named_crop(source, rng, size)

    def _named_crop(self, source: Samples, rng: np.random.Generator, size: int) -> WordImage:
        """A crop on which something has a name, where one is found in `TRIES` tries."""
        for _ in range(TRIES):
            made = self._crop(source[int(rng.integers(len(source)))], source, rng, size)
            if (made.classes != NO_CLASS).any():
                break
        return made

    def _crop(self, sample: VideoSample, source: Samples, rng: np.random.Generator, size: int) -> WordImage:
        cv2 = opencv()
        t = int(rng.integers(len(sample.frames)))
        frame, objects = sample.frames[t], sample.labels[t]
        classes = sample.semantic(self.names)[t]
        height, width = objects.shape
        side = min(height, width) * rng.uniform(0.5, 1.0) ** 0.7
        across = min(float(width), side * float(np.exp(rng.uniform(-0.1, 0.35))))
        x0, y0 = int(rng.uniform(0, width - across + 1e-6)), int(rng.uniform(0, height - side + 1e-6))
        window = np.s_[y0 : y0 + max(1, int(side)), x0 : x0 + max(1, int(across))]

        def resized(pixels: np.ndarray, how: int) -> np.ndarray:
            return cv2.resize(np.ascontiguousarray(pixels[window]), (size, size), interpolation=how)

        image = resized(frame, cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
        objects, classes = resized(objects, cv2.INTER_NEAREST), resized(classes, cv2.INTER_NEAREST)
        counts = np.bincount(objects.ravel(), minlength=256)
        seen = [i for i in sample.categories if counts[i] >= 64 and sample.categories[i] in self.numbers]
        said = [(i, text) for i in seen for text in (sample.expressions.get(i) or ())]
        expression = said[int(rng.integers(len(said)))] if said else None
        if rng.random() < 0.5 and not (expression and any(side in expression[1].lower() for side in SIDES)):
            image, objects, classes = image[:, ::-1], objects[:, ::-1], classes[:, ::-1]
        listed, stuff = np.zeros((2, len(self.names)), bool)
        listed[[self.numbers[name] for name in source.names]] = True
        stuff[[self.numbers[name] for name in source.stuff_names]] = True
        return WordImage(
            degrade(image[None], rng)[0],
            np.ascontiguousarray(objects),
            np.ascontiguousarray(classes),
            {i: self.numbers[sample.categories[i]] for i in seen},
            sample.complete,
            sample.panoptic is not None,
            listed,
            stuff,
            expression,
        )


def tile_crops(crops: Sequence[WordImage]) -> WordImage:
    """Four crops of one source, S S each, as one of 2S 2S: two above, two below.

    Their objects get ids anew; those for which none is left are unknown. What is true of one object on its own image
    need not be on all four: the crop has no expression.
    """

    def joined(maps: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.concatenate(maps[row : row + 2], axis=1) for row in (0, 2)])

    objects, object_classes, taken = [], {}, 0
    for crop in crops:
        number = np.full(256, IGNORE, np.uint8)
        number[0] = 0
        for old in np.unique(crop.objects):
            if old not in (0, IGNORE) and taken < IGNORE - 1:
                taken += 1
                number[old] = taken
                if old in crop.object_classes:
                    object_classes[taken] = crop.object_classes[old]
        objects.append(number[crop.objects])
    return replace(
        crops[0],
        image=joined([crop.image for crop in crops]),
        objects=joined(objects),
        classes=joined([crop.classes for crop in crops]),
        object_classes=object_classes,
        complete=all(crop.complete for crop in crops),
        stuffed=all(crop.stuffed for crop in crops),
        expression=None,
    )


def collate_words(images: Sequence[WordImage]) -> dict[str, Any]:
    """A batch: frames B 3 S S uint8, objects and classes B S S, object_classes B G (NO_CLASS padded; object g has id

    `object_ids` B G, 0 padded), complete and stuffed B, vocabulary and stuff B K; expressions: a list of (image, object
    id, text).
    """
    most = max(1, *(len(image.object_classes) for image in images))
    ids = torch.zeros(len(images), most, dtype=torch.long)
    names = torch.full((len(images), most), NO_CLASS, dtype=torch.long)
    for row, image in enumerate(images):
        for column, (number, name) in enumerate(image.object_classes.items()):
            ids[row, column], names[row, column] = number, name
    stacked: dict[str, Tensor] = {
        "frames": torch.from_numpy(np.stack([image.image for image in images])).permute(0, 3, 1, 2).contiguous(),
        "objects": torch.from_numpy(np.stack([image.objects for image in images])),
        "classes": torch.from_numpy(np.stack([image.classes for image in images])).long(),
        "vocabulary": torch.from_numpy(np.stack([image.vocabulary for image in images])),
        "stuff": torch.from_numpy(np.stack([image.stuff for image in images])),
    }
    return {
        **stacked,
        "object_ids": ids,
        "object_classes": names,
        "complete": torch.tensor([image.complete for image in images]),
        "stuffed": torch.tensor([image.stuffed for image in images]),
        "expressions": [(b, *image.expression) for b, image in enumerate(images) if image.expression],
    }


def build_word_images(
    sources: Sequence[Mapping[str, Any]],
    *,
    size: int | Sequence[int],
    seed: int = 0,
    together: int = 1,
    tiled: float = 0.0,
) -> WordImages:
    """Training crops from a list of plain source descriptions, each with `kind`, `weight` and its reader's arguments.

    size, seed, together, tiled: see `WordImages`.

    Kinds: coco (root, expressions, exclude, only, complete), semantic (images, labels, names: a list or a vocabulary),
    synth (arguments of SynthVS) and pack (file: sources packed by `univs datasets pack`). Raises UserError for an
    unknown kind, a wrong argument or missing files.
    """
    opened = open_sources(sources, word_readers())
    counts = [one.counted("photo") for one in opened]
    weighted = [(one.source, one.settings.weight) for one in opened]
    return WordImages(weighted, size=size, seed=seed, together=together, counts=counts, tiled=tiled)


def word_readers() -> dict[str, Reader]:
    """Kind of a source of words -> what reads it."""
    from univs.data.synth import SynthVS

    return {
        "coco": Reader(NamedImages),
        "semantic": Reader(open_semantic),
        "synth": Reader(SynthWords, checked=SynthVS),
        "pack": Reader(open_word_pack, several=True),
    }


def open_word_pack(file: str | Path) -> list[OpenedSource]:
    """The labelled images of a file that `univs datasets pack` wrote. Raises UserError as `open_pack` does."""
    from univs.data.synth import SynthVS

    def made(**options: Any) -> SynthWords:
        check(options, settings_of(SynthVS), str(file))
        return SynthWords(**options)

    return open_pack(file, "words", made)


def open_semantic(images: str | Path, labels: str | Path, names: str | Sequence[str]) -> SemanticImages:
    """Images with maps of class numbers; names: of the classes 0, 1, ..., or the name of a vocabulary."""
    return SemanticImages(images, labels, vocabulary(names).names if isinstance(names, str) else names)
