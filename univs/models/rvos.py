"""RVOS: objects one after the other, frame after frame, by a recurrence over both (Ventura et al., CVPR 2019).

    skips = model.encode(model.images(frames))                       # once per frame
    logits, states = model.decode(skips, masks, before)              # all object slots of the frame
    before = states.hidden                                           # for the next frame

One-shot, where each slot sees the mask of its object on the frame before, and zero-shot, where slots find their
objects by themselves, are one network of which a number differs (configs/model/rvos.yaml, rvos_zero_shot.yaml).

Pure: no state of any video lives here. Shapes: B videos, N object slots, H W pixels of the image, h w of a level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from univs.models.resnet import ResNet
from univs.models.rvos_decoder import RecurrentDecoder, SlotStates, enlarged
from univs.models.video_network import VideoNetwork

Recurrence = Literal["spatiotemporal", "spatial", "temporal"]
"""What slots recur over: objects and frames; the objects of a frame alone; frames alone, but for the first frame of a
video, where the officially trained networks recur over objects in any case (ablation of section 4.2)."""
SLOTS = 10
"""Object slots of the official networks."""


class RVOS(VideoNetwork):
    """The network.

    Args:
        blocks: of the stages of the ResNet, as many as there are levels.
        hidden: channels of the levels' states, from coarse to fine.
        sees_masks: whether each slot sees the mask of its object on the frame before (one-shot).
        recurrence: see `Recurrence`.
        pixel_mean, pixel_std: of RGB 0..255.
        config: the plain numbers it was built from (`zoo.build_network`).
    """

    called = "RVOS"

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        hidden: Sequence[int],
        sees_masks: bool,
        recurrence: Recurrence,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        # of 0..1, as officially: in training, rounding the last bit otherwise moves gradients of the stem by 3e-3
        super().__init__([mean / 255 for mean in pixel_mean], [std / 255 for std in pixel_std], config)
        if recurrence not in get_args(Recurrence):
            raise ValueError(f"unknown recurrence {recurrence!r}: one of {', '.join(get_args(Recurrence))}")
        self.trunk = ResNet(blocks)
        self.decoder = RecurrentDecoder(hidden, masked=sees_masks)
        pairs = zip(self.trunk.channels[::-1], self.decoder.skip_channels, strict=True)
        self.skips = nn.ModuleList(
            nn.Sequential(nn.Conv2d(deep, out, 3, padding=1), nn.BatchNorm2d(out)) for deep, out in pairs
        )
        self.sees_masks, self.recurrence = sees_masks, recurrence

    def trackers(self) -> dict[str, dict[str, tuple[str, str]]]:
        """It follows objects that masks show, or finds some by itself."""
        home = "univs.trackers.rvos"
        if self.sees_masks:
            return {"vos": {"slots": (f"{home}:ShownTracker", f"{home}:ShownSettings")}}
        return {"zero_shot": {"slots": (f"{home}:FoundTracker", f"{home}:FoundSettings")}}

    def for_inference(self) -> RVOS:
        """As in `VideoNetwork`."""
        return for_inference(self)

    def images(self, frames: Tensor) -> Tensor:
        """F 3 H W RGB, uint8 or 0..255 -> the same, normalised."""
        return (frames.float() / 255 - self.pixel_mean) / self.pixel_std

    def encode(self, images: Tensor) -> list[Tensor]:
        """B 3 H W normalised -> what the levels see of them, B C h w from coarse to fine."""
        return [skip(maps) for skip, maps in zip(self.skips, self.trunk(images)[::-1], strict=True)]

    def decode(
        self, skips: Sequence[Tensor], masks: Tensor | None, before: Sequence[Tensor] | None, slots: int = SLOTS
    ) -> tuple[Tensor, SlotStates]:
        """All slots of a frame.

        Args:
            skips: from `encode`.
            masks: B N H W of the frame before, probabilities, all zero for empty slots; None where slots see none.
            before: hidden states of the frame before (`SlotStates.hidden`); None: this is the first one.
            slots: N.
        Returns:
            Logits B N h w, which `enlarged` brings to H W; the states. A slot depends on those before it: slots at the
            end may be left out without changing the others.
        """
        spatial = self.recurrence != "temporal" or before is None
        known = None if self.recurrence == "spatial" else before
        return self.decoder(skips, masks, known, slots, spatial=spatial)

    def masks(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits B N h w from `decode` -> logits B N H W of the image."""
        return enlarged(logits, size)


@torch.no_grad()
def for_inference(network: RVOS) -> RVOS:
    """A network that gives the same answers faster: batch norms and activations go into the convolutions."""
    from univs.models.prepared import fuse_norms, twin

    fast: RVOS = twin(network).eval()  # type: ignore[assignment]
    fuse_norms(fast)
    return fast
