"""Models on data sets: asked as each benchmark asks, answered in its official layout, scored by its metric."""

from univs.evaluation.run.table import BENCHMARKS, OF_PAPERS

__all__ = ["BENCHMARKS", "OF_PAPERS"]
