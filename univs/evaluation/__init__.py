"""Figures of segmented videos, one file per family of measures; `runner` runs a model over a data set.

The measures need numpy and SciPy only; torch is imported by `runner` alone.
"""
