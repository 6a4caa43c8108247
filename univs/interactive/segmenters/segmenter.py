"""The seam between interactions and masks, and several objects on one frame.

Shapes: N objects, H W pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from univs.errors import UserError
from univs.interactive.interactions import Interactions, Kind
from univs.masks.soft_aggregation import joint_probabilities

Frame = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


class Segmenter(Protocol):
    """Makes the mask of one object on one frame of what was said about it.

    takes: kinds of interactions that it can use.
    """

    takes: frozenset[Kind]

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """The object's mask.

        Args:
            frame: H W 3, RGB.
            current: H W, probability of the object so far; 0 everywhere in a first round.
            said: what was said since; nothing of it is of a kind that the segmenter does not take. Who does not see
                `current` goes by `said.earlier` too.
        Returns:
            H W, probability of the object.
        """


@dataclass(frozen=True)
class Segmented:
    """Objects of a frame that were segmented one by one and then met.

    alone: N H W, probability of each by itself. labels: H W ids, 0 for none.
    """

    alone: Probabilities
    labels: NDArray[np.uint16]


def segment_objects(
    segmenter: Segmenter,
    frame: Frame,
    current: NDArray[np.integer],
    said: Mapping[int, Interactions],
    *,
    background: float | None = None,
) -> Segmented:
    """Masks of several objects: one by one, then against each other by soft aggregation (MiVOS).

    Args:
        current: H W ids so far.
        said: about each object, by its id; one about which nothing was said stays as it is.
        background: its probability everywhere; None: that of no object being there. 0.5 is official where a mask is
            painted, clicked at or stitched, so that what is erased is nobody's.
    Raises UserError for a kind of interaction that the segmenter does not take, and where no object is named.
    """
    if not said:
        raise UserError("nothing is said about any object; name one at least")
    ids = sorted(said)
    alone = np.stack(
        [
            checked(segmenter, frame, (current == number).astype(np.float32), said[number])
            if said[number].kinds()
            else (current == number).astype(np.float32)
            for number in ids
        ]
    )
    return Segmented(alone, labels_of(alone, ids, background))


def checked(segmenter: Segmenter, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
    """`segmenter.segment`, once it is known to take what was said.

    Raises UserError if it does not, and for clicks and a box that do not lie in the frame.
    """
    said.validate(*current.shape)
    if other := sorted(said.kinds() - segmenter.takes):
        takes = ", ".join(sorted(segmenter.takes))
        raise UserError(f"this segmenter takes {takes} and not {', '.join(other)}; choose another one for these")
    return segmenter.segment(frame, current, said)


def labels_of(alone: Probabilities, ids: Sequence[int], background: float | None = None) -> NDArray[np.uint16]:
    """Where objects win over each other and the background: N H W -> ids H W."""
    joint = joint_probabilities(torch.from_numpy(alone), background)
    return np.array([0, *ids], np.uint16)[joint.argmax(0).numpy()]
