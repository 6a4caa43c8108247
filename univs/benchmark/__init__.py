"""Speed and memory, as tables: `univs benchmark` and `univs benchmark NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

SUBJECTS = {
    "step": "univs.benchmark.step",
    "start": "univs.benchmark.start",
    "training": "univs.benchmark.training",
    "official": "univs.benchmark.official",
    "interactive": "univs.benchmark.interactive",
    "metrics": "univs.benchmark.metrics",
    "models": "univs.benchmark.models",
    "matches": "univs.benchmark.matches",
    "synth": "univs.benchmark.synth",
}
"""What is measured -> the module whose `main` prints it; "step" if nothing is named."""


def main(argv: Sequence[str]) -> int:
    """Run one benchmark. Raises UserError for options that cannot be read."""
    subject, rest = (argv[0], argv[1:]) if argv and argv[0] in SUBJECTS else ("step", argv)
    module: Any = import_module(SUBJECTS[subject])
    return int(module.main(rest))
