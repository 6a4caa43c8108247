"""Thin-plate warps: of all maps that take a few points where they are pulled the one that bends least (Bookstein 1989).

Points are in a thing's own coordinates: its middle is 0, its longer side goes from -0.5 to 0.5; x to the right, y down.
"""

from __future__ import annotations

import numpy as np

_LINE = np.array([-0.5, 0.0, 0.5])
CONTROLS = np.stack(np.meshgrid(_LINE, _LINE), -1).reshape(-1, 2)
"""9 2: the points that are pulled."""

_STEP = 0.125
_AXIS = np.arange(-1.25, 1.25 + _STEP, _STEP)
_LATTICE = np.stack(np.meshgrid(_AXIS, _AXIS), -1).reshape(-1, 2)


def warp(u: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """Displacement (... 2) of points u (... 2) where the control points are displaced by `pulls` (9 2)."""
    return _basis(u) @ (_SOLUTION @ pulls)


def reach(pulls: np.ndarray, half: tuple[float, float]) -> tuple[float, float]:
    """How far from the middle (in x, in y) points lie at most that the warp takes into the box from -half to half."""
    displaced = _LATTICE_BASIS @ (_SOLUTION @ pulls)
    inside = (np.abs(_LATTICE + displaced) <= np.array(half) + _STEP).all(1)
    x, y = np.abs(displaced[inside]).max(0, initial=0.0)
    return half[0] + float(x), half[1] + float(y)


def _basis(u: np.ndarray) -> np.ndarray:
    """Values (... 12) at points u (... 2): r^2 log r^2 of the distance to each control point, then 1, x, y."""
    square = ((u[..., None, :] - CONTROLS) ** 2).sum(-1)
    bent = square * np.log(np.maximum(square, 1e-12))
    return np.concatenate([bent, np.ones_like(u[..., :1]), u], -1)


def _solution() -> np.ndarray:
    """12 9: from pulls to the weights of the basis; those of the control points turn and stretch nothing as a whole."""
    plate = _basis(CONTROLS)
    system = np.zeros((12, 12))
    system[:9], system[9:, :9] = plate, plate[:, 9:].T
    return np.linalg.inv(system)[:, :9]


_SOLUTION = _solution()
_LATTICE_BASIS = _basis(_LATTICE)
