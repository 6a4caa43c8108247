"""Weighted draws of photos and of objects on photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from univs.data.photo import CachedPhotos, Photo, PhotoSource
from univs.errors import UserError
from univs.formats.sample import IGNORE

LEAST_OBJECT = 500  # pixels; smaller ones give no cut-out worth looking at
TRIES = 1000
MOST_BORDER = 0.2  # share of an object's outline that may lie on the photo's border


class PhotoPool:
    """Photos of several sources; a source is drawn by its weight, a photo evenly within its source."""

    def __init__(self, sources: Sequence[tuple[PhotoSource, float]], *, cache_bytes: int = 1_500_000_000) -> None:
        """Raises UserError if there is no photo or no positive weight. Decoded photos share `cache_bytes` of memory."""
        sources = [(source, weight) for source, weight in sources if len(source) and weight > 0]
        if not sources:
            raise UserError("training photos: no source with photos and a positive weight")
        total = sum(len(source) for source, _ in sources)
        self.sources = [CachedPhotos(source, cache_bytes * len(source) // total) for source, _ in sources]
        weights = np.array([weight for _, weight in sources], float)
        self.weight = float(weights.sum())
        self.weights = weights / weights.sum()
        self._showing: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, source in enumerate(self.sources):
            for index in range(len(source)):
                for noun in source.nouns(index):
                    self._showing[noun].append((number, index))

    def draw(self, rng: np.random.Generator) -> Photo:
        """Any photo."""
        source = self.sources[int(rng.choice(len(self.sources), p=self.weights))]
        return source[int(rng.integers(len(source)))]

    def draw_labelled(self, rng: np.random.Generator) -> Photo:
        """A photo with at least one object of some size."""
        for _ in range(TRIES):
            photo = self.draw(rng)
            if len(object_areas(photo.labels, LEAST_OBJECT)[0]):
                return photo
        raise UserError(f"training photos: {TRIES} photos drawn, none with an object of {LEAST_OBJECT} pixels")

    def draw_object(self, rng: np.random.Generator, category: str | None = None) -> tuple[Photo, int]:
        """A photo and the id of an object on it that can be cut out; of one category if asked for and to be found."""
        shown = self._showing.get(category, []) if category else []
        for _ in range(8 if shown else 0):
            number, index = shown[int(rng.integers(len(shown)))]
            photo = self.sources[number][index]
            ids = [i for i in cuttable(photo.labels) if photo.categories.get(i) == category]
            if ids:
                return photo, int(rng.choice(ids))
        for _ in range(TRIES):
            photo = self.draw(rng)
            ids = cuttable(photo.labels)
            if ids:
                return photo, int(rng.choice(ids))
        raise UserError(f"training photos: {TRIES} photos drawn, none with an object that lies whole in the photo")


def object_areas(labels: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the objects of at least `least` pixels on a label map, and their pixel counts."""
    counts = np.bincount(labels.ravel(), minlength=256)
    counts[[0, IGNORE]] = 0
    ids = np.flatnonzero(counts >= max(least, 1))
    return ids, counts[ids]


def cuttable(labels: np.ndarray) -> list[int]:
    """Ids of objects large enough and not much cut off by the photo's border."""
    ids, areas = object_areas(labels, LEAST_OBJECT)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    on_border = np.bincount(rim, minlength=256)[ids]
    return [int(i) for i in ids[on_border <= MOST_BORDER * 4 * np.sqrt(areas)]]
