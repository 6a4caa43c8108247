"""The words of SynthVS: what its things and its stuff are called, and which words may mean one another.

Names of classes are nouns (of sprites) and names of stuff; `SYNTHVS` lists them in a fixed order. The tables below them
serve the referring expressions, which must not be open to doubt: a wolf's head is neither surely an animal nor surely
none, and whoever says "the boat" may mean a sailboat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from univs.data.synth.sprites import all_sprites
from univs.data.synth.stuff import STUFF


@dataclass(frozen=True)
class Vocabulary:
    """Names of the classes of a labelled world; a class number is a place in `names`."""

    things: tuple[str, ...]
    stuff: tuple[str, ...]
    unseen: frozenset[str]  # things that never occur in training
    groups: dict[str, str]  # thing -> the group it belongs to, such as "birds"

    @property
    def names(self) -> tuple[str, ...]:
        """All classes, things first."""
        return self.things + self.stuff


@cache
def vocabulary() -> Vocabulary:
    """The classes of SynthVS: 361 things in 30 groups and 24 kinds of stuff."""
    sprites = all_sprites()
    return Vocabulary(
        things=tuple(sprite.noun for sprite in sprites),
        stuff=tuple(stuff.name for stuff in STUFF),
        unseen=frozenset(sprite.noun for sprite in sprites if sprite.unseen),
        groups={sprite.noun: sprite.group for sprite in sprites},
    )


def spoken(noun: str) -> str:
    """The noun as an expression says it: without a colour of its own, which a tinted thing need not have."""
    return "book" if noun.endswith(" book") else noun


def may_mean(word: str, noun: str) -> bool:
    """Whether somebody who says `word` might mean a thing of this noun that goes by another name."""
    said, other = set(word.split()), set(noun.split())
    return said <= other or other <= said or any(word in names and noun in names for names in ALIKE)


@dataclass(frozen=True)
class Kind:
    """A word for many nouns. `groups` are surely of the kind, `doubtful` groups and nouns may or may not be."""

    groups: frozenset[str]
    doubtful: frozenset[str]

    def holds(self, noun: str) -> bool | None:
        """Whether a thing of this noun is of the kind; None where that is open to doubt."""
        group = vocabulary().groups[noun]
        if noun in self.doubtful or group in self.doubtful:
            return None
        return group in self.groups


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(","))


KINDS: dict[str, Kind] = {
    "animal": Kind(
        _names("farm animals, large mammals, small mammals, birds, sea animals, reptiles, insects"),
        _names("animal heads, people, toys, drumstick, sushi"),
    ),
    "person": Kind(_names("people"), _names("toys, gorilla, monkey")),
    "vehicle": Kind(
        _names("cars, trains and aircraft, ships"),
        _names("light vehicles, satellite, parachute, rocket, flying saucer, anchor, ring buoy, cable car, jockey, "
               "cyclist, mountain biker, carousel horse, balloon"),
    ),
    "fruit": Kind(_names("fruit"), _names("vegetables, maple leaf, pumpkin lantern")),
}  # fmt: skip

# Within a set any noun might be said for any other.
ALIKE: tuple[frozenset[str], ...] = tuple(
    map(
        _names,
        (
            "dog, poodle, wolf head, fox head",
            "cat, tiger, leopard, lion head",
            "cow, ox, bison, ram, sheep, goat",
            "pig, hippopotamus, rhinoceros",
            "horse, jockey, carousel horse, unicorn head, zebra",
            "elephant, mammoth",
            "camel, dromedary, llama, giraffe, deer, kangaroo",
            "gorilla, monkey",
            "rabbit, mouse, hamster head, chipmunk, beaver, otter, badger, skunk, raccoon head, hedgehog",
            "bird, eagle, duck, owl, parrot, peacock, dove, turkey, flamingo, swan, rooster, chick, penguin",
            "whale, dolphin, shark, fish, tropical fish, blowfish, seal",
            "octopus, squid",
            "crab, lobster, scorpion",
            "crocodile, lizard, dragon, sauropod, tyrannosaur, turtle",
            "ladybird, beetle, cockroach, ant, spider, mosquito, bee, butterfly",
            "snail, caterpillar, snake",
            "bear head, panda head, koala head, teddy bear, sloth, badger",
            "runner, dancer, walker, dancing man, guard, wizard, ninja, fencer, skier, sitting person, jockey, "
            "cyclist, mountain biker",
            "car, taxi, police car, racing car, minibus, pickup truck, recreational vehicle, bus, ambulance, "
            "delivery truck, lorry, fire engine, tractor, auto rickshaw",
            "bicycle, cyclist, mountain biker, motorcycle, motor scooter, kick scooter, auto rickshaw",
            "skateboard, roller skate, ice skate, sled",
            "wheelchair, chair, seat, couch",
            "shopping cart, wheelchair",
            "locomotive, tram, railway car, high-speed train, cable car, bus",
            "helicopter, small airplane, airplane, rocket, flying saucer, satellite",
            "parachute, balloon, umbrella, kite",
            "sailboat, ship, speedboat, motor boat, canoe, passenger ship",
            "ring buoy, doughnut, bagel, ring",
            "apple, peach, mango, tomato, tangerine, cherries, pear, kiwi, coconut, watermelon, lemon",
            "carrot, maize, hot pepper, bell pepper, cucumber, aubergine, avocado, potato, onion, garlic, lettuce, "
            "broccoli",
            "bread, baguette, croissant, pretzel, bagel, sandwich",
            "cookie, pancakes, pie, doughnut, pizza slice",
            "cupcake, birthday cake, cake slice, pie, ice cream cone",
            "hamburger, sandwich, hot dog, taco, burrito",
            "sushi, bento box, noodle bowl, frying pan",
            "beer mug, coffee cup, paper cup, milk glass, juice box, wine glass, teapot, bubble tea",
            "lollipop, candy, chocolate bar",
            "honey pot, amphora, bucket, teapot",
            "football, baseball, basketball, american football, volleyball, billiard ball, yarn ball, mirror ball, "
            "crystal ball, globe, softball, yo-yo",
            "tennis racket, table tennis bat, badminton racket",
            "flying disc, flying saucer, target, curling stone",
            "guitar, violin, banjo",
            "trumpet, saxophone",
            "drum, long drum",
            "hammer, axe, pickaxe, wrench, screwdriver, saw",
            "toolbox, briefcase, suitcase, handbag, backpack, purse, gift, parcel, bento box, file cabinet",
            "bucket, wastebasket",
            "torch, candle, light bulb, microphone",
            "bed, couch",
            "toilet, bathtub, seat",
            "door, window, mirror",
            "mantel clock, alarm clock",
            "t-shirt, dress, kimono, coat",
            "jeans, shorts",
            "socks, gloves, boxing glove, boot",
            "cap, top hat, crown",
            "sports shoe, high heel, boot, hiking boot, sandal, ice skate, roller skate",
            "evergreen tree, tree, palm tree, potted plant, cactus",
            "tulip, sunflower, rose, bouquet, hibiscus, lotus, potted plant, maple leaf",
            "nesting doll, snowman, teddy bear, pinata, robot head",
            "pumpkin lantern, torch, candle",
            "camera, film camera, film projector, radio",
            "television, laptop, mobile phone, telephone, radio, printer",
            "game pad, joystick",
            "house, castle, church, hut",
            "tent, circus tent, hut",
            "traffic light, stop sign",
            "red book, blue book, green book, books, book",
            "envelope, scroll, parcel",
            "gem stone, ring, die",
            "money bag, purse, handbag",
            "postbox, fuel pump",
        ),
    )
)
