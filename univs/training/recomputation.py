"""Memory for time: blocks of the image encoder forget what they computed, and compute it again for the gradients.

The encoder sees all frames of a batch at once and keeps three quarters of what a clip step keeps for the backward pass
(814 of 1088 MiB for `tiny`, 2 clips of 4 frames, 256 pixels, float32); what decodes and remembers is small beside it. A
step's peak falls there from 1252 to 745 MiB, and its time rises by 18 % (4 clips, CPU: `univs benchmark training`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from univs.models.feelvos import FEELVOS
from univs.models.fusion import FusionNetwork
from univs.models.siammask import SiamMask
from univs.models.space_time_memory import SpaceTimeMemory

Step = Callable[[dict[str, Any], float], dict[str, Tensor]]


def encoder_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of its backbone and of the trunks of words and closer look, and the pixel decoder, as far as it has
    them; those of the trunks of a memory, of SiamMask and of FEELVOS; the convolutions of a fusion network. None lies
    within another.
    """
    if isinstance(model, FusionNetwork):
        return [model.conv1, model.conv2, model.conv3]
    if isinstance(model, FEELVOS):
        return list(_blocks(model.features.backbone))
    if isinstance(model, SpaceTimeMemory):
        return [*_blocks(model.query_trunk), *_blocks(model.memory_trunk)]
    if isinstance(model, SiamMask):
        return list(_blocks(model.trunk))
    trunks = [getattr(getattr(model, name, None), "trunk", None) for name in ("word_head", "mask_refiner")]
    encoders = [part for part in (model.backbone, *trunks) if isinstance(part, nn.Module)]
    whole = [part for part in (getattr(model, "pixel_decoder", None),) if isinstance(part, nn.Module)]
    return [block for encoder in encoders for block in _blocks(encoder)] + whole


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What lies in the lists within a module and has parts of its own."""
    row = isinstance(module, nn.Sequential | nn.ModuleList)
    for child in module.children():
        if row and not isinstance(child, nn.Sequential | nn.ModuleList):
            if next(child.children(), None) is not None:
                yield child
        else:
            yield from _blocks(child)


def recomputing(step: Step, blocks: Sequence[nn.Module]) -> Step:
    """The same step, whose gradients are the same to the bit, with these blocks' inputs alone kept for them."""

    def economical(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        with _forgetting(blocks):
            return step(batch, kept)

    return economical


@contextmanager
def _forgetting(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Blocks called in here are called once more by the backward pass; they themselves stay as they are."""
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
