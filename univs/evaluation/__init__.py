"""Figures of segmented videos: `metrics` from files (numpy and SciPy, never torch), `run` of a model over a set."""

from __future__ import annotations

from collections.abc import Sequence


def main(overrides: Sequence[str]) -> None:
    """`univs evaluate` with overrides of configs/evaluate.yaml. Raises UserError for whatever is wrong with them."""
    from univs.evaluation.run.command import main as run

    run(overrides)
