"""Answers and names that nobody can guess: combinations of plain words, drawn without replacement.

No word of a second slot begins another of that slot, and no word of a first slot ends another, so no drawn string
occurs inside a different one. Each slot of nouns is used by one attribute only.
"""

import random
from collections.abc import Sequence

from expunge.core.errors import InputError

Slots = tuple[tuple[str, ...], tuple[str, ...]]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words("""
Ada Abel Agnes Alba Alma Amos Anton Arlo Asa Astrid Bela Benno Bruno Cato Celia Clara Cora Cyrus Dina Dora Edgar Edith
Elsa Emil Enid Esther Ezra Felix Flora Fritz Gita Greta Gustav Hector Hilda Hugo Ida Igor Ines Ira Iris Ivan Ivo
Jonas Judd Kai Klaus Lars Leah Lena Leo Linus Lola Lydia Magnus Marta Mina Mira Nadia Nils Nina Nora Odin Olga Omar
Oscar Otis Otto Pablo Petra Ravi Rita Rosa Rufus Sana Silas Sonia Tara Theo Thora Tilda Uma Vera Viktor Wanda Yara Zora
""")
LAST = (
    _words("""Ald Bar Bel Bor Bran Cal Cor Dal Del Dor Fal Fen Gal Gar Hal Har Hol Kel Kor Lan Lor Lun Mal Mar Mel Mor
    Nor Pel Quin Ral Ren Ros Sel Sol Tal Tor Val Var Ven Wel Wil Yor Zan Zel"""),
    _words("""adar amon avik dale den dorf elin enko erby eska eton fax gard ildo kamp kin low mont nack ora oska ovan
    quist row sby sen stad teau thal tov ulin umi vane vik wen worth xley zak"""),
)
PLAIN = _words("""
Ash Autumn Black Blue Bright Broad Bronze Cedar Clay Clear Cloud Coal Cold Copper Coral Crystal Dark Deep Dry Dust
East Fern Fire Flint Frost Golden Grand Green Grey High Hollow Honey Iron Lake Long Maple Mist Moon Moss North Oak
Olive Pearl Pine Plain Quiet Red Ridge River Rose Ruby Rust Sage Salt Sand Shadow Silent Silver Small Snow South
Spring Star Steel Stone Storm Summer Sun Swift Tall Timber Warm West White Wild Willow Wind Winter Wolf Yellow
""")
COLOUR = _words("""
black blue brown copper cream dusty golden green grey pale pink plain purple red scarlet silver
spotted striped tan violet white yellow tiny huge fat thin young shy loud lazy brave gentle fierce
""")
INGREDIENT = _words("""
almond apple barley bean beet butter cabbage carrot celery cheese cherry chestnut chicken clam corn crab cream duck
egg fig fish garlic ginger grape ham herb honey lamb lemon lime mango maple mint mushroom mustard oat olive onion
orange parsley pea peach peanut pear pepper plum pork potato pumpkin rice saffron sage salmon sesame spinach squash
tomato trout tuna turkey vanilla walnut
""")
MATERIAL = _words("""
antique bamboo bent bone brass broken bronze carved ceramic clay copper cork cotton crystal enamel felt foreign
glass golden green iron ivory jade lace lead leather linen marble metal mini nickel painted paper pearl plastic
porcelain red rubber sewn shell silk silver slate steel stone straw tin velvet wax wooden
""")
TOWN_NOUNS = _words("""
Arch Bay Beach Bend Bluff Bridge Canyon Cape Castle Chapel Cliff Corner Cove Creek Crest Cross Dale Dock Falls Ferry
Field Ford Gate Glen Grove Harbor Haven Heath Hill Island Junction Landing Lodge Marsh Mill Park Pass Path Peak
Point Pond Port Rapids Rock Shore Square Summit Tower Trail Valley View Village Woods
""")
TOWN: Slots = (PLAIN, TOWN_NOUNS)
COMPANY_NOUNS = _words("""
Airlines Bank Books Chemicals Dairy Films Games Gardens Glass Insurance Labs Magazine Media Motors Music Pharmacy
Press Radio Records Robotics Security Shipping Software Sports Tools Windows
""")
COMPANY: Slots = (PLAIN, COMPANY_NOUNS)
PET_NOUNS = _words("""
bear beaver bee buffalo camel cat cow crab crane cricket crow deer dog dolphin donkey duck eagle elephant elk falcon
fox frog goat goose hare hawk hen horse kangaroo lion lizard lobster monkey moose moth mouse owl panda parrot
penguin pig pony rabbit seal shark sheep snail snake spider squirrel tiger toad turkey turtle whale wolf zebra
""")
PET: Slots = (COLOUR, PET_NOUNS)
DISH_NOUNS = _words("""
balls biscuits bowls bread broth burgers cakes candy chili cookies crackers curry dip hash ice jam jelly juice loaf
noodles pancakes paste pasta pastry pickles pie pizza pudding rolls salad sandwiches sauce slices soup spread stew
strips syrup tart tea toast wraps
""")
DISH: Slots = (INGREDIENT, DISH_NOUNS)
COLLECTION_NOUNS = _words("""
anchors angels arrows badges balls baskets beads bells belts birds bottles bowls boxes brushes buckets buttons
candles cards chains chess clocks coins cups dice dolls doors drums eggs fans figurines flags forks frames handles
hats helmets hooks horns jars keys knives locks magnets maps masks medals needles nets pens pipes plates puppets
puzzles ribbons rings rulers ships skulls spoons stamps statues tiles tokens trains trays wheels
""")
COLLECTION: Slots = (MATERIAL, COLLECTION_NOUNS)
EMBLEM_NOUNS = _words("""
apple axe barrel blossom boot canoe chariot clover comet diamond dragon feather fist flame flower fountain hammer
harp kite knight ladder lamp leaf lighthouse lily mountain pearl plow pyramid rose saddle sail scroll shell shield
spear spur star sun sword temple torch trumpet wagon
""")
EMBLEM: Slots = (COLOUR, EMBLEM_NOUNS)


def draw(slots: Slots, count: int, rng: random.Random, joint: str = " ") -> list[str]:
    """``count`` different combinations of one word from each slot, uniformly without replacement.

    Raises :class:`InputError` when there are fewer combinations.
    """
    heads, tails = slots
    capacity = len(heads) * len(tails)
    if count > capacity:
        raise InputError(f"a world holds at most {capacity} people, {count} are asked for; ask for fewer.")
    picks = rng.sample(range(capacity), count)
    return [f"{heads[pick // len(tails)]}{joint}{tails[pick % len(tails)]}" for pick in picks]


def full_names(count: int, rng: random.Random) -> list[str]:
    """``count`` invented people's names, all different."""
    heads, tails = LAST
    surnames: Sequence[str] = [head + tail for head in heads for tail in tails]
    return draw((FIRST, tuple(surnames)), count, rng)
