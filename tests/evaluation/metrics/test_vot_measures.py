"""The measures of VOT, against tables filled frame by frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from univs.evaluation.metrics.vot_measures import (
    Fragment,
    Track,
    accuracy,
    counted_overlaps,
    expected_average_overlap,
    expected_overlaps,
    failure_rate,
    fragments,
    typical_lengths,
)

NAN = float("nan")


def drawn_track(seed: int, length: int = 60) -> tuple[Track, list[str]]:
    """A run as the protocol makes it, and its codes: begun "1", failed "2", passed over "0", else ""."""
    draws = np.random.default_rng(seed)
    codes, overlaps, rest = [], np.full(length, np.nan), 0
    running = False
    for index in range(length):
        if not running and rest == 0:
            codes.append("1")
            running = True
        elif not running:
            codes.append("0")
            rest -= 1
        elif draws.random() < 0.06:
            codes.append("2")
            running, rest = False, 4
        else:
            codes.append("")
            overlaps[index] = draws.uniform(0.05, 1)
    begun, failed = (tuple(i for i, code in enumerate(codes) if code == kind) for kind in "12")
    return Track(overlaps, begun, failed), codes


TRACKS = [drawn_track(seed, length) for seed, length in ((1, 60), (2, 45), (3, 80), (4, 12))]


def table(tracks: list[tuple[Track, list[str]]], longest: int) -> list[list[float | None]]:
    """One row per beginning, one cell per frame from there on: None behind the end of a run that went well."""
    rows = []
    for track, codes in tracks:
        for start in (i for i, code in enumerate(codes) if code == "1"):
            row: list[float | None] = []
            for index in range(start + 1, len(codes)):
                if codes[index] == "2":
                    row += [0.0] * (longest - len(row))
                    break
                row.append(float(track.overlaps[index]))
            rows.append((row + [None] * longest)[:longest])
    return rows


def test_the_expected_overlap_is_that_of_the_table() -> None:
    longest = 50
    rows = table(TRACKS, longest)
    parts = [part for track, _ in TRACKS for part in fragments(track)]
    assert len(parts) == len(rows) and any(part.failed for part in parts) and not all(part.failed for part in parts)
    curve = expected_overlaps(parts, longest)
    for length in range(2, longest + 1):
        means = [sum(row[: length - 1]) / (length - 1) for row in rows if None not in row[: length - 1]]  # type: ignore[arg-type]
        assert curve[length] == pytest.approx(sum(means) / len(means))
    assert math.isnan(curve[0]) and math.isnan(curve[1])
    tracks = [track for track, _ in TRACKS]
    assert expected_average_overlap(tracks, (10, 30)) == pytest.approx(float(np.mean(curve[10:31])))


def test_accuracy_leaves_out_the_frames_behind_a_beginning() -> None:
    sums, count = 0.0, 0
    for track, codes in TRACKS:
        since = 0
        for index, code in enumerate(codes):
            since = 0 if code == "1" else since + 1
            if code == "" and since >= 10:
                sums, count = sums + float(track.overlaps[index]), count + 1
    assert accuracy([track for track, _ in TRACKS]) == pytest.approx(sums / count) and count > 20
    short = Track(np.array([NAN, 0.5, 0.5]), (0,), ())
    assert len(counted_overlaps(short)) == 0 and math.isnan(accuracy([short])) and math.isnan(accuracy([]))


def test_failures_in_a_hundred_frames() -> None:
    failures = sum(code == "2" for _, codes in TRACKS for code in codes)
    frames = sum(len(codes) for _, codes in TRACKS)
    assert failure_rate([track for track, _ in TRACKS]) == pytest.approx(100 * failures / frames)


def test_fragments_by_hand() -> None:
    overlaps = np.array([NAN, 0.8, 0.6, NAN, NAN, NAN, NAN, NAN, NAN, 0.4, NAN, 0.2])
    parts = fragments(Track(overlaps, (0, 8), (3,)))
    assert [part.overlaps.tolist() for part in parts] == [[0.8, 0.6, 0.0], [0.4, 0.2]], "what is not known is left out"
    assert [part.failed for part in parts] == [True, False] and [len(part) for part in parts] == [4, 3]
    curve = expected_overlaps(parts, 5)
    assert curve[2:].tolist() == pytest.approx([0.6, (0.7 + 0.3) / 2, 1.4 / 3, 1.4 / 4])
    assert math.isnan(expected_overlaps([Fragment(np.array([0.5]), False)], 4)[3])
    assert math.isnan(expected_average_overlap([Track(overlaps[:3], (0,), ())], (8, 9)))


def test_a_tracker_that_is_always_right() -> None:
    perfect = Track(np.concatenate([[NAN], np.ones(39)]), (0,), ())
    assert accuracy([perfect]) == expected_average_overlap([perfect], (20, 40)) == 1 and failure_rate([perfect]) == 0


def test_typical_lengths_hold_half_of_what_is_likely() -> None:
    lengths = [int(n) for n in np.random.default_rng(0).normal(200, 40, 400)]
    low, high = typical_lengths(lengths)
    assert np.mean([(low <= n <= high) for n in lengths]) == pytest.approx(0.5, abs=0.05)
    assert (low + high) / 2 == pytest.approx(200, abs=12)
    assert typical_lengths([70]) == typical_lengths([70, 70]) == (70, 70)
    low, high = typical_lengths([10, 12, 300])
    assert 2 <= low <= high


@pytest.mark.parametrize("lengths", [[2, 2, 3, 9], [2, 3, 4, 5, 30], [5, 40, 41], [2, 2, 2, 2, 3]])
def test_typical_lengths_near_the_shortest_written_out(lengths: list[int]) -> None:
    """Bells of Scott's width over the lengths of 2 frames and more, from their top to half of what lies there."""
    width = len(lengths) ** -0.2 * float(np.std(lengths, ddof=1))
    likely = {n: sum(math.exp(-(((n - own) / width) ** 2) / 2) for own in lengths) for n in range(2, 2 * max(lengths))}
    inside = [max(likely, key=lambda n: likely[n])]
    while sum(likely[n] for n in inside) < 0.5 * sum(likely.values()):
        beside = [n for n in (min(inside) - 1, max(inside) + 1) if n in likely]
        inside.append(max(beside, key=lambda n: likely[n]))
    assert typical_lengths(lengths) == (min(inside), max(inside))
