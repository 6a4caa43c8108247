from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from univs import UserError
from univs.video import VideoWriter, open_video
from univs.video.av_reader import upright
from univs.video.writer import MOST_PIXELS, fitting_size, of_file

FASTSTART = {"movflags": "faststart"}


def card(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A frame whose top left quarter is red and whose grey level tells its index."""
    frame = np.full((height, width, 3), 4 * index, np.uint8)
    frame[: height // 2, : width // 2] = (255, 0, 0)
    return frame


def encode(
    path: Path,
    count: int,
    *,
    options: dict[str, str] | None = None,
    matrix: Sequence[int] | None = None,
    rate: Fraction | int = 25,
    codec: str = "libx264",
) -> None:
    """A video without our own writer."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for index in range(count):
            frame = card(index)
            frame[30:, 40:] = noise.integers(0, 255, (18, 24, 3))  # so that packets have some size
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))


def red_corner(frame: np.ndarray) -> tuple[str, str]:
    height, width = frame.shape[:2]
    corners = {
        (vertical, horizontal): frame[y, x].astype(int)
        for vertical, y in (("top", height // 8), ("bottom", height - height // 8))
        for horizontal, x in (("left", width // 8), ("right", width - width // 8))
    }
    return max(corners, key=lambda corner: corners[corner][0] - corners[corner][1] - corners[corner][2])


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63), (1, 3), (480, 854)])
def test_written_video_comes_back(tmp_path: Path, height: int, width: int) -> None:
    frames = [card(index, height, width) for index in range(7)]
    with VideoWriter(tmp_path / "a.mp4", fps=24) as writer:
        for frame in frames:
            writer.write(frame)
    reader = open_video(tmp_path / "a.mp4")
    assert reader.size == (height + height % 2, width + width % 2)
    assert reader.fps == 24 and reader.num_frames == 7
    back = list(reader)
    assert len(back) == 7
    for frame, read in zip(frames, back, strict=True):
        inner = np.abs(frame.astype(int) - read[:height, :width])[height // 2 + 2 :, : width - 2]
        assert inner.size == 0 or inner.mean() < 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_edges_are_repeated(tmp_path: Path) -> None:
    frame = np.zeros((31, 33, 3), np.uint8)
    frame[:, -1] = frame[-1] = 200
    with VideoWriter(tmp_path / "a.mp4", fps=25, crf=0) as writer:
        writer.write(frame)
    read = next(iter(open_video(tmp_path / "a.mp4"))).astype(int)
    assert read.shape == (32, 34, 3)
    assert np.abs(read[:, -1] - 200).max() < 4 and np.abs(read[-1] - 200).max() < 4


def test_without_x264_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("univs.video.writer.ENCODER", "libx999")
    with pytest.raises(UserError, match="no libx999.*pip install"), VideoWriter(tmp_path / "a.mp4", fps=25) as writer:
        writer.write(card(0))
    assert not list(tmp_path.iterdir())


def test_errors_of_the_system_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a.mp4"
    with pytest.raises(FileNotFoundError) as caught, VideoWriter(path, fps=25) as writer:
        writer.write(card(0))
    assert caught.value.filename == str(path)
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0)
    for count in (1, 200):  # what does not fit is noticed as the video ends, and before
        path = tmp_path / f"{count}.mp4"
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large") as caught, VideoWriter(path, fps=25, crf=0) as writer:
                for _ in range(count):
                    writer.write(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert caught.value.filename == str(path) and list(tmp_path.iterdir()) == []


def test_errors_of_ffmpeg_alone_are_of_the_file_too() -> None:
    with pytest.raises(OSError, match="Protocol not found") as caught, of_file(Path("a.mp4")):
        av.open("nowhere:a.mp4")
    assert caught.value.filename == "a.mp4"


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out-2024-01-01T12:30:00").mkdir()
    for name in ("12:30.mp4", "out-2024-01-01T12:30:00/overlay.mp4", "file:a.mp4"):
        with VideoWriter(name, fps=25) as writer:
            writer.write(card(1))
        assert len(list(open_video(name))) == 1 and list(Path(name).parent.glob("*.mp4")) == [Path(name)]
        Path(name).unlink()


def test_nothing_appears_before_the_video_is_whole_or_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(RuntimeError), VideoWriter(path, fps=25) as writer:
        writer.write(card(0))
        assert not path.exists()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with VideoWriter(path, fps=25):
        pass
    assert not path.exists()  # no frame, no file


@pytest.mark.parametrize(
    ("size", "written"),
    [((20, 16384), (20, 16384)), ((20, 32768), (10, 16384)), ((65536, 3), (16384, 2)), ((12000, 8000), None)],
)
def test_frames_beyond_h264_are_scaled_down(size: tuple[int, int], written: tuple[int, int] | None) -> None:
    fitted = fitting_size(*size)
    if written is None:
        assert fitted[0] / fitted[1] == pytest.approx(1.5, abs=1e-3)
        assert 0.999 < fitted[0] * fitted[1] / MOST_PIXELS <= 1
    else:
        assert fitted == (written[0], max(1, size[1] * written[0] // size[0])) or fitted == written


def test_a_frame_wider_than_h264_goes_is_written(tmp_path: Path) -> None:
    wide = np.zeros((4, 20000, 3), np.uint8)
    wide[:, 10000:] = 255
    with VideoWriter(tmp_path / "wide.mp4", 25) as writer:
        writer.write(wide)
    frame = next(iter(open_video(tmp_path / "wide.mp4")))
    assert frame.shape[1] == 16384 and frame[0, 4000, 0] < 20 and frame[0, 12000, 0] > 235


def test_writer_refuses_another_size(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="a frame of 62x48 in a video of 64x48"),
        VideoWriter(tmp_path / "a.mp4", 25) as w,
    ):
        w.write(card(0))
        w.write(card(0, 48, 62))


# The matrices that phones write (ISO 14496-12, 16.16 fixed point, last column 2.30) for pictures to be shown turned.
UPRIGHT, CLOCKWISE, HALF, COUNTER = (
    [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    for a, b, c, d in ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))
)


@pytest.mark.parametrize(
    ("matrix", "size", "corner"),
    [
        (UPRIGHT, (48, 64), ("top", "left")),
        (CLOCKWISE, (64, 48), ("top", "right")),
        (HALF, (48, 64), ("bottom", "right")),
        (COUNTER, (64, 48), ("bottom", "left")),
    ],
)
def test_rotation_metadata_is_applied(
    tmp_path: Path, matrix: list[int], size: tuple[int, int], corner: tuple[str, str]
) -> None:
    encode(tmp_path / "a.mp4", 3, matrix=matrix)
    reader = open_video(tmp_path / "a.mp4")
    frames = list(reader)
    assert reader.size == size and len(frames) == 3
    assert all(frame.shape[:2] == size and red_corner(frame) == corner for frame in frames)


def test_upright_turns_counter_clockwise() -> None:
    frame = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, 2)
    for rotation in (0, 90, 180, 270, -90, -180):
        assert np.array_equal(upright(frame, rotation), np.rot90(frame, rotation // 90))


@pytest.mark.parametrize(
    ("name", "options"), [("a.mp4", FASTSTART), ("a.mov", FASTSTART), ("a.mkv", {}), ("a.avi", {})]
)
def test_truncated_video_gives_its_frames_and_then_one_line(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    encode(tmp_path / name, 60, options=options)
    whole = (tmp_path / name).read_bytes()
    assert len(list(open_video(tmp_path / name))) == 60
    (tmp_path / name).write_bytes(whole[: len(whole) * 55 // 100])
    seen: list[int] = []
    with pytest.raises(UserError, match=r"is cut short: it ends at frame \d+") as caught:
        for index, _ in enumerate(open_video(tmp_path / name)):
            seen.append(index)
    assert 5 < len(seen) < 55 and f"at frame {len(seen)} " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_avi_that_ends_between_two_pictures_is_cut_short(tmp_path: Path) -> None:
    encode(tmp_path / "a.avi", 60)
    with av.open(str(tmp_path / "a.avi")) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    whole = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(whole[: places[30] - 8])  # less its head of 8 bytes
    seen = 0
    with pytest.raises(UserError, match="is cut short: it ends at frame 30 but announces 60 frames"):
        for _ in open_video(tmp_path / "a.avi"):
            seen += 1
    assert seen == 30


SLOW = [("a.avi", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")]


@pytest.mark.parametrize("rate", [Fraction(3, 2), 1, Fraction(2, 3), Fraction(1, 5)])
@pytest.mark.parametrize(("name", "codec"), SLOW)
def test_a_slow_video_is_whole_with_its_last_picture_and_cut_short_without(
    tmp_path: Path, name: str, codec: str, rate: Fraction | int
) -> None:
    path = tmp_path / name
    for count in (1, 2, 9):
        encode(path, count, rate=rate, codec=codec)
        assert len(list(open_video(path))) == count
    with av.open(str(path)) as container:
        last = max(packet.pos for packet in container.demux(video=0) if packet.size)
    path.write_bytes(path.read_bytes()[: last - (8 if name == "a.avi" else 0)])  # less its head
    seen = 0
    with pytest.raises(UserError, match="is cut short: it ends at frame 8"):
        for _ in open_video(path):
            seen += 1
    assert seen == 8


@pytest.mark.parametrize("content", [b"", b"this is a text, not a film\n" * 200, bytes(range(256)) * 40])
def test_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mp4 is not a video that can be read") as caught:
        open_video(tmp_path / "a.mp4")
    assert "\n" not in str(caught.value)


def test_video_without_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="holds no video stream"):
        open_video(tmp_path / "a.mp4")


def test_reader_can_be_read_twice(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", 4)
    reader = open_video(tmp_path / "a.mp4")
    assert all(np.array_equal(a, b) for a, b in zip(reader, reader, strict=True))
