"""Space-time memory networks: frames with masks become keys and values; a new frame reads what is like it in them.

One network for STM (Oh et al., "Video Object Segmentation using Space-Time Memory Networks", ICCV 2019) and for the
propagation of MiVOS (Cheng, Tai and Tang, CVPR 2021, section 3.2); what differs are numbers (configs/model/stm.yaml,
mivos.yaml).

    query = model.encode_query(images)                              # once per frame
    entries = model.encode_memory(images, masks)                    # a frame with the masks of all its objects
    logits = model.decode(query, model.read(query, entry.key, entry.value, top_k=50)[None])    # of one object

Pure: no state of any video lives here. Shapes: N objects, H W pixels of the padded image (multiples of 16), h w of the
maps at stride 16, P = h w positions, M positions of the memory (P of each frame in it), Ck Cv channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.memory_read import read_in_chunks
from univs.models.space_time_decoder import Skips, SpaceTimeDecoder, joined, one_logit
from univs.models.space_time_trunk import make_trunk
from univs.models.video_network import VideoNetwork

STRIDE = 16
"""Pixels of the padded image to a position of the memory."""
OBJECTS_AT_ONCE = 4
"""Objects that pass the networks together: more take memory and save no time."""


POSITIONS_AT_ONCE, SCORES_AT_ONCE = 64, 1 << 22
"""Positions of a frame that read together, and the most that they compare with the memory: 16 MiB, however large frames
and memory are."""


@dataclass(frozen=True)
class QueryFeatures:
    """A frame that asks: key 1 Ck h w, value 1 Cv h w, and what its trunk gives to the decoder."""

    key: Tensor
    value: Tensor
    skips: Skips


@dataclass(frozen=True)
class MemoryEntry:
    """One object on one frame, as the memory keeps it: key P Ck, value P Cv."""

    key: Tensor
    value: Tensor


class SpaceTimeMemory(VideoNetwork):
    """The network.

    Args:
        trunk: resnet50 or a light backbone (`space_time_trunk`).
        key_dim, value_dim: Ck, Cv.
        memory_bias: whether the convolutions of the memory's trunk have biases.
        clamp_others: whether the sum of the other objects' masks is cut off at 1.
        black_padding: whether the padding is black and of nobody (STM), or has the mean colour and belongs to whom the
            network gives it (MiVOS).
        decoder: numbers of `SpaceTimeDecoder`.
        pixel_mean, pixel_std: of RGB 0..255.
        config: the plain numbers it was built from (`zoo.build_model`).
    """

    called = "a space-time memory"

    def __init__(
        self,
        *,
        trunk: str,
        key_dim: int,
        value_dim: int,
        memory_bias: bool,
        clamp_others: bool,
        black_padding: bool,
        decoder: Mapping[str, Any],
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, config)
        self.query_trunk = make_trunk(trunk)
        self.memory_trunk = make_trunk(trunk, 5, bias=memory_bias)
        *skips, deepest = self.query_trunk.channels
        self.query_heads = KeyValue(deepest, key_dim, value_dim)
        self.memory_heads = KeyValue(deepest, key_dim, value_dim)
        self.decoder = SpaceTimeDecoder(2 * value_dim, skips, **decoder)
        self.clamp_others, self.black_padding = clamp_others, black_padding

    def trackers(self) -> dict[str, dict[str, tuple[str, str]]]:
        """It follows objects that masks show."""
        home = "univs.trackers.space_time"
        return {"vos": {"memory": (f"{home}:SpaceTimeTracker", f"{home}:SpaceTimeSettings")}}

    def for_inference(self) -> SpaceTimeMemory:
        """As in `VideoNetwork`."""
        return for_inference(self)

    def images(self, frames: Tensor, padding: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Tensor:
        """F 3 h w RGB, uint8 or 0..255 -> F 3 H W, normalised and padded.

        padding: (left, right, top, bottom) pixels, zero after the normalisation, or before it (`black_padding`).
        """
        if self.black_padding:
            return (F.pad(frames.float(), padding) - self.pixel_mean) / self.pixel_std
        return F.pad((frames.float() - self.pixel_mean) / self.pixel_std, padding)

    def encode_query(self, images: Tensor) -> QueryFeatures:
        """1 3 H W normalised and padded -> what the frame asks with."""
        stride4, stride8, stride16 = self.query_trunk(images)
        key, value = self.query_heads(stride16)
        return QueryFeatures(key, value, self.decoder.skips(stride8, stride4))

    def encode_memory(self, images: Tensor, masks: Tensor) -> list[MemoryEntry]:
        """A frame to be remembered.

        Args:
            images: 1 3 H W normalised and padded.
            masks: N H W probabilities of the objects.
        Returns:
            An entry for each object, which sees the sum of the others beside its own mask.
        """
        entries = []
        for some in self.planes(masks[None])[0].split(OBJECTS_AT_ONCE):
            keys, values = self.remember(images.expand(len(some), -1, -1, -1), some)
            entries += [MemoryEntry(key, value) for key, value in zip(keys, values, strict=True)]
        return entries

    def planes(self, masks: Tensor) -> Tensor:
        """F N H W probabilities -> F N 2 H W: of each object its own, and the sum of the others."""
        others = masks.sum(1, keepdim=True) - masks
        return torch.stack([masks, others.clamp(0, 1) if self.clamp_others else others], 2)

    def remember(self, images: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Images N 3 H W, an object with each as N 2 H W `planes` -> its key N P Ck and value N P Cv."""
        keys, values = self.memory_heads(self.memory_trunk(torch.cat([images, planes], 1))[-1])
        return rows(keys), rows(values)

    def read(self, query: QueryFeatures, keys: Tensor, values: Tensor, top_k: int | None) -> Tensor:
        """What the memory of one object says of a frame (STM, eq. 1 and 2; MiVOS, eq. 3 for the top k).

        Args:
            keys, values: M Ck and M Cv.
            top_k: how many of the M positions each position of the frame reads; None: all.
        Returns:
            Cv h w.
        """
        asked = rows(query.key) / math.sqrt(query.key.shape[1])
        at_once = max(1, min(POSITIONS_AT_ONCE, SCORES_AT_ONCE // len(keys)))
        answer = read_in_chunks(asked, keys[None], values[None, None], top_k, at_once)  # 1 1 P Cv
        return answer[0, 0].T.unflatten(1, query.key.shape[-2:])

    def decode(self, query: QueryFeatures, readouts: Tensor) -> Tensor:
        """N Cv h w from `read` -> N H W logits, of each object by itself."""
        parts = [self.decoder(joined(some, query.value), query.skips) for some in readouts.split(OBJECTS_AT_ONCE)]
        return one_logit(torch.cat(parts))


class KeyValue(nn.Module):
    """Keys and values of a map at stride 16."""

    def __init__(self, channels: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(channels, key_dim, 3, padding=1)
        self.value = nn.Conv2d(channels, value_dim, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F C h w -> F Ck h w, F Cv h w."""
        return self.key(x), self.value(x)


@torch.no_grad()
def for_inference(network: SpaceTimeMemory) -> SpaceTimeMemory:
    """A network that gives the same answers faster.

    Batch norms and activations go into the convolutions; on a CPU the large ones of the heads and the decoder take a
    quarter of the multiplications.
    """
    from univs.models.prepared import fuse_norms, twin
    from univs.models.winograd import use_winograd

    fast: SpaceTimeMemory = twin(network).eval()  # type: ignore[assignment]
    fuse_norms(fast)
    if fast.pixel_mean.device.type == "cpu":
        for part in (fast.query_heads, fast.memory_heads, fast.decoder):
            use_winograd(part)
    return fast


def rows(maps: Tensor) -> Tensor:
    """N C h w -> N P C, each position a row."""
    return maps.flatten(2).transpose(1, 2).contiguous()


def aligned(query: Tensor, key: Tensor, maps: Tensor) -> Tensor:
    """Carries maps of a remembered frame to another one by the attention between the two (MiVOS, section 3.3).

    The soft-max is over all positions of the remembered frame.

    Args:
        query: 1 Ck h w key of the frame that asks.
        key: P Ck of an object on the remembered frame.
        maps: D H W of the remembered frame, shrunk to h w by their mean and enlarged again by bilinear interpolation.
    Returns:
        D H W.
    """
    size = query.shape[-2:]
    small = F.interpolate(maps[None], size=size, mode="area")
    asked = rows(query) / math.sqrt(query.shape[1])
    moved = read_in_chunks(asked, key[None], rows(small)[None], None)[0, 0].T.unflatten(1, size)  # D h w
    return F.interpolate(moved[None], size=maps.shape[-2:], mode="bilinear", align_corners=False)[0]
