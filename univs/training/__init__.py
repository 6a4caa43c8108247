"""Training: a plain trainer, the stages as data, weight averaging, checkpoints. `main` is what `univs train` calls."""

from __future__ import annotations

from univs.training.run import main

__all__ = ["main"]
