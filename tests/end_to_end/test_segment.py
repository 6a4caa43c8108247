from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from univs.cli import main
from univs.masks.mask_files import write_labels
from univs.masks.overlaps import draw
from univs.results import VideoResult
from univs.video import VideoWriter, open_video

from .conftest import FRAMES, HEIGHT, WIDTH, moving_square


def masks_in(folder: Path) -> list[np.ndarray]:
    """The label maps of a run, in order; every one of them can be read."""
    paths = sorted((folder / "masks").glob("*.png"))
    assert [path.name for path in paths] == [f"{index:05d}.png" for index in range(len(paths))]
    return [np.asarray(Image.open(path)) for path in paths]


def results_in(folder: Path) -> VideoResult:
    return VideoResult.from_json(json.loads((folder / "results.json").read_text()))


def test_everything_is_written_as_promised(
    tmp_path: Path, weights: str, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = np.where(moving_square(2), 3, 0)
    given[0] = 255  # ignored
    write_labels(tmp_path / "given.png", given.astype(np.uint8))
    out = tmp_path / "out"
    prompts = ["--mask", f"{tmp_path / 'given.png'}@2", "--box", "7@3:40,10,60,30"]
    assert main(["segment", str(video), *prompts, "--weights", weights, "--out", str(out), "--json"]) == 0

    names = {path.name for path in out.iterdir()}
    assert names == {"masks", "results.json", "overlay.mp4", "contact_sheet.png"}
    masks = masks_in(out)
    assert len(masks) == FRAMES and all(mask.shape == (HEIGHT, WIDTH) for mask in masks)
    assert not masks[0].any() and not masks[1].any()
    assert np.array_equal(masks[2], np.where(moving_square(2), 3, 0))  # a given mask is the answer of its frame
    video_result = results_in(out)
    assert (video_result.height, video_result.width, video_result.num_frames) == (HEIGHT, WIDTH, FRAMES)
    assert [track.object_id for track in video_result.tracks] == [3, 7]
    for track in video_result.tracks:
        for mask, rle in zip(masks, track.segmentations, strict=True):
            assert np.array_equal(mask == track.object_id, np.zeros_like(mask) if rle is None else draw(rle))
    overlay = open_video(out / "overlay.mp4")
    assert (overlay.num_frames, overlay.fps, overlay.size) == (FRAMES, 12, (HEIGHT, WIDTH))
    assert Image.open(out / "contact_sheet.png").size[0] == 1280
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == FRAMES and summary["out"] == str(out)
    assert [entry["object_id"] for entry in summary["objects"]] == [3, 7]


def test_folder_of_odd_frames_at_another_size_without_overlay(tmp_path: Path, weights: str) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(12):
        Image.fromarray(np.full((33, 51, 3), 20 * index, np.uint8)).save(tmp_path / "frames" / f"{index}.png")
    (tmp_path / "s.json").write_text(
        json.dumps({"scribbles": [[], [{"path": [[0.2, 0.2], [0.6, 0.7]], "object_id": 2}]]})
    )
    out = tmp_path / "out"
    arguments = ["--scribble", str(tmp_path / "s.json"), "--point", "1@0:50,32", "--point", "1@0:3,3:-", "--size", "64"]
    main(["segment", str(tmp_path / "frames"), *arguments, "--no-overlay", "--weights", weights, "--out", str(out)])
    assert {mask.shape for mask in masks_in(out)} == {(33, 51)} and len(masks_in(out)) == 12
    assert not (out / "overlay.mp4").exists()
    assert [track.object_id for track in results_in(out).tracks] == [1, 2]
    # A shorter run into the same folder leaves no masks of the longer one.
    main(
        ["segment", str(tmp_path / "frames" / "1*.png"), "--point", "1@0:9,9", "--weights", weights, "--out", str(out)]
    )
    assert len(masks_in(out)) == 3 == results_in(out).num_frames


def test_truncated_video_keeps_what_was_done(
    tmp_path: Path, weights: str, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 9 // 10])
    out = tmp_path / "out"
    arguments = ["--box", "1@0:10,20,34,44", "--weights", weights, "--out", str(out)]
    assert main(["segment", str(tmp_path / "cut.mp4"), *arguments]) == 2
    last_line = capsys.readouterr().err.splitlines()[-1]
    done = len(masks_in(out))
    assert 0 < done < FRAMES
    assert last_line.startswith("univs: error: ") and f"it ends at frame {done}" in last_line
    assert results_in(out).num_frames == done == open_video(out / "overlay.mp4").num_frames


def test_a_prompt_past_the_frames_that_a_header_announces(
    tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fragments.mp4"  # whose header counts the first fragment alone
    with av.open(str(path), "w", options={"movflags": "frag_keyframe"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", 3
        for index in range(8):
            frame = np.repeat(moving_square(index)[..., None].astype(np.uint8) * 200, 3, 2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    assert open_video(path).num_frames == 3
    said = ["segment", str(path), "--weights", weights, "--out", str(tmp_path / "out"), "--no-overlay", "--box"]
    assert main([*said, "1@5:30,20,54,44"]) == 0
    masks = masks_in(tmp_path / "out")
    assert len(masks) == 8 and not masks[4].any() and masks[5].any()
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert main([*said, "1@8:30,20,54,44"]) == 2
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line == "univs: error: there is a prompt on frame 8, but the video has 8 frames (0 to 7)"


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Far more frames than are done before the signal comes."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    with VideoWriter(path, fps=25, preset="ultrafast") as writer:
        for _ in range(3000):
            writer.write(noise)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signals_leave_finished_frames_whole(tmp_path: Path, weights: str, long_video: Path, number: int) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "univs", "segment", str(long_video), "--box", "1@0:10,10,40,40"]
    process = subprocess.Popen(
        [*command, "--weights", weights, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells let background jobs ignore it
    )
    try:
        deadline = time.monotonic() + 120
        while not (out / "masks" / "00003.png").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    done = len(masks_in(out))
    assert 4 <= done < 3000
    if number == signal.SIGINT:
        assert process.returncode == 130 and "Traceback" not in errors
        assert results_in(out).num_frames == done
        assert done - 1 <= len(list(open_video(out / "overlay.mp4"))) <= done
    else:
        visible = {path.name for path in out.iterdir() if not path.name.startswith(".")}
        assert visible == {"masks"}
