"""How a person may ask for what a data set calls by one name."""

from __future__ import annotations

import numpy as np

FRAMES = ("{}", "a {}", "the {}", "a photo of a {}", "the {} in the picture", "that {}")

OTHER_NAMES = {
    "person": "man, woman, boy, girl, child, kid, people, human, somebody, player, rider, pedestrian, athlete, worker, "
    "skater, skier, surfer, cyclist, runner, dancer, guy, lady, baby, driver, spectator, player with a ball, "
    "man in a shirt, woman in a dress, person walking, person standing, person sitting, man on the street",
    "bicycle": "bike, cycle",
    "motorcycle": "motorbike, scooter, moped, bike",
    "car": "vehicle, automobile, taxi, sedan, parked car, moving car",
    "truck": "lorry, pickup, van, vehicle",
    "bus": "coach, vehicle",
    "airplane": "plane, aircraft, jet",
    "boat": "ship, vessel, sailing boat, canoe",
    "train": "locomotive, railway train, tram",
    "dog": "puppy, hound, animal, pet",
    "cat": "kitten, kitty, animal, pet",
    "horse": "pony, stallion, foal, animal",
    "cow": "cattle, calf, bull, ox, animal",
    "sheep": "lamb, ram, goat, animal",
    "bird": "duck, swan, gull, pigeon, parrot, animal",
    "bear": "animal, grizzly",
    "elephant": "animal",
    "tennis racket": "racket, racquet, tennis bat",
    "sports ball": "ball, football, tennis ball, basketball, soccer ball",
    "skateboard": "board, longboard",
    "surfboard": "board",
    "couch": "sofa, settee",
    "chair": "seat, armchair, stool",
    "dining table": "table, desk",
    "table": "desk",
    "tv": "television, screen, monitor",
    "cell phone": "mobile phone, phone, smartphone",
    "potted plant": "plant, house plant, flower pot",
    "cup": "mug, coffee cup",
    "wine glass": "glass",
    "backpack": "rucksack, bag",
    "handbag": "bag, purse",
    "suitcase": "luggage, bag",
    "donut": "doughnut, pastry",
    "refrigerator": "fridge",
    "tree": "trees, bush, forest, branches, leaves",
    "grass": "lawn, meadow, field, turf",
    "road": "street, asphalt, track",
    "sky": "clouds, blue sky",
    "sea": "ocean, water, waves",
    "river": "stream, water",
    "building": "house, tower, skyscraper",
    "house": "building, home, hut",
    "sidewalk": "footpath, walkway, pavement",
    "wall": "brick wall, stone wall",
    "floor": "ground",
    "snow": "snowy ground, ice",
    "sand": "beach",
    "mountain": "hill, rock",
    "fence": "railing, barrier",
    "bicyclist": "cyclist, rider",
}
"""A name -> what else may be meant by it, at times more or less than the name says."""

_OTHERS = {name: tuple(other.strip() for other in others.split(",")) for name, others in OTHER_NAMES.items()}


def phrase(name: str, rng: np.random.Generator) -> str:
    """A way to ask for a thing or stuff of that name."""
    others = _OTHERS.get(name, ())
    noun = others[int(rng.integers(len(others)))] if others and rng.random() < 0.4 else name
    return FRAMES[int(rng.integers(len(FRAMES)))].format(noun)


def may_mean(first: str, second: str) -> bool:
    """Whether what is called by one name may be asked for by a phrase for the other."""
    names = {first, second}
    return (
        first == second
        or bool(names & {*_OTHERS.get(first, ()), *_OTHERS.get(second, ())})
        or bool({*_OTHERS.get(first, ())} & {*_OTHERS.get(second, ())})
    )
