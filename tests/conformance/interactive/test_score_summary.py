"""The summary of a session of the DAVIS interactive protocol (AUC, J&F at 60 s) against the golden figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.conformance.golden import ROOT, absent
from univs.evaluation.run.interactive_rounds import PlayedVideo, Rules
from univs.evaluation.run.interactive_sets import summarize

pytestmark = pytest.mark.conformance
FILES = sorted((ROOT / "mivos").glob("davis_score_summary*.json"))


@pytest.mark.parametrize("number", range(len(FILES)) or [absent("davis_score_summary*.json", "mivos")])
def test_the_summary_of_a_report(number: int) -> None:
    report = json.loads(FILES[number].read_text())
    rows, sequences, rounds = report["rows"], report["sequences"], report["max_interactions"]
    played, objects = {}, {}
    for name, told in sequences.items():
        for scribble in range(1, told["num_scribbles"] + 1):
            of_sample = [row for row in rows if (row["sequence"], row["scribble_idx"]) == (name, scribble)]
            count = max((row["interaction"] for row in of_sample), default=0)
            figures, seconds = np.zeros((2, count, told["num_frames"], told["num_objects"])), [0.0] * count
            for row in of_sample:
                at = row["interaction"] - 1, row["frame"], row["object_id"] - 1
                figures[(0, *at)], figures[(1, *at)] = row["jaccard"], row["contour"]
                seconds[at[0]] = row["timing"]
            played[name, scribble] = PlayedVideo(figures, tuple(range(count)), tuple(seconds))
            objects[name, scribble] = told["num_objects"]
    found = summarize(played, objects, Rules(interactions=rounds, seconds=report["max_time_per_object_s"] / rounds))
    official = report["summary"]
    assert found["curve"]["J&F"] == pytest.approx(official["curve"]["J_AND_F"], abs=1e-6)
    assert found["curve"]["time"] == pytest.approx(official["curve"]["time"], abs=1e-6)
    assert found["J&F AUC"] == pytest.approx(official["auc"], abs=1e-6)
    assert found["J&F@60s"] == pytest.approx(official["metric_at_threshold"]["J_AND_F"], abs=1e-6)
