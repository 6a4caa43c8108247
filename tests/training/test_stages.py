"""Every setting of a run, wrong in one place, through the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from univs.cli import main
from univs.configuration import compose
from univs.errors import UserError
from univs.losses import BoxTerms, PatchSearch
from univs.training.stages import box_terms, check_run


def wrong(*overrides: str) -> str:
    """The error of settings that are right but for these."""
    with pytest.raises(UserError) as error:
        check_run(compose("train", ["data.root=-", *overrides]))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "stage", ["clip", "image", "closer_look", "words", "scribble_to_mask", "scribble_to_mask_light"]
)
def test_the_stages_that_come_along_are_right(stage: str) -> None:
    for data in ("photos_and_videos", "pack", *(["named_images"] if stage == "words" else [])):
        check_run(compose("train", [f"stage={stage}", f"data={data}", "data.root=-"]))


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm", "kept_share", "kept_share_start"])
@pytest.mark.parametrize("value", ["fast", "-1", "0", "nan", "inf", "null", "[1]"])
def test_what_must_be_above_zero(name: str, value: str) -> None:
    assert wrong(f"stage.{name}={value}").startswith(f"stage.{name} must be ")


@pytest.mark.parametrize(
    "override",
    [
        "stage.batch_size=0", "stage.batch_size=-1", "stage.batch_size=2.5", "stage.frames=0", "stage.size=0",
        "stage.size=48", "stage.size=big", "stage.size=100000",
        "stage.size=[]", "stage.size=[256,100]", "stage.losses.memory_frames=0", "stage.workers=-1",
        "stage.workers=many",
        "stage.steps=0", "stage.steps=3.5", "stage.minutes=0", "stage.minutes=soon", "stage.warmup=-1",
        "stage.weight_decay=-1", "stage.backbone_factor=-1", "stage.final_factor=2", "stage.ema_decay=1.5",
        "stage.precision=float8", "stage.save_minutes=-1", "stage.frozen_backbone=-2", "stage.losses.points=0",
        "dry_run=1", "dry_run=maybe", "stage.pictures=-1", "stage.pictures=all",
        "stage.accumulate=0", "stage.accumulate=1.5", "stage.checkpointing=1",
        "stage.losses.prompt=-1", "stage.losses.prompt=nan", "stage.losses.local_radius=0", "stage.prompts.frames=0",
        "stage.prompts.objects=0", "stage.prompts.first.mask=-1", "+stage.prompts.anew.blob=1", "+stage.foo=1",
        "+stage.losses.foo=1", "+foo=1", "~stage.size", "seed=-1", "seed=x", "seed=1.5", "device=tpu", "out=", "init=",
        "model.name=a/b", "data.sources=x", "data.sources=[]", "data.sources=[a]", "data.probabilities.photo=-1",
        "data.probabilities.photo=nan", "data.synth.difficulty=hard", "+data.synth.foo=1", "+data.foo=1",
        "supervision.projection=-1", "supervision.temporal=x", "supervision.temporal_warmup=-1",
        "supervision.colour_alike=2", "supervision.channels=xyz", "+supervision.foo=1", "~supervision.pairwise",
        "supervision.kind=points", "supervision.search.matches=0", "supervision.search.pairs=some",
        "+supervision.search.foo=1",
    ],
)  # fmt: skip
def test_each_setting_has_its_line(override: str) -> None:
    key = override.lstrip("+~").partition("=")[0]
    assert key.rpartition(".")[0] in wrong(override) and key.rpartition(".")[2] in wrong(override)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stage.minutes=null"], "in steps or minutes, one of the two: stage.steps=N stage.minutes=null"),
        (["stage.steps=3"], "one of the two"),
        (["stage=words", "stage.trained=[]"], "stage.trained must be given"),
        (["stage=words", "stage.start=x"], "stage.start must be null or imagenet, not x"),
        (["stage=words", "stage.tiled=2"], "stage.tiled must be at most 1"),
        (["stage=words", "stage.losses.absent=3"], "stage.losses.absent must be at most 1"),
        (["stage=words", "stage.step=x"], "stage.step must be words or released or"),
        (
            [f"stage.losses.{n}=0" for n in ("prompt", "learnable", "answers", "corrected", "correspondence")],
            "nothing is learnt",
        ),
        (["data.probabilities={photo: 0, video: 0}"], "data.probabilities must be above 0 in at least one entry"),
        (["data=named_images"], "no value for data.probabilities"),
        (["supervision.search.patch=4"], "4 is even"),
        (["supervision.search.step=2"], "does not lead from -3 to 3"),
        (["stage=words", "supervision=boxes"], "supervision=boxes is for the stages image, clip and long"),
        (["supervision=points"], "there is no supervision/points; there are boxes, masks"),
        (["data.sources=[]"], "data.sources must be given where data.probabilities of photo and video are not 0"),
    ],
)
def test_settings_that_belong_together(overrides: list[str], message: str) -> None:
    assert message in wrong(*overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stage.learning_rate=fast"], "stage.learning_rate must be a number above 0, not fast"),
        (["stage.batch_size=-1"], "stage.batch_size must be at least 1, not -1"),
        (["stage.size=0"], "stage.size is the side of a training crop in pixels and must be at least 32, not 0"),
        ([], "no source for video, drawn with 0.2; add a source of videos (kind: videos or set) to data.sources, or "
             "set data.probabilities.video=0"),
        (["data.sources=[{kind: photo, root: {}}]"], "data.sources.0 is of unknown kind 'photo'; there are photos"),
        (["data.sources=[{root: {}}]"], "no value for data.sources.0.kind"),
        (["data.sources=[{kind: photos}]"], "no value for data.sources.0.root"),
        (["data.sources=[{kind: photos, root: {}, rot: 1}]"], "unknown setting data.sources.0.rot; there are root"),
        (["data.sources=[{kind: photos, root: {}, weight: -1}]"], "data.sources.0.weight must be at least 0, not -1"),
        (["data.sources=[{kind: photos, root: {}, longest: 0}]"], "data.sources.0.longest must be at least 1"),
        (["data.sources=[{kind: photos, root: {}, gaps: [1, 2]}]"], "data.sources.0.gaps are for videos"),
        (["data.sources=[{kind: videos, root: {}, gaps: [3, 1]}]"], "the smallest and the largest step, not 3 and 1"),
        (["data.sources=[{kind: photos, root: {}, weight: 0}]"], "no source for photo"),
        (["stage=words", "data=named_images", "data.sources=[{kind: synth, size: [8]}]"], "sources.0.size must be"),
        (["stage=words", "data=named_images", "data.sources=[{kind: synth}]", "stage.trained=[foo]"],
         "no part of the model is trained"),
        (["model=r50", "init=null"], "train the dense memory"),
        (["device=cuda:1"], "device must be auto, cpu or cuda"),
    ],
)  # fmt: skip
def test_the_command_says_what_to_set(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    base = ["data.root=-", f"data.sources=[{{kind: photos, root: {photos}}}]", "init=null", f"out={tmp_path / 'out'}"]
    if "stage=words" in overrides:
        base.pop(1)
    given = [override.replace("root: {}", f"root: {photos}") for override in overrides]
    assert main(["train", *base, "device=cpu", "stage.workers=0", *given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert not (tmp_path / "out").exists()


def test_a_source_that_breaks_while_it_is_read_is_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in (photos / "images").iterdir():
        image.write_bytes(b"not an image")
    overrides = ["data.root=-", f"data.sources=[{{kind: photos, root: {photos}}}]", "data.probabilities.video=0"]
    size = ["stage.size=32", "stage.batch_size=1", "stage.frames=2", "stage.workers=1", "init=null", "device=cpu"]
    assert main(["train", *overrides, *size, f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "images" in error and "Traceback" not in error


@pytest.mark.parametrize("stage", ["clip", "image", "long"])
@pytest.mark.parametrize("supervision", ["boxes", "masks"])
def test_supervision_of_every_stage_that_follows_objects(stage: str, supervision: str) -> None:
    given = compose("train", [f"stage={stage}", f"supervision={supervision}", "data.root=-"])
    check_run(given)
    assert given["supervision"]["kind"] == supervision
    assert box_terms(given["supervision"]) == BoxTerms(outside=1.0), "MaskFreeVIS but for what is outside"
    given["supervision"]["search"]["radius"] = 6
    assert box_terms(given["supervision"]).search == PatchSearch(radius=6)
