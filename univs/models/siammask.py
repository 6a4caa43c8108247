"""SiamMask: a template of an object is correlated with a crop that may hold it; each cell of the answer has a score,
boxes, and a mask (Wang et al., "Fast Online Object Tracking and Segmentation: A Unifying Approach", CVPR 2019).

    template = model.encode_template(model.images(crops_of_127))        # once for each object
    answer = model.search(template, model.images(crops_of_255))         # once per frame, all objects together
    logits = model.masks(answer, cells)                                 # of the cells that are believed

Pure: no state of any video lives here. Shapes: N objects, each with a crop of its own, S side of a crop, A anchors, C
channels of a correlation, n cells to a side of the answer (25 for S = 255), K chosen cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.resnet import NormRelu
from univs.models.siammask_anchors import Anchors
from univs.models.siammask_refinement import Refinement, beside_deepest
from univs.models.siammask_trunk import make_siamese_trunk
from univs.models.video_network import VideoNetwork

if TYPE_CHECKING:
    from typing_extensions import Self

BORDER, NARROW = 4, 20
"""Cells that maps of fewer than `NARROW` cells lose on each side: there the border of the crop is seen."""
COARSE = 63
"""Side of the masks that are not refined."""


@dataclass(frozen=True)
class Template:
    """What objects look like, as the branches are asked: each N C 5 5."""

    cls: Tensor
    loc: Tensor
    mask: Tensor | None

    def of(self, rows: slice) -> Template:
        """Some of the objects."""
        return Template(self.cls[rows], self.loc[rows], None if self.mask is None else self.mask[rows])

    @classmethod
    def joined(cls, parts: Sequence[Template]) -> Template:
        """Objects of several templates, all with masks or none."""
        masks = [part.mask for part in parts if part.mask is not None]
        return cls(
            torch.cat([part.cls for part in parts]),
            torch.cat([part.loc for part in parts]),
            torch.cat(masks) if len(masks) == len(parts) else None,
        )


@dataclass(frozen=True)
class SearchAnswer:
    """What was found in the crops.

    scores: N 2 A n n logits, of background and object. boxes: N 4 A n n, dx, dy (in sizes of the anchor), log of the
    width and height (as multiples of the anchor's). correlation: N C n n of the mask branch; None where it did not run.
    maps: of the trunk at strides 2, 4, 8, for the refinement, as it takes them.
    """

    scores: Tensor
    boxes: Tensor
    correlation: Tensor | None
    maps: Sequence[Tensor]


class SiamMask(VideoNetwork):
    """The network.

    Args:
        trunk: resnet50 or a light backbone (`siammask_trunk`).
        width: C.
        anchors: numbers of `Anchors`.
        coarse_masks: whether every cell gives a mask of 63 x 63 (the base model, and what refined ones start from).
        refinement: numbers of `Refinement`; None: masks are not refined.
        bgr: whether the trunk reads blue, green, red.
        pixel_mean, pixel_std: of RGB 0..255.
        config: the plain numbers it was built from (`zoo.build_model`).
    """

    called = "SiamMask"

    def __init__(
        self,
        *,
        trunk: str,
        width: int,
        anchors: Mapping[str, Any],
        coarse_masks: bool,
        refinement: Mapping[str, Any] | None,
        bgr: bool,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, config)
        if not coarse_masks and refinement is None:
            raise ValueError("masks come from coarse_masks or from a refinement; both are left out")
        self.anchors, self.bgr, self.coarse_masks = Anchors(**anchors), bgr, coarse_masks
        self.trunk = make_siamese_trunk(trunk)
        *shallow, deepest = self.trunk.channels
        self.neck = nn.Sequential(nn.Conv2d(deepest, width, 1, bias=False), nn.BatchNorm2d(width))
        self.cls = DepthCorrelation(width, 2 * len(self.anchors))
        self.loc = DepthCorrelation(width, 4 * len(self.anchors))
        self.mask = DepthCorrelation(width, COARSE**2 if coarse_masks else None)
        self.refinement = None if refinement is None else Refinement(width, shallow, **refinement)

    def train(self, mode: bool = True) -> Self:
        """As in torch, except that batch norms that are not trained keep their stored statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self

    def trackers(self) -> dict[str, dict[str, tuple[str, str]]]:
        """It follows objects that boxes or masks show; each way has the numbers of one benchmark."""
        home = "univs.trackers.siammask"
        ways = {"davis": "DAVIS", "vot": "VOT", "vot_ld": "VOT_LD", "base": "BASE", "pysot": "PYSOT", "light": "LIGHT"}
        return {"vos": {way: (f"{home}:SiamMaskTracker", f"{home}:{name}") for way, name in ways.items()}}

    def for_inference(self) -> SiamMask:
        """As in `VideoNetwork`."""
        return for_inference(self)

    @property
    def mask_side(self) -> int:
        """Pixels to a side of its masks: 127, or 63 if they are not refined."""
        return COARSE if self.refinement is None else self.refinement.side

    def images(self, crops: Tensor) -> Tensor:
        """N 3 S S RGB, uint8 or 0..255 -> the same as the trunk reads it."""
        images = (crops.float() - self.pixel_mean) / self.pixel_std
        return images.flip(1) if self.bgr else images

    def features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """N 3 S S -> N C m m at stride 8, of which the border is cut off if it is narrow, and the maps of the trunk."""
        *maps, deepest = self.trunk(images)
        found = self.neck(deepest)
        if found.shape[-1] < NARROW:
            found = found[..., BORDER:-BORDER, BORDER:-BORDER]
        return found, maps

    def encode_template(self, images: Tensor, *, masks: bool = True) -> Template:
        """N 3 127 127 -> what the branches ask with. masks: whether the mask branch will be asked."""
        found, _ = self.features(images)
        return Template(self.cls.kernel(found), self.loc.kernel(found), self.mask.kernel(found) if masks else None)

    def search(self, template: Template, images: Tensor) -> SearchAnswer:
        """Look for N objects, each in a crop of its own, N 3 S S. The mask branch runs if the template has it."""
        found, maps = self.features(images)
        scores = self.cls.head(self.cls.correlate(template.cls, found))
        boxes = self.loc.head(self.loc.correlate(template.loc, found))
        correlation = None if template.mask is None else self.mask.correlate(template.mask, found)
        if correlation is not None and self.refinement is not None and self.refinement.deep:
            maps = beside_deepest(maps, found, correlation)
        return SearchAnswer(
            scores.unflatten(1, (2, len(self.anchors))), boxes.unflatten(1, (4, len(self.anchors))), correlation, maps
        )

    def masks(self, answer: SearchAnswer, cells: Tensor) -> Tensor:
        """The best masks that it has: cells K 3 (object's row, y, x) -> K m m logits, m = `mask_side`."""
        return self.coarse(answer, cells) if self.refinement is None else self.refined(answer, cells)

    def coarse(self, answer: SearchAnswer, cells: Tensor) -> Tensor:
        """Cells K 3 (object's row, y, x) -> K 63 63 logits, one pixel's worth of the mask branch each."""
        responses = self._responses(answer, cells)
        return self.mask.head(responses[..., None, None]).view(-1, COARSE, COARSE)

    def refined(self, answer: SearchAnswer, cells: Tensor) -> Tensor:
        """Cells K 3 (object's row, y, x) -> K 127 127 logits."""
        assert self.refinement is not None and answer.correlation is not None
        cell_count = answer.correlation.shape[-1]
        return self.refinement(self._responses(answer, cells), answer.maps, cells, cell_count)

    def _responses(self, answer: SearchAnswer, cells: Tensor) -> Tensor:
        assert answer.correlation is not None, "the mask branch did not run"
        row, y, x = cells.unbind(1)
        return answer.correlation[row, :, y, x]


class DepthCorrelation(nn.Module):
    """A branch: template and crop in features of its own, channel by channel correlated, and a head on that.

    Args:
        width: C.
        out: channels of the answer; None: the correlation itself is the answer.
    """

    def __init__(self, width: int, out: int | None) -> None:
        super().__init__()
        self.kernel = nn.Sequential(nn.Conv2d(width, width, 3, bias=False), NormRelu(width))
        self.crop = nn.Sequential(nn.Conv2d(width, width, 3, bias=False), NormRelu(width))
        self.head = nn.Sequential()
        if out is not None:
            self.head = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), NormRelu(width), nn.Conv2d(width, out, 1))

    def correlate(self, kernel: Tensor, found: Tensor) -> Tensor:
        """Kernel N C k k from `kernel`, features N C m m of the crops -> N C n n, n = m - k - 1."""
        return correlation(kernel, self.crop(found))


def correlation(kernel: Tensor, maps: Tensor) -> Tensor:
    """Slide each object's kernel N C k k over its map N C m m, channel by channel -> N C m-k+1 m-k+1."""
    count, channels, *size = maps.shape
    kernels = kernel.reshape(count * channels, 1, *kernel.shape[-2:])
    out = F.conv2d(maps.reshape(1, count * channels, *size), kernels, groups=count * channels)
    return out.view(count, channels, *out.shape[-2:])


@torch.no_grad()
def for_inference(network: SiamMask) -> SiamMask:
    """A network that gives the same answers faster: batch norms and activations are inside the convolutions."""
    from univs.models.prepared import fuse_norms, twin

    fast: SiamMask = twin(network).eval()  # type: ignore[assignment]
    fuse_norms(fast)
    return fast
