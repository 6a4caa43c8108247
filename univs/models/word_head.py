"""Where the image meets words: every cell gets a place in the space of text embeddings, and says what object it is of.

Only small models have it. It reads the features that everything else reads and changes none of them, so that it can be
taught, and taught anew, without touching how objects are followed. Networks that learned the classes of ImageNet
know best what things are: the trunk is the late part of one, beside that of the backbone, which has learned to follow.

Shapes: F frames, H W pixels of the padded input, h w = H/8 W/8 cells, C channels, D dimension of text embeddings,
K classes or texts, Q masks, N boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.errors import UserError
from univs.masks.boxes import best_boxes
from univs.masks.geometry import MASK_STRIDE
from univs.models.backbone import CLASSIFIED, SCALES, EfficientNetLite
from univs.models.features import ImageFeatures

WORD_STRIDE = 8
"""Pixels of the padded input to a cell that gets words."""
LARGEST = 6.0
"""Limit of the logarithm of a box's reach in cells."""
CANDIDATES = 400
"""Cells that are looked at for boxes."""
LEAST = 0.03
"""Objectness from which a box is proposed."""


@dataclass(frozen=True)
class WordCells:
    """What the head says of F frames."""

    words: Tensor
    """F D h w, of any length."""
    objectness: Tensor
    """F h w logits: whether a cell lies in the middle of an object that is seen well."""
    reach: Tensor
    """F 4 h w: pixels from the centre of the cell to the left, top, right and bottom of its object."""

    def boxes(self) -> Tensor:
        """F 4 h w, xyxy in pixels of the padded input."""
        height, width = self.reach.shape[-2:]
        y, x = ((torch.arange(n, device=self.reach.device) + 0.5) * WORD_STRIDE for n in (height, width))
        left, top, right, bottom = self.reach.unbind(1)
        return torch.stack([x - left, y[:, None] - top, x + right, y[:, None] + bottom], 1)


class Trunk(nn.Module):
    """The late part of an EfficientNet-Lite, from its map at stride 8 on; batch norms never leave their statistics.

    Args:
        name: of the network, the same as the backbone's.
    Raises UserError for a network that is not of this family.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in SCALES:
            known = ", ".join(SCALES)
            raise UserError(f"the trunk of a word head is the late part of one of {known}, which {name!r} is not")
        network = EfficientNetLite(name, classified=True)
        self.first = 1 + network.ends[8]
        self.blocks = nn.ModuleList(network.blocks.children())[self.first :]
        self.head = nn.Sequential(network.conv_head, network.bn2)
        self.channels = (*network.channels[2:], CLASSIFIED)
        self.train(self.training)

    def train(self, mode: bool = True) -> Trunk:
        """As in torch, except that the batch norms stay in eval mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, early: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map at stride 8 -> maps at strides 16 and 32, and what the classifier of ImageNet reads, at stride 32."""
        maps, x = [], early
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        at16 = [x for x in maps if x.shape[-1] != maps[-1].shape[-1]]
        return at16[-1] if at16 else maps[0], maps[-1], self.head(maps[-1])


class Around(nn.Module):
    """What a cell of C channels sees of cells further and further away, added to what it knew; at first nothing."""

    def __init__(self, channels: int, gap: int) -> None:
        """gap: cells from one that is looked at to the next."""
        super().__init__()
        self.look = nn.Conv2d(channels, channels, 5, padding=2 * gap, dilation=gap, groups=channels)
        self.norm = nn.GroupNorm(8, channels)
        self.join = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.join.weight)
        nn.init.zeros_(self.join.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> the same."""
        joined: Tensor = x + self.join(F.relu(self.norm(self.look(x))))
        return joined


class WordHead(nn.Module):
    """Features -> `WordCells`, and the scores of texts on cells and on masks.

    Args:
        dim: channels C of the three levels.
        text_dim: D.
        hidden: channels between.
        trunk: name of the network whose late part it has (`Trunk`); None: it has none.
        around: times that the cells look around them before they say how far their object reaches, twice as far each
            time.
    """

    def __init__(self, dim: int, text_dim: int, hidden: int, trunk: str | None = None, around: int = 0) -> None:
        super().__init__()
        self.trunk = None if trunk is None else Trunk(trunk)
        width = 3 * dim
        if self.trunk is not None:
            at16, at32, classified = self.trunk.channels
            self.from16 = nn.Sequential(nn.Conv2d(at16, hidden, 1), nn.GroupNorm(8, hidden))
            self.from32 = nn.Sequential(nn.Conv2d(at32, hidden, 1), nn.GroupNorm(8, hidden))
            self.meaning = nn.Conv2d(classified, text_dim, 1)
            width += 2 * hidden
        self.mix = nn.Sequential(
            nn.Conv2d(width, hidden, 1),
            nn.GroupNorm(8, hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.GroupNorm(8, hidden),
            nn.ReLU(),
        )
        self.around = nn.Sequential(*(Around(hidden, 2**index) for index in range(around)))
        self.words = nn.Conv2d(width + hidden, text_dim, 1)
        self.objectness = nn.Conv2d(hidden, 1, 1)
        self.reach = nn.Conv2d(hidden, 4, 1)
        self.temperature = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.bias = nn.Parameter(torch.tensor(-8.0))  # as good as no class is there; focal losses start from rarity
        nn.init.constant_(self.objectness.bias, -4.0)  # type: ignore[arg-type]
        nn.init.constant_(self.reach.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, features: ImageFeatures) -> WordCells:
        """Read F frames."""
        height, width = features.levels[2].shape[-2:]

        def enlarged(x: Tensor) -> Tensor:
            return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)

        maps = [enlarged(level) for level in features.levels[:2]]
        meaning: Tensor | None = None
        if self.trunk is not None:
            if features.early is None:
                raise ValueError("the trunk needs ImageFeatures.early, the map of the backbone at stride 8")
            at16, at32, classified = self.trunk(features.early)
            maps += [enlarged(self.from16(at16)), enlarged(self.from32(at32))]
            meaning = enlarged(self.meaning(classified))
        together = torch.cat([*maps, features.levels[2]], 1)
        mixed = self.mix(together)
        seen = self.around(mixed)
        reach = WORD_STRIDE * self.reach(seen).clamp(max=LARGEST).exp()
        words = self.words(torch.cat([together, mixed], 1))
        return WordCells(words if meaning is None else words + meaning, self.objectness(seen)[:, 0], reach)

    def score_cells(self, cells: WordCells, texts: Tensor) -> Tensor:
        """Logits F K h w of K D texts (of any length) on every cell."""
        unit = F.normalize(cells.words, dim=1).flatten(2)
        return self._scaled(F.normalize(texts, dim=-1) @ unit).unflatten(2, cells.words.shape[-2:])

    def score_masks(self, cells: WordCells, masks: Tensor, texts: Tensor) -> Tensor:
        """Logits F Q K of texts on masks F Q h w (0..1), each the mean of its cells; an empty mask fits none."""
        weights = masks.flatten(2)
        mean = weights @ cells.words.flatten(2).transpose(1, 2) / weights.sum(2, keepdim=True).clamp_min(1e-6)
        return self._scaled(F.normalize(mean, dim=-1) @ F.normalize(texts, dim=-1).T)

    def _scaled(self, cosine: Tensor) -> Tensor:
        return cosine * self.temperature.exp() + self.bias


def rough_maps(scores: Tensor) -> Tensor:
    """Scores F K h w of texts as rough prompts (`prompt_maps`): F K 2 H/4 W/4, where the text fits and where not."""
    factor = WORD_STRIDE // MASK_STRIDE
    fine = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False).sigmoid()
    return torch.stack([fine, 1 - fine], dim=2)


@torch.no_grad()
def propose_boxes(cells: WordCells, most: int, overlap: float = 0.6) -> tuple[Tensor, Tensor]:
    """The objects of one frame (F = 1).

    Args:
        most: at most so many.
        overlap: IoU from which a box is the same as a better one.
    Returns:
        boxes N 4 (xyxy in pixels of the padded input, within it) and objectness N in 0..1, best first; at least one.
    """
    height, width = cells.objectness.shape[-2:]
    scores = cells.objectness[0].flatten().sigmoid()
    best = scores.topk(min(CANDIDATES, len(scores))).indices
    boxes = cells.boxes()[0].flatten(1).T[best]
    limits = boxes.new_tensor([width, height, width, height]) * WORD_STRIDE
    boxes = boxes.clamp_min(0).minimum(limits)
    stay = best_boxes(boxes.float().cpu().numpy(), scores[best].float().cpu().numpy(), overlap)
    kept = torch.from_numpy(stay[:most]).to(best.device)
    kept = kept[scores[best][kept] >= LEAST] if scores[best[0]] >= LEAST else kept[:1]
    return boxes[kept], scores[best][kept]
