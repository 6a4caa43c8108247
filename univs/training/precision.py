"""In which number format a run computes, and why."""

from __future__ import annotations

from pathlib import Path

import torch

from univs.models.dense_memory import DenseMemory, MemoryKey
from univs.models.features import ImageFeatures

CPU_INFO = Path("/proc/cpuinfo")


def choose_precision(name: str, device: torch.device) -> tuple[str, str]:
    """float32 or bfloat16 for a setting (auto, float32 or bfloat16), and the reason in words.

    auto is the faster one: bfloat16 where the hardware multiplies it, which elsewhere is slower than float32. What
    needs more digits (losses, distances of keys, weights, moments) is in float32 all the same.
    """
    if name != "auto":
        return name, "as stage.precision says"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "this GPU multiplies it"
        return "float32", "this GPU does not multiply bfloat16"
    if device.type == "cpu" and _has_amx():
        return "bfloat16", "this processor multiplies it (amx_bf16)"
    return "float32", "this processor does not multiply bfloat16 (no amx_bf16)"


def exact_key(dense: DenseMemory, features: ImageFeatures) -> MemoryKey:
    """The memory key of F frames, in float32 in every run: distances of keys are differences of large squares."""
    with torch.autocast(features.mask_features.device.type, enabled=False):
        return dense.memory_key(features.float())


def _has_amx() -> bool:
    """Whether Linux says that the processor has units for matrices of bfloat16."""
    try:
        return "amx_bf16" in CPU_INFO.read_text().split()
    except OSError:
        return False
