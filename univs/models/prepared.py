"""A model made ready for inference once, however many sessions it answers.

Folding and reordering weights takes longer than a frame, compiling far longer; what comes of it is kept with the model
for as long as the model lives, and made anew when its weights have changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from weakref import WeakKeyDictionary

import torch

from univs.models.fused import for_inference
from univs.models.precision import compiled as compiled_model
from univs.models.precision import with_precision
from univs.models.univs import UniVS

State = tuple[object, ...]


@dataclass
class _Kept:
    """Models made from the weights of one state, by (precision, compiled)."""

    state: State
    ready: dict[tuple[str, bool], UniVS] = field(default_factory=dict)


_KEPT: WeakKeyDictionary[UniVS, _Kept] = WeakKeyDictionary()


def prepared(model: UniVS, precision: str = "float32", compiled: bool = False) -> UniVS:
    """The fast form of a model (`for_inference`) in that number format, perhaps with a compiled backbone.

    The same object every time until the weights change; it knows nothing of any video, so sessions may share it.
    Raises UserError for a precision that is not known or not for the model's device.
    """
    state = state_of(model)
    kept = _KEPT.get(model)
    if kept is None or kept.state != state:
        kept = _KEPT[model] = _Kept(state)
    ready = kept.ready
    if (precision, compiled) not in ready:
        if compiled:
            ready[precision, True] = compiled_model(prepared(model, precision))
        elif precision != "float32":
            ready[precision, False] = with_precision(prepared(model), precision)
        else:
            ready[precision, False] = for_inference(model)
    return ready[precision, compiled]


@torch.no_grad()
def state_of(model: UniVS) -> State:
    """What is equal as long as the weights are: where every tensor lies, how often it was written to, and its sum.

    The sum notices what is written past autograd (`tensor.data`), which is not counted.
    """
    named = list(chain(model.named_parameters(), model.named_buffers()))
    places = tuple((name, value.data_ptr(), _writes(value)) for name, value in named)
    sums = torch.stack([value.sum() for _, value in named if value.is_floating_point()])
    return (model.training, places, *sums.tolist())


def _writes(value: torch.Tensor) -> int:
    """How often a tensor was written to; made in inference mode, nobody counts."""
    return 0 if value.is_inference() else value._version
