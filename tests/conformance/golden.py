"""Golden files of the official networks: where they lie, what is in them, the rule by which weights are drawn.

Storage and rule are those of `mivos/README.md`.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

ROOT = Path(os.environ.get("UNIVS_CONFORMANCE", Path(__file__).resolve().parents[3] / "shared" / "conformance"))
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def run_for_files(metafunc: pytest.Metafunc, folder: str, marker: str = "files") -> None:
    """A test with a marker `files("video*")` or `files("stm/video*")` runs for every file of that name, as `golden`.

    folder: that is meant where the name says none.
    """
    marked = metafunc.definition.get_closest_marker(marker)
    if marked is not None:
        other, _, name = marked.args[0].rpartition("/")
        paths = sorted((ROOT / (other or folder)).glob(f"{name}.npz"))
        metafunc.parametrize(
            "golden", paths or [absent(marked.args[0], folder)], ids=lambda p: p.stem if p else "absent", indirect=True
        )


def absent(pattern: str, folder: str) -> Any:
    """What stands for cases that are not there: a skip that says so."""
    reason = f"no golden case {pattern} under {ROOT / folder} (set UNIVS_CONFORMANCE)"
    return pytest.param(None, marks=pytest.mark.skip(reason=reason))


def read_golden_json(*names: str) -> Any:
    """What a JSON file of a folder says; the test is skipped where it is not there."""
    path = ROOT.joinpath(*names)
    if not path.is_file():
        pytest.skip(f"no {path} (set UNIVS_CONFORMANCE)")
    return json.loads(path.read_text())


class Golden:
    """The arrays of one golden file, whole, thinned or as bits."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.arrays = np.load(path)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays.files)

    def tensor(self, name: str) -> Tensor:
        """An array that is stored whole."""
        return torch.from_numpy(np.asarray(self.arrays[name]))

    def images(self) -> Tensor:
        """`frames_u8` as the networks take it, T 3 H W."""
        frames = self.tensor("frames_u8").float() / 255
        return ((frames - MEAN) / STD).permute(0, 3, 1, 2)

    def labels(self, name: str) -> np.ndarray:
        """A label map that is stored as a bit per object."""
        shape = tuple(self.arrays[f"{name}__shape"])
        labels = np.zeros(shape, np.uint8)
        number = 1
        while f"{name}__bits{number}" in self.arrays:
            bits = np.unpackbits(self.arrays[f"{name}__bits{number}"])[: math.prod(shape)]
            labels[bits.reshape(shape) == 1] = number
            number += 1
        return labels

    def error(self, name: str, ours: Tensor | np.ndarray) -> float:
        """The largest difference from an array, whole or thinned, of which the shape must be the same."""
        ours = torch.as_tensor(ours).detach().double()
        if name in self.arrays:
            theirs = torch.from_numpy(np.asarray(self.arrays[name])).double()
            assert ours.shape == theirs.shape, (name, tuple(ours.shape), tuple(theirs.shape))
            return float((ours - theirs).abs().max())
        assert list(ours.shape) == self.arrays[f"{name}__shape"].tolist(), (name, tuple(ours.shape))
        flat = ours.reshape(-1)[:: int(self.arrays[f"{name}__stride"])]
        sample = torch.from_numpy(self.arrays[f"{name}__sub"]).double()
        return float((flat[: len(sample)] - sample).abs().max())

    def check(self, name: str, ours: Tensor | np.ndarray, tolerance: float) -> None:
        """Assert that nothing differs by more than `tolerance`."""
        error = self.error(name, ours)
        print(f"{self.name} {name}: max {error:.1e}")
        assert error <= tolerance, f"{self.name} {name}: {error:.2e} off, more than {tolerance}"

    def check_features(self, name: str, ours: Tensor, tolerance: float = 1e-3) -> None:
        """Assert that nothing differs by more than `tolerance` of the largest entry."""
        largest = float(np.abs(self.arrays[name]).max()) if name in self.arrays else self.arrays[f"{name}__stats"][3]
        self.check(name, ours, tolerance * float(largest))


def golden_weight(name: str, shape: list[int]) -> Tensor:
    """The weight rule of the README for one tensor, without the exceptions."""
    last = name.rpartition(".")[2]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.long)
    if last in ("mean", "std"):
        return {"mean": MEAN, "std": STD}[last].reshape(shape)
    v = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape).astype(np.float32)
    if last == "running_mean":
        v = np.float32(0.1) * v
    elif last == "bias":
        v = np.float32(0.02) * v
    elif last == "running_var" or v.ndim == 1:
        v = 1 + np.float32(0.1) * np.abs(v)
    else:
        v = v * np.float32(math.sqrt(1 / math.prod(shape[1:])))
    return torch.from_numpy(v)
