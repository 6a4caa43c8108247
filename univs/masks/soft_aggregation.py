"""Objects that were asked for one by one compete for each pixel: from probabilities, as space-time memories do it.

`frame_labels.soft_aggregate` is the same for logits of any size; here probabilities are first held away from 0 and 1 by
`EPSILON`, and there are the two flavours of MiVOS. Shapes: N objects, H W pixels; axes before N are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from univs.masks.frame_labels import EPSILON

HARD = 1000.0
"""What log-odds are multiplied with where the likeliest shall win altogether (MiVOS, masks of one interaction)."""


def log_odds(probabilities: Tensor, background: float | None = None) -> Tensor:
    """Log-odds of background and objects (STM, section 3.3).

    Args:
        probabilities: ... N H W, of each object by itself.
        background: its probability everywhere; None: that of no object being there, prod(1 - p_n).
    Returns:
        ... N+1 H W, background first.
    """
    if background is None:
        nobody = (1 - probabilities).prod(-3, keepdim=True)
    else:
        nobody = torch.full_like(probabilities[..., :1, :, :], background)
    held = torch.cat([nobody, probabilities], -3).clamp(EPSILON, 1 - EPSILON)
    return torch.log(held / (1 - held))


def joint_probabilities(probabilities: Tensor, background: float | None = None, *, hard: bool = False) -> Tensor:
    """Probabilities of background and objects that add up to 1.

    Args:
        probabilities, background: as for `log_odds`.
        hard: the likeliest gets all but nothing's share.
    Returns:
        ... N+1 H W, background first.
    """
    odds = log_odds(probabilities, background)
    return (HARD * odds if hard else odds).softmax(-3)
