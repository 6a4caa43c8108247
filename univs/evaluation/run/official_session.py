"""The official tool of the DAVIS interactive challenge as the one who asks: its robot, its clock, its figures.

The package `davisinteractive` (GPL-3.0, installed by whoever wants it) hands out scribbles and takes masks; otherwise
nothing of it is needed. Source: Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation".
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.run.first_scribbles import scribbles_of
from univs.evaluation.run.interactive_rounds import Rules, objects_of, true_labels
from univs.formats import Recording
from univs.interactive.corrections import CorrectedVideo

PACKAGE = "davisinteractive"


class OfficialSession(Protocol):
    """What is used of `davisinteractive.session.DavisInteractiveSession`."""

    def next(self) -> bool:
        """Whether another round is to be played."""

    def get_scribbles(self, only_last: bool = False) -> tuple[str, Mapping[str, Any], bool]:
        """Name of the sequence, what was drawn on it, and whether this is the first round of a sample."""

    def submit_masks(self, pred_masks: NDArray[np.integer]) -> None:
        """T H W ids after the round."""

    def get_global_summary(self) -> Mapping[str, Any]:
        """The figures, when all is played."""


def open_official(root: str, split: str, rules: Rules, folder: Path) -> Any:
    """The session of the official tool, a context manager; its report goes to `folder`.

    Raises UserError without the package, and for rules that it has not.
    """
    if rules.robot != "scribbles" or rules.group != 1:
        raise UserError("session=davisinteractive scribbles once a frame: leave robot=scribbles group=1 as they are")
    if rules.interactions > 16 or rules.seconds * rules.interactions > 600:
        raise UserError(
            "session=davisinteractive allows 16 rounds and 600 seconds an object at most: lower interactions or seconds"
        )
    try:
        module = importlib.import_module(f"{PACKAGE}.session")
    except ImportError as error:
        raise UserError(
            f"session={PACKAGE} needs the package {PACKAGE} (GPL-3.0), which is not installed or does not run here "
            f"({str(error).splitlines()[0]}): pip install {PACKAGE}"
        ) from error
    return module.DavisInteractiveSession(
        host="localhost",
        davis_root=os.fspath(root),
        subset=split,
        max_time=rules.seconds * rules.interactions,
        max_nb_interactions=rules.interactions,
        metric_to_optimize="J_AND_F",
        report_save_dir=os.fspath(folder),
    )


def drive(
    official: OfficialSession,
    recordings: Mapping[str, Recording],
    new: Callable[[Recording, Sequence[int]], CorrectedVideo],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Answer every round that the official tool asks for.

    Args:
        official: as opened.
        recordings: by the names of their sequences.
        new: makes what corrects a sequence with these objects.
        tell: is told of each round.
    Returns:
        the official summary.
    Raises UserError for a sequence that is not there and for scribbles that are none.
    """
    with ExitStack() as last:
        method: CorrectedVideo | None = None
        number = 0
        while official.next():
            name, drawn, first = official.get_scribbles(only_last=True)
            if name not in recordings:
                raise UserError(f"{PACKAGE} asks for the sequence {name}, which the data set has not")
            recording = recordings[name]
            if first or method is None:
                last.close()
                method = new(recording, objects_of(recording))
                last.callback(method.session.close)
                number = 0
            said = scribbles_of(drawn, true_labels(recording, recording.annotated[0]).shape, len(recording))
            if said is not None:  # a robot that sees nothing wrong draws nothing
                method.interact(said.frame, said.said)
            official.submit_masks(np.stack([method.labels(index) for index in range(len(recording))]).astype(np.int64))
            number += 1
            tell(f"{name}: round {number}")
    return dict(official.get_global_summary())
