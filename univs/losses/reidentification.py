"""Re-identification: embeddings of one object resemble each other, those of different objects do not (UniVS, 3.4).

Embeddings of two groups (queries of all frames and clips of a batch) are rows and columns; `positive` says which pairs
are the same object. Only rows with a positive column count. Shapes: R rows, M columns, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.models.draws import Draws

COLUMNS = 20
"""A row is compared with at most so many columns, drawn anew for each loss."""

FAMILIAR = 0.75
"""Share of the columns that are drawn from those of objects that the rows show too."""

CLIP_COLUMNS, REFERENCES = 30, 3
"""Between clips: columns of all kinds, and references of an object."""

FARTHEST = 10.0
"""A similarity beyond a reference by more than this counts as by this much: exp stays finite."""


def reidentification_losses(rows: Tensor, columns: Tensor, positive: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """`contrastive_loss` and `likeness_loss` of R C rows and M C columns with R M bool positives; 0 without any."""
    counted = positive.any(1)
    rows, positive = rows[counted], positive[counted]
    if not len(rows):
        return rows.sum(), rows.sum()
    similarity = rows @ columns.mT / rows.shape[1] ** 0.5
    first = positive.to(torch.uint8).argmax(1, keepdim=True)
    mean = (similarity * positive).sum(1, keepdim=True) / positive.sum(1, keepdim=True)
    references = torch.cat([similarity.gather(1, first), mean], 1)
    chosen = draw_columns(positive, draws)
    contrast = contrastive_loss(similarity[:, chosen], positive[:, chosen], references)
    chosen = draw_columns(positive, draws)
    cosine = F.normalize(rows, dim=1) @ F.normalize(columns[chosen], dim=1).mT
    return contrast, likeness_loss(cosine, positive[:, chosen])


def between_clips_losses(embeddings: Tensor, ids: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """`contrastive_loss` and `likeness_loss` of one embedding of each object and those of all clips; 0 without any.

    Args:
        embeddings: R C, of objects on frames of several clips of one video.
        ids: R, who they are.
        draws: their order (the first one of an object stands for it), then for each object `REFERENCES` positives to
            hold the others against, then columns, for each loss anew.
    """
    if not len(ids):
        return embeddings.sum(), embeddings.sum()
    order = draws.permutation(len(ids)).to(ids.device)
    embeddings, ids = embeddings[order], ids[order]
    positive = ids.unique()[:, None] == ids
    rows = embeddings[positive.to(torch.uint8).argmax(1)]
    similarity = rows @ embeddings.mT / rows.shape[1] ** 0.5
    references = torch.stack([_drawn(values[same], draws) for values, same in zip(similarity, positive, strict=True)])
    chosen = draws.permutation(len(ids))[:CLIP_COLUMNS].to(ids.device)
    contrast = contrastive_loss(similarity[:, chosen], positive[:, chosen], references)
    chosen = draws.permutation(len(ids))[:CLIP_COLUMNS].to(ids.device)
    cosine = F.normalize(rows, dim=1) @ F.normalize(embeddings[chosen], dim=1).mT
    return contrast, likeness_loss(cosine, positive[:, chosen])


def _drawn(values: Tensor, draws: Draws) -> Tensor:
    """`REFERENCES` of the values, some perhaps several times."""
    return values[draws.integers(len(values), REFERENCES).to(values.device)]


def draw_columns(positive: Tensor, draws: Draws) -> Tensor:
    """Columns to compare the rows of R M bool with: some that are positive for a row, then some that are for none."""
    count = min(COLUMNS, 3 * len(positive))
    familiar = positive.any(0)
    chosen = []
    for of_kind, share in ((familiar, FAMILIAR), (~familiar, 1 - FAMILIAR)):
        columns = of_kind.nonzero()[:, 0]
        order = draws.permutation(len(columns))[: int(share * count)]
        chosen.append(columns[order.to(columns.device)])
    return torch.cat(chosen)


def contrastive_loss(similarity: Tensor, positive: Tensor, references: Tensor) -> Tensor:
    """``log(1 + sum exp(s - r))`` over the negative columns and the references of a row, mean over the rows.

    Args:
        similarity: R M; positive: R M bool, columns that are left out.
        references: R K, similarities with positives that the negative ones are held against.
    """
    beyond = (similarity[:, :, None] - references[:, None]).clamp_max(FARTHEST)
    apart = torch.where(positive[:, :, None], 0, beyond.exp()).flatten(1).sum(1)
    return apart.log1p().mean()


def likeness_loss(cosine: Tensor, positive: Tensor) -> Tensor:
    """Smooth L1 between cosines (at least 0) and 1 for positive pairs, 0 for others: R M, summed over a row's columns,
    mean over the rows."""
    wanted = positive.to(cosine.dtype)
    return F.smooth_l1_loss(cosine.clamp_min(0), wanted, reduction="sum") / len(cosine)
