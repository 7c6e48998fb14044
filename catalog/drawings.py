"""Drawings for products without pictures: which shape and colour tone the shop draws."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping

# For each shape in drawings.svg, the words of product names and category paths that it is drawn for.
_SHAPE_WORDS = {
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
SHAPES = {word: shape for shape, words in _SHAPE_WORDS.items() for word in words.split()}
DEFAULT_SHAPE = "box"
# Shapes of products whose names do not tell how they look, such as the title of a book.
SHAPES_BY_PATH_ONLY = frozenset({"book"})

# For each tone in shop.css, the words of colours that it is drawn for.
_TONE_WORDS = {
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
TONES = {word: tone for tone, words in _TONE_WORDS.items() for word in words.split()}
FALLBACK_TONES = ("moss", "sky", "brick", "honey", "plum", "lagoon", "bark", "sand", "rose", "amber")
COLOUR_ATTRIBUTES = frozenset({"color", "colour", "base colour", "shade"})
FRAMES = 4  # ways to place a shape in the picture, see _drawing.html


def shape_of(category_path: str, name: str = "") -> str:
    """Return the shape for the last word of the name, else for the last known word of the category's URL path."""
    words = reversed(re.split(r"\W+", category_path.lower()))
    shape_by_path = next(filter(None, map(_shape_of_word, words)), DEFAULT_SHAPE)
    shape_by_name = _shape_of_word(name.lower().rpartition(" ")[2]) if name else None
    return shape_by_path if shape_by_name is None or shape_by_path in SHAPES_BY_PATH_ONLY else shape_by_name


def _shape_of_word(word: str) -> str | None:
    forms = (word, word.removesuffix("s"), word.removesuffix("es"), f"{word.removesuffix('ies')}y")
    return next((SHAPES[form] for form in forms if form in SHAPES), None)


def tone_of(attributes: Mapping[str, object], name: str) -> str:
    """Return the tone of the last known colour in the attributes, else a tone that is always the same for the name."""
    for key, value in attributes.items():
        if key.lower() in COLOUR_ATTRIBUTES:
            words = re.findall(r"[a-z]+", str(value).lower())
            tones = [TONES[word] for word in words if word in TONES]
            if tones:
                return tones[-1]
    return FALLBACK_TONES[crc32(name.encode()) % len(FALLBACK_TONES)]
