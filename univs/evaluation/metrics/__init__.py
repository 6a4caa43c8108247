"""Figures of segmented videos from files and arrays, one file per family of measures; numpy and SciPy, never torch."""
