"""Drawings in place of photographs: which shape and tone stand for a product without pictures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping

# Each shape of drawings.svg, and the words of names and category paths that it stands for.
_WORDS = {
    "shirt": (
        "shirt tshirt tee top topwear tunic kurta kurti blouse polo sweater sweatshirt jumper "
        "hoodie knitwear apparel clothing fashion women men kids jersey vest shirts base- "
        "layer turtleneck"
    ),
    "jacket": (
        "jacket coat blazer outerwear parka waistcoat raincoat fleece shrug suit tracksuit "
        "robe cardigan overshirt"
    ),
    "trousers": (
        "trouser pant jean legging short bottomwear chino jogger capri tight track loungewear "
        "pyjama pajama churidar"
    ),
    "dress": "dress skirt gown saree sari jumpsuit nightwear nightdress lehenga romper",
    "underwear": "underwear innerwear brief boxer trunk swimwear bikini shapewear",
    "sock": "sock stocking hosiery",
    "cap": "cap hat headwear helmet beanie",
    "tie": "tie cufflink bowtie",
    "scarf": "scarf stole dupatta shawl muffler mufflers glove scarves",
    "shoe": "shoe sneaker trainer footwear boot running loafer oxford",
    "sandal": "sandal flip flop slipper slide flat clog",
    "heel": "heel pump wedge",
    "bag": "bag handbag tote clutch luggage purse trolley duffel messenger",
    "backpack": "backpack rucksack daypack hydration pack",
    "wallet": "wallet passport cardholder",
    "belt": "belt strap suspender",
    "watch": "watch clock smartwatch wearable tracker",
    "glasses": "sunglass eyewear glass spectacle goggle",
    "ring": "ring jewellery jewelry necklace earring bracelet pendant bangle accessory",
    "bottle": (
        "bottle perfume fragrance deodorant mist shampoo oil wine drink lotion cologne syrup "
        "vinegar hydrate flask thermos"
    ),
    "jar": (
        "jar cream skincare skin moisturiser food jam honey pantry preserve spice larder "
        "grocery supplement sauce"
    ),
    "tube": "tube gel sunscreen wash cleanser toothpaste hair beauty hygiene care balm bath body",
    "lipstick": "lipstick lip makeup nail eye kajal foundation mascara polish",
    "phone": "phone cell smartphone mobile case protector tablet handset",
    "laptop": "laptop computer notebook computing keyboard mouse",
    "headphones": "headphone headset earphone earbud audio",
    "speaker": "speaker stereo soundbar amplifier",
    "camera": "camera lens photo tripod",
    "charger": "charger cable battery adapter power electronic electrical",
    "lamp": "lamp light lighting lantern bulb headlamp torch",
    "chair": "chair furniture stool sofa seating bench armchair deckchair home",
    "cushion": (
        "cushion pillow bedding textile throw duvet blanket linen quilt rug curtain decor "
        "furnishing pillowcase kilim runner cover"
    ),
    "mug": "mug cup tea coffee drinkware tumbler",
    "plate": "plate bowl tableware dinnerware dining dish serveware basket",
    "pan": "pan cookware kitchen casserole saucepan skillet bakeware baking braiser oven",
    "knife": "knife santoku",
    "book": "book journal planner",
    "pen": "pen pencil stationery paper office writing art brush",
    "plant": "plant garden gardening pots seed herb flower raised planter mix",
    "ball": "ball sport football basketball fitness gym training yoga mat racket cricket sporting",
    "tent": "tent camping hiking camp sleeping outdoors trekking outdoor",
    "bicycle": "bicycle bike cycling cycle",
    "toy": "toy game puzzle baby play child",
    "tool": (
        "tool hammer drill hardware diy screwdriver workshop trowel dibber weeder saw secateur lopper pruning"
    ),
    "box": "bed crate parcel box storage",
    "towel": "towel bathroom bathrobe",
    "bra": "bra lingerie camisole",
    "table": "table desk",
    "shelf": "shelf bookcase shelve cabinet",
    "turntable": "turntable player record",
    "radio": "radio",
    "kettle": "kettle cafetiere cafetière dripper teapot grinder mill",
    "candle": "candle",
    "compass": "compass navigation",
    "stove": "stove grill burner",
    "board": "board block",
    "spoon": "spoon utensil ladle spatula whisk cutlery",
    "can": "can watering hose sprinkler",
    "birdhouse": "birdhouse feeder bird",
}
SHAPES = {word: shape for shape, words in _WORDS.items() for word in words.split()}
UNKNOWN = "box"
# A book's title says nothing of how the book looks.
TITLED = frozenset({"book"})

# Words of colours, and the tone of the stylesheet that each is drawn in.
_COLOURS = {
    "ink": "black charcoal onyx jet",
    "stone": "grey gray zinc smoke stone silver steel metallic slate gunmetal graphite ash",
    "chalk": "white clear off ivory cream ecru pearl natural",
    "sand": "beige clay tan khaki nude skin taupe camel oat linen oatmeal sand",
    "bark": "brown tobacco bronze copper rust coffee mushroom chocolate walnut oak rust mocha chestnut",
    "brick": "red maroon burgundy terracotta crimson brick",
    "amber": "orange peach coral apricot",
    "honey": "yellow ochre gold mustard honey amber lemon",
    "moss": "green olive lime sage forest moss",
    "lagoon": "teal turquoise sea mint aqua",
    "sky": "blue sky denim cobalt",
    "navy": "navy indigo midnight",
    "plum": "purple lavender mauve magenta violet plum lilac",
    "rose": "pink rose blush fluorescent",
}
TONES = {word: tone for tone, words in _COLOURS.items() for word in words.split()}
FALLBACK = ("moss", "sky", "brick", "honey", "plum", "lagoon", "bark", "sand", "rose", "amber")
COLOUR_KEYS = frozenset({"color", "colour", "base colour", "shade"})
FRAMES = 4


def shape_of(category_path: str, name: str = "") -> str:
    """Return the shape of a product: by the last word of its name, else by the last known word of its path."""
    by_path = next(filter(None, map(_shape, reversed(re.split(r"\W+", category_path.lower())))), UNKNOWN)
    by_name = _shape(name.lower().rpartition(" ")[2]) if name else None
    return by_path if by_name is None or by_path in TITLED else by_name


def _shape(word: str) -> str | None:
    forms = (word, word.removesuffix("s"), word.removesuffix("es"), f"{word.removesuffix('ies')}y")
    return next((SHAPES[form] for form in forms if form in SHAPES), None)


def tone_of(attributes: Mapping[str, object], name: str) -> str:
    """Return the tone of the product's colour, or one that its name always gets."""
    for key, value in attributes.items():
        if key.lower() in COLOUR_KEYS:
            known = [TONES[word] for word in re.findall(r"[a-z]+", str(value).lower()) if word in TONES]
            if known:
                return known[-1]
    return FALLBACK[crc32(name.encode()) % len(FALLBACK)]
