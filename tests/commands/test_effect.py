"""`univs effect`: files that come out, what may be said, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import textured
from univs import cli
from univs.claim import claim_folder
from univs.commands.backgrounds import Background
from univs.commands.effect import EFFECTS, changed
from univs.commands.subject_masks import SubjectMasks
from univs.models.own_files import save
from univs.models.portrait import PortraitNet
from univs.models.zoo import build_network, numbers_of
from univs.results import FrameResult, TrackSpool
from univs.trackers.portrait import mattes
from univs.video import VideoWriter, open_video, read_rgb
from univs.visualization import blur_background, colour_pop, cut_out, replace_background, spotlight
from univs.visualization.alpha import AlphaSmoother, soft_alpha

HEIGHT, WIDTH, COUNT = 60, 80, 4


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """Frames and results of two objects, which move."""
    (tmp_path / "frames").mkdir()
    (tmp_path / "found").mkdir()
    with TrackSpool() as spool:
        for t in range(COUNT):
            Image.fromarray(textured(HEIGHT, WIDTH, t // 2)).save(tmp_path / "frames" / f"{t:05d}.png")
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            labels[10:40, 10 + t : 35 + t], labels[30:55, 40:70] = 1, 2
            spool.append(FrameResult(t, labels, (1, 2)))
        spool.write_json(tmp_path / "found" / "results.json")
    return tmp_path


def run(shot: Path, *more: str) -> int:
    return cli.main(["effect", str(shot / "frames"), "--mask", str(shot / "found"), *more])


def pictures(folder: Path) -> list[np.ndarray]:
    return [read_rgb(path) for path in sorted(folder.glob("*.png"))]


def test_a_cut_out_is_a_sequence_of_pngs_with_straight_alpha(shot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shot / "cut"
    assert run(shot, "--effect", "cut-out", "--object", "2", "--out", str(out), "--no-smoothing", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == COUNT
    assert sorted(path.name for path in out.iterdir()) == [f"{t:05d}.png" for t in range(COUNT)]
    for t, path in enumerate(sorted(out.iterdir())):
        frame = read_rgb(shot / "frames" / f"{t:05d}.png")
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[30:55, 40:70] = True
        with Image.open(path) as image:
            assert image.mode == "RGBA"
            assert np.array_equal(np.asarray(image), cut_out(frame, soft_alpha(mask, frame)))


def test_ids_in_another_order_are_the_same_subject(shot: Path) -> None:
    for name, ids in (("one", ("1", "2")), ("other", ("2", "1")), ("all", ())):
        said = [word for number in ids for word in ("--object", number)]
        assert run(shot, "--effect", "spotlight", *said, "--out", str(shot / name)) == 0
    one, other, everyone = (pictures(shot / name) for name in ("one", "other", "all"))
    assert len(one) == COUNT
    assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(one, other, everyone, strict=True))


def test_a_video_is_changed_frame_by_frame(shot: Path) -> None:
    out = shot / "popped.mp4"
    assert run(shot, "--effect", "colour-pop", "--amount", "1", "--out", str(out)) == 0
    reader, calm = open_video(out), AlphaSmoother()
    assert reader.size == (HEIGHT, WIDTH)
    with SubjectMasks(shot / "found", (), (HEIGHT, WIDTH)) as masks:
        for t, got in enumerate(reader):
            frame = read_rgb(shot / "frames" / f"{t:05d}.png")
            want = colour_pop(frame, calm(soft_alpha(masks.mask(t), frame), frame))
            assert np.abs(got.astype(int) - want).mean() < 12, "as far as compression lets it"
    assert t == COUNT - 1
    assert not [path for path in shot.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("smoothing", [True, False])
def test_edges_are_calmed_unless_each_frame_is_to_stand_by_itself(shot: Path, smoothing: bool) -> None:
    more = [] if smoothing else ["--no-smoothing"]
    assert run(shot, "--effect", "colour-pop", "--out", str(shot / "popped"), *more) == 0
    calm = AlphaSmoother()
    with SubjectMasks(shot / "found", (), (HEIGHT, WIDTH)) as masks:
        for t, got in enumerate(pictures(shot / "popped")):
            frame = read_rgb(shot / "frames" / f"{t:05d}.png")
            alpha = soft_alpha(masks.mask(t), frame)
            assert np.array_equal(got, colour_pop(frame, calm(alpha, frame) if smoothing else alpha)), t


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("spotlight --amount 0.3 --feather 0.02", lambda frame, alpha: spotlight(frame, alpha, 0.3, 0.02)),
        ("colour-pop --amount 0.5 --tone 2", lambda frame, alpha: colour_pop(frame, alpha, 0.5, 2.0)),
        ("colour-pop --feather 0.1", lambda frame, alpha: colour_pop(frame, alpha, feather=0.1)),
        ("blur --amount 0.1", lambda frame, alpha: blur_background(frame, alpha, 0.1)),
    ],
)
def test_numbers_reach_their_effect(shot: Path, said: str, change: Callable[..., np.ndarray]) -> None:
    assert run(shot, "--no-smoothing", "--out", str(shot / "out"), "--effect", *said.split()) == 0
    frame = pictures(shot / "frames")[1]
    with SubjectMasks(shot / "found", (), (HEIGHT, WIDTH)) as masks:
        assert np.array_equal(pictures(shot / "out")[1], change(frame, soft_alpha(masks.mask(1), frame)))


def test_a_video_keeps_its_speed(shot: Path) -> None:
    with VideoWriter(shot / "clip.mp4", 5) as clip:
        for t in range(COUNT):
            clip.write(textured(HEIGHT, WIDTH, t))
    said = ["effect", str(shot / "clip.mp4"), "--mask", str(shot / "found"), "--effect", "blur"]
    assert cli.main([*said, "--out", str(shot / "slow.mp4")]) == 0
    assert open_video(shot / "slow.mp4").fps == open_video(shot / "clip.mp4").fps == 5


def test_where_it_is_written_if_nothing_is_said(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shot / "here").mkdir()
    monkeypatch.chdir(shot / "here")
    assert run(shot, "--effect", "cut-out") == 0 and run(shot, "--effect", "blur") == 0
    assert sorted(path.name for path in (shot / "here").iterdir()) == ["univs-effect", "univs-effect.mp4"]


def test_another_run_in_the_folder_is_waited_for(shot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with claim_folder(shot / "cut"):
        assert run(shot, "--effect", "cut-out", "--out", str(shot / "cut")) == 2
    assert "another run" in capsys.readouterr().err and not (shot / "cut").exists()


def test_frames_are_changed_as_they_come(shot: Path) -> None:
    taken: list[int] = []

    def subject() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for t in range(COUNT):
            taken.append(t)
            yield textured(HEIGHT, WIDTH, t), np.ones((HEIGHT, WIDTH), bool)

    times: list[float] = []

    def change(frame: np.ndarray, alpha: np.ndarray, now: float) -> np.ndarray:
        times.append(now)
        return frame

    frames = changed(subject(), change, 5.0)
    next(frames)
    assert taken == [0] and len(list(frames)) == COUNT - 1
    assert times == [0.0, 0.2, 0.4, 0.6]


def test_people_are_found_as_the_video_goes(shot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    net = build_network(numbers_of("portrait"))
    assert isinstance(net, PortraitNet)
    save(net.eval(), shot / "portrait.safetensors", net.config, half=False)
    save(build_network(numbers_of("stm_light")), shot / "other.safetensors", numbers_of("stm_light"))
    asked = ["effect", str(shot / "frames"), "--model", "portrait", "--device", "cpu", "--effect", "cut-out"]
    weights = ["--weights", str(shot / "portrait.safetensors")]
    assert cli.main([*asked, *weights, "--no-smoothing", "--out", str(shot / "people")]) == 0
    shown = pictures(shot / "frames")
    for path, frame, matte in zip(sorted((shot / "people").iterdir()), shown, mattes(net, shown), strict=True):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), cut_out(frame, soft_alpha(matte, frame)))
    for more, message in (
        ([*weights, "--object", "1"], "--object chooses tracks of --mask"),
        ([*weights, "--mask", str(shot / "found")], "who is the subject?"),
        (["--weights", str(shot / "other.safetensors")], "holds no portrait net"),
    ):
        assert cli.main([*asked, *more, "--out", str(shot / "nobody")]) == 2
        assert message in capsys.readouterr().err
    assert run(shot, "--effect", "blur", *weights) == 2
    assert "--weights are those of --model portrait" in capsys.readouterr().err
    assert cli.main(["effect", str(shot / "frames"), "--effect", "blur"]) == 2
    assert "who is the subject?" in capsys.readouterr().err


def test_backgrounds_of_all_kinds(shot: Path) -> None:
    Image.fromarray(textured(50, 200, 7)).save(shot / "sky.png")
    for given in ("#102030", str(shot / "sky.png"), str(shot / "frames")):
        out = shot / f"behind{len(given)}"
        assert run(shot, "--effect", "background", "--background", given, "--light-wrap", "--out", str(out)) == 0
        first, want = pictures(out)[0], pictures(shot / "frames")[0]
        with SubjectMasks(shot / "found", (), (HEIGHT, WIDTH)) as masks:
            alpha = soft_alpha(masks.mask(0), want)
        behind = Background(given, (HEIGHT, WIDTH)).at(0)
        assert np.array_equal(first, replace_background(want, alpha, behind, light_wrap=True))
        assert np.array_equal(first[20:25, 20:25], want[20:25, 20:25]), "the subject stays"
        if given.startswith("#"):
            assert (first[:5] == (16, 32, 48)).all()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["--effect", "background"], "--effect background needs --background"),
        (["--effect", "blur", "--background", "red"], "--background is for --effect background"),
        (["--effect", "cut-out", "--background", "red"], "--background is for --effect background"),
        (["--effect", "spotlight", "--light-wrap"], "--light-wrap is for --effect background; leave it out for spot"),
        (["--effect", "blur", "--light-wrap"], "--light-wrap is for --effect background"),
        (["--effect", "blur", "--tone", "2"], "--tone: the effect blur has no such number"),
        (["--effect", "spotlight", "--amount", "2"], "--amount must be 0 to 1 for spotlight, not 2.0"),
        (["--effect", "spotlight", "--amount", "nan"], "--amount must be 0 to 1 for spotlight"),
        (["--effect", "blur", "--amount", "0.51"], "--amount must be 0 to 0.5 for blur"),
        (["--effect", "colour-pop", "--amount", "-0.01"], "--amount must be 0 to 1 for colour-pop"),
        (["--effect", "colour-pop", "--tone", "0.09"], "--tone must be 0.1 to 10 for colour-pop"),
        (["--effect", "colour-pop", "--tone", "10.1"], "--tone must be 0.1 to 10 for colour-pop"),
        (["--effect", "spotlight", "--feather", "0.6"], "--feather must be 0 to 0.5 for spotlight"),
        (["--effect", "glow"], "invalid choice: 'glow'"),
        (["--effect", "blur", "--object", "7"], "--object 7: "),
        (["--effect", "cut-out", "--out", "x.mp4"], "an .mp4 has no alpha; name a folder"),
        (["--effect", "blur", "--out", "x.avi"], "videos are written as .mp4"),
        (["--effect", "blur", "--out", "FRAMES"], "holds numbered PNGs already"),
        (["--effect", "blur", "--out", "missing/x.mp4"], "there is no folder"),
        (["--effect", "blur", "--out", "/proc/x.mp4"], "/proc"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    shot: Path, said: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shot)
    assert run(shot, *(str(shot / "frames") if word == "FRAMES" else word for word in said)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (shot / "univs-effect.mp4").exists()
    assert len(list((shot / "frames").iterdir())) == COUNT


@pytest.mark.parametrize(("more", "message"), [(1, "ends after 4 frames and the video goes on"), (-1, "video has 3")])
def test_results_of_a_longer_or_shorter_video_leave_no_file(
    shot: Path, capsys: pytest.CaptureFixture[str], more: int, message: str
) -> None:
    with VideoWriter(shot / "clip.mp4", 5) as clip:  # a file whose header may be off: its frames are counted on the way
        for t in range(COUNT + more):
            clip.write(textured(HEIGHT, WIDTH, t))
    said = ["effect", str(shot / "clip.mp4"), "--mask", str(shot / "found"), "--effect", "blur"]
    assert cli.main([*said, "--out", str(shot / "blurred.mp4")]) == 2
    assert message in capsys.readouterr().err and not (shot / "blurred.mp4").exists()
    assert cli.main([*said, "--out", str(shot / "blurred")]) == 2
    assert len(pictures(shot / "blurred")) == min(COUNT, COUNT + more), "what is done stays"


def test_frames_that_can_be_counted_are_before_the_first_is_changed(
    shot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(textured(HEIGHT, WIDTH, 9)).save(shot / "frames" / "00004.png")
    assert run(shot, "--effect", "blur", "--out", str(shot / "blurred")) == 2
    assert "is of 4 frames and the video has 5" in capsys.readouterr().err and not (shot / "blurred").exists()


def test_nothing_is_written_among_the_frames_of_a_glob(shot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for t in range(COUNT):
        (shot / "frames" / f"{t:05d}.png").rename(shot / "frames" / f"shot{t}.png")
    said = ["effect", str(shot / "frames" / "*.png"), "--mask", str(shot / "found"), "--effect", "blur"]
    assert cli.main([*said, "--out", str(shot / "frames")]) == 2
    assert "is where the frames of INPUT lie; name another folder" in capsys.readouterr().err
    below = ["effect", str(shot / "frames" / "**" / "*.png"), *said[2:]]
    assert cli.main([*below, "--out", str(shot / "frames")]) == 2
    assert "is where the frames of INPUT lie; name another folder" in capsys.readouterr().err
    assert len(list((shot / "frames").iterdir())) == COUNT
    assert cli.main([*said, "--out", str(shot / "other")]) == 0


@pytest.mark.parametrize("option", ["INPUT", "--background"])
def test_what_is_read_is_not_written_over(shot: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    with VideoWriter(shot / "clip.mp4", 5) as clip:
        for t in range(COUNT):
            clip.write(textured(HEIGHT, WIDTH, t))
    source, behind = ("clip.mp4", "frames") if option == "INPUT" else ("frames", "clip.mp4")
    said = ["effect", str(shot / source), "--mask", str(shot / "found"), "--effect", "background", "--background"]
    before = (shot / "clip.mp4").read_bytes()
    assert cli.main([*said, str(shot / behind), "--out", str(shot / "clip.mp4")]) == 2
    assert f"clip.mp4 is {option}; name another one" in capsys.readouterr().err
    assert (shot / "clip.mp4").read_bytes() == before


@pytest.mark.parametrize(("option", "place"), [("INPUT", ""), ("INPUT", "*.mp4"), ("--background", "")])
def test_a_file_that_its_folder_or_a_glob_stands_for_is_not_written_over(
    shot: Path, capsys: pytest.CaptureFixture[str], option: str, place: str
) -> None:
    (shot / "one").mkdir()
    clip = shot / "one" / "clip.mp4"
    with VideoWriter(clip, 5) as video:
        for t in range(COUNT):
            video.write(textured(HEIGHT, WIDTH, t))
    before, given = clip.read_bytes(), str(shot / "one" / place)
    if option == "INPUT":
        said = [given, "--effect", "blur"]
    else:
        said = [str(shot / "frames"), "--effect", "background", "--background", given]
    assert cli.main(["effect", *said, "--mask", str(shot / "found"), "--out", str(clip)]) == 2
    assert f"clip.mp4 is {option}; name another one" in capsys.readouterr().err
    assert clip.read_bytes() == before


def test_a_colon_in_the_name_of_a_video_is_no_protocol(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shot)
    assert run(shot, "--effect", "blur", "--out", "take:2.mp4") == 0
    said = ["effect", "take:2.mp4", "--mask", "found", "--effect", "blur", "--out", "take:3.mp4"]
    assert cli.main(said) == 0 and len(list(open_video("take:3.mp4"))) == COUNT


def test_every_effect_says_what_it_does() -> None:
    assert set(EFFECTS) == {"background", "blur", "colour-pop", "cut-out", "spotlight"}
    assert all(control.low < control.high for effect in EFFECTS.values() for control in effect.controls.values())
