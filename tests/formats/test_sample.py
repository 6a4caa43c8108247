"""The type that every data set yields."""

from __future__ import annotations

import numpy as np
import pytest

from univs.formats.sample import VideoSample


def test_video_sample_checks_its_arrays() -> None:
    with pytest.raises(ValueError, match="labels must be"):
        VideoSample(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 5), np.uint8))
    sample = VideoSample(np.zeros((1, 1, 4, 3), np.uint8), np.array([[[0, 7, 2, 255]]], np.uint8))
    assert sample.object_ids(0) == [2, 7]
