"""Which device the networks run on, and how many cores there are."""

from __future__ import annotations

import os

from univs.errors import UserError
from univs.settings import Device, check_value


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(name: str) -> str:
    """The torch name of a device; `auto` is the GPU where there is one.

    Raises UserError for a name of none, and for a GPU that is not there.
    """
    check_value("device", name, Device)
    if name != "auto" and not name.startswith("cuda"):
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(name.partition(":")[2] or 0) >= count:
        there = f"sees {count} GPUs" if count else "sees no GPU"
        raise UserError(f"cannot use device {name!r}: PyTorch {there} here; use cpu")
    return name
