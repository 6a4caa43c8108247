"""Objects that are stuff (sky, grass): wherever the learnable queries of the clip see its class, the object is as well.

Shapes: Q queries, K classes, n objects, T frames of the clip, H' W' padded input.
Source: the released inference of UniVS.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.masks.strips import padded_strips
from univs.models.features import Prediction
from univs.trackers.classes import Classes
from univs.trackers.mask_scores import quality_counts, quality_of

STUFF_LOGIT = 10.0
"""Mask logit of an object where the map says its class."""


class StuffObjects:
    """Knows which objects are stuff, and where the map of classes sees them.

    Args:
        load_classes: gives the K classes, things and stuff; asked when the first object is named.
        geometry: sizes of the frames of this video.
    """

    def __init__(self, load_classes: Callable[[], Classes], geometry: Geometry) -> None:
        self._load_classes, self._geometry = load_classes, geometry
        self._classes: dict[int, int] = {}  # object id -> class, of the stuff alone

    @cached_property
    def classes(self) -> Classes:
        """What objects may be."""
        return self._load_classes()

    def number(self, object_id: int, name: str) -> int:
        """Place of the class of that name, said to be an object's, among the classes. UserError if there is none."""
        if name not in self.classes.names:
            near = difflib.get_close_matches(name, self.classes.names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"object {object_id} cannot be of the class {name!r}: no such class is known{hint}")
        return self.classes.names.index(name)

    def take_in(self, object_id: int, name: str) -> None:
        """An object is of the class of that name. UserError if there is no such class."""
        number = self.number(object_id, name)
        self._classes.pop(object_id, None)
        if not self.classes.things[number]:
            self._classes[object_id] = number

    def remove(self, object_id: int) -> None:
        """Forget an object."""
        self._classes.pop(object_id, None)

    def __contains__(self, object_id: int) -> bool:
        return object_id in self._classes

    def __bool__(self) -> bool:
        return bool(self._classes)

    def seen(self, prediction: Prediction, object_ids: Sequence[int]) -> list[Tensor]:
        """Where the map sees these objects: n H' W' bool of each frame, nowhere for things.

        Args:
            prediction: of a clip (B = 1), with class logits; its last n rows are the objects, the others Q learnable
                queries.
        """
        assert prediction.class_logits is not None
        count = len(object_ids)
        frames = prediction.mask_logits[0, :-count].unbind(1)
        counts = [self._counts(top, strip) for frame in frames for top, strip in padded_strips(frame)]
        quality = quality_of(torch.stack(counts).sum(0))
        scores = prediction.class_logits[0, :-count].sigmoid() * quality[:, None]
        wanted = torch.tensor([self._classes.get(i, -1) for i in object_ids], device=scores.device)
        maps = []
        for frame in frames:
            said = [torch.einsum("qk,qhw->khw", scores, strip.sigmoid()).argmax(0) for _, strip in padded_strips(frame)]
            maps.append(torch.cat(said))
        return [found == wanted[:, None, None] for found in maps]

    def _counts(self, top: int, strip: Tensor) -> Tensor:
        """Counts of mask quality in the part of a strip that is not padding."""
        return quality_counts(strip[:, : max(0, self._geometry.input_height - top), : self._geometry.input_width])
