"""Figures of segmented videos, one file per family of measures; `runner` runs a model over a data set.

The measures need numpy and SciPy only; torch is imported by `runner` alone.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(overrides: Sequence[str]) -> None:
    """`univs evaluate` with overrides of configs/evaluate.yaml. Raises UserError for whatever is wrong with them."""
    from univs.evaluation.runner import main as run

    run(overrides)
