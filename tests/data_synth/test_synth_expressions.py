"""Referring expressions, held against a reader who knows nothing of how they were made.

The reader takes an expression apart into its words, looks at the drawn label maps and at the scene, and decides for
each thing whether every word is true of it, by one plain bound each (no room for doubt). Exactly the thing that is
meant must be left, whether the reader is strict or lenient.
"""

from __future__ import annotations

import colorsys
import math
import pickle
import re
from functools import cache

import numpy as np
import pytest

from univs.data.synth import SynthVS
from univs.data.synth.colours import NAMES, name_pixels, shares
from univs.data.synth.scene import Scene
from univs.data.synth.vocabulary import KINDS, vocabulary

GRAMMAR = re.compile(
    r"the (?:(?P<size>small|smallest|large|largest) )?(?:(?P<colour>" + "|".join(NAMES) + r") )?(?P<head>.+?)"
    r"(?: (?P<tail>on the left|on the right|at the top|at the bottom|moving to the left|moving to the right|moving up"
    r"|moving down|standing still|coming closer|going away|appearing later|disappearing)"
    r"| (?P<relation>to the left of|to the right of|above|below|behind|in front of) (?P<name>the .+))?"
)
WORLDS = [  # split, frames, seed, difficulty, clips
    ("train", 8, 0, 0.5, range(16)),
    ("val", 3, 1, 1.0, range(10)),
    ("test", 25, 2, 0.8, range(4)),
    ("train", 1, 3, 1.0, range(10)),
]
SIZE = (120, 214)


class Reader:
    """Decides what is true of the things of one clip. lean: -1 strict, 0, 1 lenient; shifts every bound a little."""

    def __init__(self, scene: Scene, labels: np.ndarray, lean: float) -> None:
        self.labels, self.lean = labels, lean
        self.things = {thing.number: thing for thing in scene.things if (labels == thing.number).any()}
        self.scene = scene
        self.seen = {n: [t for t in range(len(labels)) if (labels[t] == n).any()] for n in self.things}

    @cache  # noqa: B019 (a reader lives as long as one clip is read)
    def middle(self, number: int, t: int) -> tuple[float, float]:
        rows, columns = np.nonzero(self.labels[t] == number)
        return columns.mean() + 0.5, rows.mean() + 0.5

    def ground(self, number: int, t: int) -> tuple[float, float]:
        """The thing's own middle in pixels of the canvas, by the camera's map."""
        camera, (height, width) = self.scene.camera, self.scene.size
        x, y = self.things[number].places[t] - np.array([width / 2, height / 2])
        c, s = math.cos(camera.angle[t]), math.sin(camera.angle[t])
        zoom = camera.zoom[t]
        return camera.centre[t][0] + zoom * (c * x - s * y), camera.centre[t][1] + zoom * (s * x + c * y)

    def meant(self, expression: str, among: set[int] | None = None) -> set[int]:
        """The things of which every word is true."""
        match = GRAMMAR.fullmatch(expression)
        assert match, expression
        left = {n for n in self.things if self.is_called(n, match["head"])}
        if match["colour"]:
            left = {n for n in left if self.has_colour(n, match["colour"])}
        if match["size"]:
            left = self.of_size(left, match["size"])
        if match["tail"]:
            left = {n for n in left if self.does(n, match["tail"])}
        if match["relation"]:
            (other,) = self.meant(match["name"])
            left = {n for n in left - {other} if self.lies(n, match["relation"], other)}
        return left

    def is_called(self, number: int, head: str) -> bool:
        noun = self.things[number].look.noun
        group = vocabulary().groups[noun]
        if head in KINDS and head != noun:  # the lenient reader takes a wolf's head for an animal
            doubtful = KINDS[head].doubtful & {noun, group}
            return self.lean > 0 if doubtful else group in KINDS[head].groups
        if head == "thing" or head == noun or noun.endswith(f" {head}") and head == "book":
            return True
        return self.lean > 0 and noun.endswith(f" {head}")  # a police car is a car

    def has_colour(self, number: int, colour: str) -> bool:
        look = self.things[number].look
        if look.tint:
            return look.tint == colour
        pixels = np.asarray(look.at(1.0)[0].convert("RGBA"))[::4, ::4]
        names = [name_of(*pixel[:3]) for pixel in pixels.reshape(-1, 4).tolist() if pixel[3] > 127]
        return names.count(colour) / len(names) > 0.45 - 0.1 * self.lean

    def of_size(self, left: set[int], size: str) -> set[int]:
        """The first by the mean area of what is seen; none if another comes close."""
        area = {n: sum(int((self.labels[t] == n).sum()) for t in self.seen[n]) / len(self.seen[n]) for n in left}
        assert len(left) > 1  # nobody is small by himself
        assert len(left) == 2 or size.endswith("est")
        order = sorted(left, key=lambda n: area[n] if size.startswith("small") else -area[n])
        if len(order) > 1:
            a, b = sorted((area[order[0]], area[order[1]]))
            assert b > 1.5 * a, "too close to call"
        return set(order[:1])

    def does(self, number: int, tail: str) -> bool:
        height, width = self.scene.size
        frames, last = self.seen[number], len(self.labels) - 1
        slack = 0.02 * self.lean
        if tail.split()[0] in ("on", "at"):
            axis, side, sign = {"left": (0, width, 1), "right": (0, width, -1), "top": (1, height, 1),
                                "bottom": (1, height, -1)}[tail.split()[-1]]  # fmt: skip
            return all(sign * (self.middle(number, t)[axis] / side - 0.5) < slack - 0.04 for t in frames)
        if tail == "appearing later":
            return 0 not in frames
        if tail == "disappearing":
            return 0 in frames and last not in frames
        a, b = frames[0], frames[-1]
        on_picture = [self.middle(number, t) for t in frames]
        on_ground = [[v / self.scene.camera.rest_zoom for v in self.ground(number, t)] for t in frames]
        if tail == "standing still":
            return all(
                max(np.hypot(p[0] - q[0], p[1] - q[1]) for p in way for q in way) < (0.05 + slack) * width
                for way in (on_picture, on_ground)
            )
        if tail in ("coming closer", "going away"):
            sign = 1 if tail == "coming closer" else -1
            areas = [(self.labels[t] == number).sum() for t in (a, b)]
            sizes = [self.things[number].motion.size[t] for t in (a, b)]
            return all(sign * math.log(late / early) > 0 for early, late in (areas, sizes)) and (
                sign * math.log(sizes[1] / sizes[0]) > math.log(1.2 - slack)
            )
        axis, sign = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}[tail.split()[-1]]
        return all(sign * (way[-1][axis] - way[0][axis]) > (0.08 - slack) * width for way in (on_picture, on_ground))

    def lies(self, number: int, relation: str, other: int) -> bool:
        height, width = self.scene.size
        both = [t for t in self.seen[number] if t in self.seen[other]]
        if not both:
            return False
        if relation in ("behind", "in front of"):
            sign = -1 if relation == "behind" else 1
            depth, beyond = self.things[number].motion.depth, self.things[other].motion.depth
            near = any(self.touch(number, other, t) for t in both)
            return near and all(sign * (depth[t] - beyond[t]) > 0 for t in both)
        axis, side, sign = {"to the left of": (0, width, 1), "to the right of": (0, width, -1), "above": (1, height, 1),
                            "below": (1, height, -1)}[relation]  # fmt: skip
        return all(
            sign * (self.middle(number, t)[axis] - self.middle(other, t)[axis]) / side < 0.02 * self.lean - 0.05
            for t in both
        )

    def touch(self, number: int, other: int, t: int) -> bool:
        grown = np.pad(self.labels[t] == number, 1)
        grown = grown[1:-1, :-2] | grown[1:-1, 2:] | grown[:-2, 1:-1] | grown[2:, 1:-1]
        return bool((grown & (self.labels[t] == other)).any())


@cache
def name_of(red: int, green: int, blue: int) -> str:
    """A colour's name by way of the standard library."""
    hue, _, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    high, spread, degrees = round(value * 255), max(red, green, blue) - min(red, green, blue), hue * 360
    if spread * 100 < 22 * high or high < 55:
        return "white" if high >= 205 else "grey" if high >= 85 else "black"
    name = next(name for name, end in (("red", 12), ("orange", 42), ("yellow", 70), ("green", 165), ("blue", 255),
                                       ("purple", 290), ("pink", 345), ("red", 361)) if degrees < end)  # fmt: skip
    if high < 175 and degrees < 60 and (name in ("orange", "yellow") or high < 110):
        return "brown"
    return "pink" if name == "red" and high - spread > 130 else name


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: f"{world[0]}-{world[1]}")
def test_every_expression_is_true_of_its_object_alone(world):
    split, frames, seed, difficulty, clips = world
    dataset = SynthVS(split, SIZE, frames, seed, difficulty)
    count = 0
    for clip in clips:
        sample, scene = dataset[clip], dataset.scene(clip)
        readers = [Reader(scene, sample.labels, lean) for lean in (-1, 0, 1)]
        assert set(sample.expressions) <= set(sample.object_ids())
        for number, expressions in sample.expressions.items():
            assert len(set(expressions)) == len(expressions)
            for expression in expressions:
                for reader in readers:
                    assert reader.meant(expression) == {number}, (dataset.split, clip, expression, reader.lean)
                count += 1
    assert count > 100


def test_the_words_are_of_every_kind():
    """Category, colour, size, place, motion and relation occur, and most objects can be referred to."""
    said, objects, referred = "", 0, 0
    dataset = SynthVS(size=SIZE, difficulty=0.8)
    for clip in range(60):
        sample = dataset[clip]
        objects, referred = objects + len(sample.object_ids()), referred + len(sample.expressions)
        said += "\n".join(line for lines in sample.expressions.values() for line in lines) + "\n"
    assert referred > 0.7 * objects
    words = """animal, vehicle, red, blue, small, largest, on the left, at the bottom, moving to the, standing still,
               coming closer, going away, appearing later, disappearing, behind the, in front of, above"""
    for word in words.split(","):
        assert word.strip() in said, word


def test_look_alikes_need_more_than_their_name():
    dataset, pairs = SynthVS(size=SIZE, difficulty=0.8), 0
    for clip in range(30):
        sample = dataset[clip]
        nouns = list(sample.categories.values())
        for number, lines in sample.expressions.items():
            if nouns.count(sample.categories[number]) > 1:
                assert f"the {sample.categories[number]}" not in lines
                pairs += 1
    assert pairs > 10


def test_expressions_are_the_same_again_and_survive_a_pipe():
    dataset = SynthVS(size=SIZE, num_frames=4)
    again = SynthVS(size=SIZE, num_frames=4)
    for clip in range(5):
        sample = pickle.loads(pickle.dumps(dataset[clip]))
        assert type(sample.expressions) is dict
        assert sample.expressions == dict(again[clip].expressions)


def test_pixels_are_named_as_the_standard_library_has_their_hue():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3000, 3), np.uint8)
    wrong = sum(
        NAMES[number] != name_of(*pixel) for number, pixel in zip(name_pixels(pixels), pixels.tolist(), strict=True)
    )
    assert wrong < 30  # whole degrees against fractions of them


def test_shares_of_colours_add_up():
    scene = SynthVS(size=SIZE).scene(0)
    for thing in scene.things:
        assert sum(shares(thing.look).values()) == pytest.approx(1)


def test_the_page_shows_what_is_there(repository):
    page = (repository / "docs" / "synthvs.md").read_text()
    sample = SynthVS(split="val", size=(240, 427), num_frames=8, seed=0, difficulty=0.5)[44]
    for shown in (sample.categories, sample.stuff, str(tuple(sample.expressions[1][:2]))[:-1]):
        assert str(shown) in page
