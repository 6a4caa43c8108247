"""Settings of a run that is over in two steps."""

from __future__ import annotations

from pathlib import Path


def overrides(photos: Path, out: Path, *more: str) -> list[str]:
    return [
        "data.root=-",
        f"data.sources=[{{kind: photos, root: {photos}}}]",
        "data.probabilities.video=0",
        "init=null",
        f"out={out}",
        "device=cpu",
        "seed=5",
        "stage.size=32",
        "stage.batch_size=2",
        "stage.frames=2",
        "stage.workers=0",
        "stage.minutes=null",
        "stage.steps=2",
        *more,
    ]
