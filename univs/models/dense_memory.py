"""Dense memory: what the pixels of earlier frames say about an object, as a residual on the mask features.

``F_n = F + D(read(memory, n))``: a global read at stride 16 over the memorised frames (the space-time memory of STM and
XMem), a local read at stride 8 around the same place in the previous frame, and a small decoder that turns both into
the residual D at stride 4. Pure calls only: the entries live in `trackers/frame/memory.py`.

Shapes: B batch, N objects, P = h16*w16 positions at stride 16, M memory positions, Cm mask-feature channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.features import ImageFeatures
from univs.models.memory_read import (
    LocalWindow,
    memory_side,
    query_side,
    read_in_chunks,
    read_out,
    similarity,
    softmax,
)
from univs.models.pixel_decoder import ResidualBlock


@dataclass(frozen=True)
class MemoryKey:
    """Keys of B frames, made once per frame for all objects."""

    query: Tensor
    """B P Ck+2: the frame as the one that asks (`memory_read.query_side`)."""
    memory: Tensor
    """B P Ck+2: the frame as the one that is remembered (`memory_read.memory_side`)."""
    local: Tensor
    """B Cl h8 w8, L2 normalised over Cl."""
    size: tuple[int, int]
    """(h16, w16), with P = h16 * w16."""

    def frames(self, index: slice | Tensor) -> MemoryKey:
        """The keys of some of the frames."""
        return MemoryKey(self.query[index], self.memory[index], self.local[index], self.size)


@dataclass(frozen=True)
class MemoryValue:
    """What B frames say about N objects each."""

    global_value: Tensor
    """B N P Cv, for the global read; the last channel is the mask itself."""
    local_value: Tensor
    """B N Cl+1 h8 w8, for the local read; the last channel is the mask itself."""


@dataclass(frozen=True)
class Readout:
    """The answer of the memory for B frames and N objects."""

    global_read: Tensor
    """B N Cv h16 w16."""
    local_read: Tensor
    """B N Cl+1 h8 w8, carried from the previous frame to this one."""
    previous_mask: Tensor
    """B N 1 h16 w16: the mask of the previous frame, where it was."""


class DenseMemory(nn.Module):
    """Key encoder, value encoder, reads and the decoder of the residual.

    Args:
        pyramid_channels: channels of `ImageFeatures.pyramid` at strides 16, 8 and 4.
        mask_dim: channels Cm of the mask features.
        key_dim, value_dim: channels of the global keys and values.
        local_key_dim, local_value_dim: channels of the local keys and values.
        local_radius: radius of the local window in cells of stride 8. No parameter depends on it.
        top_k: how many memory positions a position reads outside training.
        widths: channels of the decoder and the value encoder at strides 16, 8 and 4.
    """

    def __init__(
        self,
        pyramid_channels: Mapping[int, int],
        mask_dim: int,
        *,
        key_dim: int = 64,
        value_dim: int = 128,
        local_key_dim: int = 32,
        local_value_dim: int = 16,
        local_radius: int = 7,
        top_k: int = 30,
        widths: tuple[int, int, int] = (96, 64, 32),
    ) -> None:
        super().__init__()
        c16, c8, c4 = (pyramid_channels[stride] for stride in (16, 8, 4))
        w16, w8, w4 = widths
        self.key_dim, self.value_dim, self.local_key_dim = key_dim, value_dim, local_key_dim
        self.local_value_dim, self.local_radius, self.top_k = local_value_dim, local_radius, top_k
        self.key = nn.Conv2d(c16, key_dim, 3, padding=1)
        self.shrinkage = nn.Conv2d(c16, 1, 3, padding=1)
        self.local_key = nn.Conv2d(c8, local_key_dim, 3, padding=1)
        # value encoder: (mask, other masks) at 1/4 -> 1/8 -> 1/16, joined with the image features on the way
        self.value8 = nn.Conv2d(2, w8 // 2, 3, stride=2, padding=1)
        self.value8_image = nn.Conv2d(c8, w8 // 2, 1)
        self.value8_out = nn.Conv2d(w8 // 2, local_value_dim, 3, padding=1)
        self.value8_rough = nn.Parameter(torch.zeros(w8 // 2, 1, 1))
        self.value16 = nn.Conv2d(w8 // 2, w16, 3, stride=2, padding=1)
        self.value16_image = nn.Conv2d(c16, w16, 1)
        self.value16_block = ResidualBlock(w16)
        self.value16_out = nn.Conv2d(w16, value_dim - 1, 3, padding=1)
        # decoder of the residual
        self.decode16 = nn.Conv2d(value_dim + 1, w16, 3, padding=1)
        self.decode16_image = nn.Conv2d(c16, w16, 1)
        self.decode16_block = ResidualBlock(w16)
        self.decode8 = nn.Conv2d(w16, w8, 1)
        self.decode8_local = nn.Conv2d(local_value_dim + 1, w8, 3, padding=1)
        self.decode8_image = nn.Conv2d(c8, w8, 1)
        self.decode8_block = ResidualBlock(w8)
        self.decode4 = nn.Conv2d(w8, w4, 1)
        self.decode4_image = nn.Conv2d(c4, w4, 1)
        self.decode4_block = ResidualBlock(w4)
        self.residual_out = nn.Conv2d(w4 + 2, mask_dim, 1)
        # mask embeddings start near (1, ..., 1), so the first answer is the carried masks themselves
        with torch.no_grad():
            self.residual_out.weight[:, :-2].mul_(0.1)
            self.residual_out.weight[:, -2].fill_(2 / mask_dim)
            self.residual_out.weight[:, -1].fill_(6 / mask_dim)
        assert self.residual_out.bias is not None
        nn.init.constant_(self.residual_out.bias, -4 / mask_dim)

    def memory_key(self, features: ImageFeatures) -> MemoryKey:
        """Keys of B frames."""
        image16 = features.pyramid[16]
        key = self.key(image16).flatten(2).transpose(1, 2)
        shrinkage = 1 + self.shrinkage(image16).flatten(2).transpose(1, 2).square()
        local = F.normalize(self.local_key(features.pyramid[8]), dim=1)
        height, width = image16.shape[-2:]
        return MemoryKey(query_side(key), memory_side(key, shrinkage), local, (height, width))

    def memory_value(self, features: ImageFeatures, masks: Tensor) -> MemoryValue:
        """What B frames with these masks will say later.

        Args:
            masks: B N H/4 W/4 object probabilities in 0..1 (soft aggregated: they sum to at most 1 over N).
        """
        others = (masks.sum(1, keepdim=True) - masks).clamp(0, 1)
        return self._value(features, torch.stack([masks, others], dim=2), rough=False)

    def prompt_residual(self, features: ImageFeatures, key: MemoryKey, maps: Tensor) -> Tensor:
        """The residual of objects that were pointed at on these very frames: the prompt is read as a rough entry.

        Args:
            features, key: of B frames.
            maps: B N 2 H/4 W/4 from `prompt_maps`: where the object is said to be, and not to be.
        Returns:
            B N Cm H/4 W/4.
        """
        value = self._value(features, maps, rough=True)
        global_read = (
            self.read_all(key, self.global_affinity(key, key.memory), value.global_value)
            if torch.is_grad_enabled()
            else self.read(key, key.memory, value.global_value)
        )
        return self.residual(features, self.readout(key, global_read, self.local_window(key, key), value.local_value))

    def _value(self, features: ImageFeatures, maps: Tensor, *, rough: bool) -> MemoryValue:
        """Values of maps B N 2 H/4 W/4 (the object, and what is not the object), true masks or rough prompts."""
        batch, objects = maps.shape[:2]
        pair = maps.flatten(0, 1)  # B*N 2 h4 w4
        at8 = self._join(self.value8(pair), self.value8_image(features.pyramid[8]), objects)
        if rough:
            at8 = at8 + self.value8_rough
        mask8 = F.avg_pool2d(pair[:, :1], 2)
        local_value = torch.cat([self.value8_out(F.relu(at8)), mask8], dim=1)
        at16 = self._join(self.value16(F.relu(at8)), self.value16_image(features.pyramid[16]), objects)
        global_value = torch.cat([self.value16_out(F.relu(self.value16_block(at16))), F.avg_pool2d(mask8, 2)], dim=1)
        global_value = global_value.flatten(2).transpose(1, 2)
        return MemoryValue(
            global_value.unflatten(0, (batch, objects)).contiguous(), local_value.unflatten(0, (batch, objects))
        )

    def global_affinity(self, query: MemoryKey, memory: Tensor) -> Tensor:
        """Soft-max affinity B P M of B frames to the memory keys B M Ck+2, over all positions (for training)."""
        with torch.autocast(memory.device.type, enabled=False):  # distances are differences of large squares
            return softmax(similarity(query.query, memory))

    def local_window(self, query: MemoryKey, previous: MemoryKey, radius: int | None = None) -> LocalWindow:
        """Local affinity of B frames to their previous frames."""
        return LocalWindow(query.local, previous.local, self.local_radius if radius is None else radius)

    def read(self, query: MemoryKey, memory: Tensor, values: Tensor) -> Tensor:
        """Global read of the `top_k` best memory positions.

        Args:
            query: keys of B frames.
            memory: B M Ck+2 rows of `MemoryKey.memory`, entries one after the other.
            values: B N M Cv rows of `MemoryValue.global_value` in the same order.
        Returns:
            B N P Cv.
        """
        return read_in_chunks(query.query, memory, values, self.top_k)

    def readout(self, query: MemoryKey, global_read: Tensor, window: LocalWindow, previous: Tensor) -> Readout:
        """Bring the global read (B N P Cv) and the local read of `previous` (B N Cl+1 h8 w8) into map form."""
        batch, objects = global_read.shape[:2]
        maps = global_read.transpose(2, 3).unflatten(3, query.size)
        local_read = window.read(previous.flatten(1, 2)).unflatten(1, (objects, -1))
        mask16 = F.avg_pool2d(previous[:, :, -1], 2).unsqueeze(2)
        return Readout(maps, local_read, mask16)

    def read_all(self, query: MemoryKey, affinity: Tensor, values: Tensor) -> Tensor:
        """Global read with a given affinity B P M over all positions: B N P Cv (training)."""
        return read_out(affinity, values)

    def residual(self, features: ImageFeatures, readout: Readout) -> Tensor:
        """The residual D on the mask features of every object: B N Cm H/4 W/4."""
        batch, objects = readout.global_read.shape[:2]
        pyramid = features.pyramid
        x = self.decode16(torch.cat([readout.global_read, readout.previous_mask], dim=2).flatten(0, 1))
        x = self.decode16_block(self._join(x, self.decode16_image(pyramid[16]), objects))
        x = F.interpolate(self.decode8(x), size=pyramid[8].shape[-2:], mode="bilinear", align_corners=False)
        x = x + self.decode8_local(readout.local_read.flatten(0, 1))
        x = self.decode8_block(self._join(x, self.decode8_image(pyramid[8]), objects))
        x = F.interpolate(self.decode4(x), size=pyramid[4].shape[-2:], mode="bilinear", align_corners=False)
        x = self.decode4_block(self._join(x, self.decode4_image(pyramid[4]), objects))
        carried = [maps.flatten(0, 1)[:, -1:] for maps in (readout.global_read, readout.local_read)]
        carried = [F.interpolate(m, size=x.shape[-2:], mode="bilinear", align_corners=False) for m in carried]
        return self.residual_out(torch.cat([F.relu(x), *carried], dim=1)).unflatten(0, (batch, objects))

    @staticmethod
    def _join(per_object: Tensor, per_frame: Tensor, objects: int) -> Tensor:
        """Add a B C h w map to the B*N C h w maps of its objects."""
        return (per_object.unflatten(0, (-1, objects)) + per_frame.unsqueeze(1)).flatten(0, 1)
