"""Labelled images: what is asked, which detections count, and AP50 worked out by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.training.conftest import build_small
from univs import cli
from univs.configuration import compose
from univs.errors import UserError
from univs.evaluation.run import labelled_images
from univs.evaluation.run.benchmark_run import Outcome, answer
from univs.evaluation.run.labelled_images import MOST_DETECTIONS, Finder, best_detections, find_job
from univs.evaluation.run.questions import Question
from univs.evaluation.run.report import report
from univs.evaluation.run.sharding import World
from univs.masks.frame_labels import mask_of
from univs.masks.geometry import Geometry
from univs.models import own_files, zoo
from univs.models.word_answers import discover
from univs.results import FrameResult
from univs.trackers.frame.closer_look import HOWEVER_FAR, Candidate, boxed, look_closer

HEIGHT, WIDTH = 32, 48
BOXES = {"cat": (4, 4, 10, 10), "dog": (20, 4, 10, 10), "crowd": (4, 18, 12, 12)}


def polygon(x: int, y: int, width: int, height: int) -> list[list[int]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two folders: an image with a cat, a dog and a crowd of dogs, and one labelled for cats alone; one not listed."""
    names = {1: "cat", 2: "dog", 3: "grass"}
    for folder, images in (("one", ("0.png", "9.png")), ("two", ("0.png",))):
        (tmp_path / folder / "images").mkdir(parents=True)
        entries, annotations = [], []
        for number, name in enumerate(images):
            Image.fromarray(np.full((HEIGHT, WIDTH, 3), 9, np.uint8)).save(tmp_path / folder / "images" / name)
            entries.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
            for category, key, crowd in ((1, "cat", 0), (2, "dog", 0), (2, "crowd", 1)):
                if folder == "one" or category == 1:
                    annotations.append(
                        {
                            "id": len(annotations),
                            "image_id": number,
                            "category_id": category,
                            "segmentation": polygon(*BOXES[key]),
                            "iscrowd": crowd,
                        }
                    )
        if folder == "two":
            entries[0]["only_categories"] = ["cat"]
        content = {
            "images": entries,
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for number, name in names.items()],
        }
        (tmp_path / folder / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "val.txt").write_text("one/0.png\ntwo/0.png\n")
    return tmp_path


def data(root: Path) -> Any:
    return {"root": str(root), "folders": ["one", "two"], "list": str(root / "val.txt")}


def box(x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


class Told:
    """Finds what it is told."""

    def __init__(self, found: Sequence[tuple[str, np.ndarray, float]]) -> None:
        self.found = found

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        assert [prompt.names for prompt in prompts] == [("cat", "dog")]
        names = {number: name for number, (name, _, _) in enumerate(self.found, 1)}
        masks = {number: mask for number, (_, mask, _) in enumerate(self.found, 1)}
        scores = {number: score for number, (_, _, score) in enumerate(self.found, 1)}
        return [FrameResult(0, np.zeros((HEIGHT, WIDTH), np.uint8), tuple(masks), scores, masks, names)]

    def flush(self) -> list[FrameResult]:
        return []


def go(
    root: Path,
    found: dict[str, list[tuple[str, np.ndarray, float]]],
    settings: dict[str, Any],
    most: int | None = None,
) -> Outcome:
    job = find_job(data(root), most, root / "out")
    outcome = answer(
        job,
        lambda recording, question: Told(found[recording.name.partition("_")[0]]),
        settings,
        World(),
        Console(file=io.StringIO()),
    )
    assert outcome is not None
    return outcome


def test_precision_by_hand(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cat, dog, crowd = (box(*BOXES[key]) for key in ("cat", "dog", "crowd"))
    half = box(4, 4, 10, 5)  # IoU 0.5 with the cat: right
    less = box(4, 4, 10, 4)  # IoU 0.4: wrong
    found = {
        "one": [("cat", less, 0.9), ("cat", half, 0.8), ("dog", crowd, 0.9), ("dog", dog, 0.7), ("dog", cat, 0.8)],
        "two": [("cat", cat, 0.95), ("cat", cat, 0.5)],
    }
    outcome = go(root, found, {})
    # Cats, best first: right, wrong, right, wrong (found before): precision 1, then 2/3.
    # Dogs: the crowd is excused, the cat is wrong.
    recalls = np.linspace(0, 1, 101)
    cats = np.mean([1.0 if recall <= 0.5 else 2 / 3 for recall in recalls])
    summary = json.loads((root / "out" / "summary.json").read_text())
    assert summary["classes"] == {"cat": pytest.approx(cats), "dog": pytest.approx(0.5)}
    assert summary["ap50"] == pytest.approx((cats + 0.5) / 2) == outcome.figures["AP50"] / 100
    report(outcome, Console(width=120))
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in printed.splitlines() if line.startswith("│")]
    assert rows == [["cat", "2", f"{100 * cats:.1f}"], ["dog", "1", "50.0"]]
    assert f"AP50, mean of 2 classes: {outcome.figures['AP50']:.1f}" in printed and "2 videos, 2 frames" in printed


def test_images_are_not_answered_twice(root: Path) -> None:
    found = {"one": [("cat", box(*BOXES["cat"]), 0.5)], "two": []}
    first = go(root, found, {})
    again = go(root, {}, {})  # nothing is asked for
    assert again.scores == first.scores
    with pytest.raises(KeyError):
        go(root, {}, {"weights": "others"})


def test_a_detection_is_excused_where_most_of_it_is_unknown(root: Path) -> None:
    """The crowd is 12 pixels wide: 6 of 12 columns are too few, 7 are enough."""
    dog = box(*BOXES["dog"])
    for columns, precision in ((6, 0.5), (7, 1.0)):
        beside = box(4 + 12 - columns, 18, 12, 12)
        found = {"one": [("dog", beside, 0.9), ("dog", dog, 0.7)], "two": []}
        outcome = go(root, found, {"columns": columns})
        assert outcome.scores is not None and outcome.scores.rows["dog"]["AP50"] == pytest.approx(precision)


def test_a_run_of_some_images_says_so(root: Path) -> None:
    found: dict[str, list[tuple[str, np.ndarray, float]]] = {"one": [], "two": []}
    for most, note in ((1, "the first 1 videos"), (2, ""), (3, ""), (None, "")):
        go(root, found, {}, most)
        assert json.loads((root / "out" / "summary.json").read_text())["note"] == note


def test_other_classes_are_another_run(root: Path) -> None:
    """With fewer images fewer names may be asked for, and then everything is answered anew."""
    whole, part = (find_job(data(root), most, root / "out").made_from for most in (None, 1))
    assert whole == part and whole["classes"] == ["cat", "dog"]
    (root / "val.txt").write_text("two/0.png\n")
    assert find_job(data(root), None, root / "out").made_from["classes"] == ["cat"]


def test_what_is_asked_and_judged(root: Path) -> None:
    job = find_job(data(root), None, root / "out")
    assert [recording.name for recording in job.recordings] == ["one_0/000000_0", "two_1/000000_0"]
    images = labelled_images.Images.of([labelled_images.NamedImages(root / name) for name in ("one", "two")])
    assert images.classes == ("cat", "dog")
    assert [images.judged(images.recording(name)) for name in images.places] == [["cat", "dog"]] * 2 + [["cat"]]
    assert len(find_job(data(root), 1, root / "out").recordings) == 1
    (root / "val.txt").write_text("three/0.png\n")
    with pytest.raises(UserError, match="no image of"):
        find_job(data(root), None, root / "out")


def test_broken_images_are_found_before_the_first_is_answered(root: Path) -> None:
    path = root / "two" / "images" / "0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="two/images/0.png"):
        go(root, {}, {})


def test_best_detections() -> None:
    scores = np.linspace(0, 1, 60 * 3).reshape(60, 3)
    masks = np.ones((60, 2, 2), bool)
    masks[59] = False
    chosen = best_detections(masks, scores)
    least = np.sort(scores.reshape(-1))[-MOST_DETECTIONS]
    assert chosen == [(n, k) for n in range(59) for k in range(3) if scores[n, k] >= least]
    assert len(chosen) == MOST_DETECTIONS - 3
    assert best_detections(masks[:2], scores[:2]) == [(n, k) for n in range(2) for k in range(3)]
    assert len(best_detections(np.ones((60, 2, 2), bool), np.ones((60, 3)))) == 180, "ties"
    assert best_detections(np.zeros((0, 2, 2), bool), np.zeros((0, 3))) == []


def test_a_finder_answers_with_judged_classes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, scores = np.zeros((2, 3, 4), bool), np.array([[0.1, 0.9, 0.3], [0.2, 0.4, 0.8]])
    masks[0, :, :2] = masks[1, :, 2:] = True
    monkeypatch.setattr(labelled_images, "find", lambda *_: (masks, scores))
    finder = Finder(None, ("bird", "cat", "dog"), None, None, ["dog", "bird"])
    (result,) = finder.push(np.zeros((3, 4, 3), np.uint8))
    found = [(result.names[i], result.scores[i], int(result.mask(i)[0, 0])) for i in result.object_ids]
    assert found == [("dog", 0.3, 1), ("bird", 0.1, 1), ("dog", 0.8, 0), ("bird", 0.2, 0)]
    assert finder.flush() == []


def test_the_command(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["evaluate", "dataset=labelled", f"data.root={root}", "data.folders=[one,two]", f"out={tmp_path / 'out'}"]
    weights = tmp_path / "wordless.safetensors"
    numbers = compose("train", ["model=tiny", "data.root=-"])["model"]
    bare = {key: value for key, value in numbers.items() if key not in ("text", "words")}
    own_files.save(zoo.build_model(bare), weights, bare)
    assert cli.main([*command, f"weights={weights}"]) == 2
    asked: list[tuple[str, ...]] = []

    def finders(images: labelled_images.Images, *_: object) -> Any:
        def new(recording: object, question: Question) -> Told:
            asked.append(question.says(0)[0].names)
            return Told([("cat", box(*BOXES["cat"]), 1.0)])

        return new

    monkeypatch.setattr(labelled_images, "finders", finders)
    assert cli.main(command) == 0
    assert asked == [("cat", "dog")] * 2
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["classes"] == {"cat": 1.0, "dog": 0.0} and summary["settings"]["size"] == 320


def test_an_image_is_looked_at_as_large_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = build_small(words=True).eval(), list[tuple[int, ...]]()
    normalize = model.normalize
    monkeypatch.setattr(model, "normalize", lambda images: (seen.append(tuple(images.shape)), normalize(images))[1])
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for size in (None, 64, 128):
        masks, scores = labelled_images.find(model, image, torch.randn(3, 24), size)
        assert masks.shape == (len(scores), 64, 96)
    assert seen == [(1, 3, 64, 96), (1, 3, 64, 96), (1, 3, 128, 192)]


def test_what_is_found_is_seen_closer_and_named_anew() -> None:
    """Against the same steps one by one."""
    model = build_small(words=True, looks=True).eval()
    assert model.mask_refiner is not None
    model.mask_refiner.learnt.fill_(True)
    torch.manual_seed(1)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    embeddings = torch.randn(3, 24)
    masks, scores = labelled_images.find(model, image, embeddings, None)
    with torch.inference_mode():
        features = model.encode_image(model.normalize(torch.from_numpy(image).permute(2, 0, 1)[None]))
        prediction, objectness = discover(model, features, embeddings)
        geometry = Geometry.fit(64, 96)
        for row in (0, len(masks) // 2, len(masks) - 1):
            logits = prediction.mask_logits[0, row, 0]
            candidate = Candidate(boxed(logits, geometry), logits)
            (one,) = look_closer(model, image, geometry, [candidate], False, HOWEVER_FAR)
            wanted = mask_of(candidate.logits, geometry) if one is None else one.mask
            assert (wanted == masks[row]).mean() > 0.99
            share = torch.nn.functional.avg_pool2d(torch.from_numpy(masks[row : row + 1]).float()[None], 8)
            head = model.word_head
            assert head is not None
            fit = head.score_masks(head(features), share, embeddings)[0, 0].sigmoid() * objectness[row]
            np.testing.assert_allclose(scores[row], fit, atol=1e-4)
    assert masks.shape == (len(scores), 64, 96) and masks.any()
