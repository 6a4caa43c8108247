"""Which model made an answer."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def fingerprint(model: nn.Module) -> str:
    """A short hash of the numbers and parameters of a model: equal for equal weights, wherever their file lies.

    Of a network that keeps no numbers, its layers as they are printed stand for them.
    """
    numbers = getattr(model, "config", str(model))
    digest = hashlib.sha256(json.dumps(numbers, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
