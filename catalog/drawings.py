"""Drawings in place of photographs: which shape and tone stand for a product without pictures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping

# Each shape of drawings.svg, and the words of category paths that it stands for.
_WORDS = {
    "shirt": (
        "shirt tshirt tee top topwear tunic kurta kurti blouse polo sweater sweatshirt jumper "
        "hoodie knitwear apparel clothing fashion women men kids jersey vest camisole shirts base- "
        "layer"
    ),
    "jacket": (
        "jacket coat blazer outerwear cardigan parka waistcoat raincoat fleece shrug suit tracksuit robe"
    ),
    "trousers": (
        "trouser pant jean legging short bottomwear chino jogger capri tight track loungewear "
        "pyjama pajama churidar"
    ),
    "dress": "dress skirt gown saree sari jumpsuit nightwear nightdress lehenga romper",
    "underwear": "underwear innerwear brief boxer trunk bra lingerie swimwear bikini shapewear",
    "sock": "sock stocking hosiery",
    "cap": "cap hat beanie headwear helmet",
    "tie": "tie cufflink bowtie",
    "scarf": "scarf stole dupatta shawl muffler mufflers glove",
    "shoe": "shoe sneaker trainer footwear boot running loafer oxford",
    "sandal": "sandal flip flop slipper slide flat clog",
    "heel": "heel pump wedge",
    "bag": "bag handbag tote clutch luggage purse trolley duffel messenger",
    "backpack": "backpack rucksack daypack hydration",
    "wallet": "wallet passport cardholder",
    "belt": "belt strap suspender",
    "watch": "watch clock smartwatch wearable tracker",
    "glasses": "sunglass eyewear glass spectacle goggle",
    "ring": "ring jewellery jewelry necklace earring bracelet pendant bangle accessory",
    "bottle": (
        "bottle perfume fragrance deodorant mist shampoo oil wine drink lotion cologne syrup vinegar hydrate"
    ),
    "jar": (
        "jar cream skincare skin moisturiser food jam honey pantry preserve spice candle larder "
        "grocery supplement sauce"
    ),
    "tube": "tube gel sunscreen wash cleanser toothpaste hair beauty hygiene care balm bath body",
    "lipstick": "lipstick lip makeup nail eye kajal foundation mascara polish",
    "phone": "phone cell smartphone mobile case protector tablet handset",
    "laptop": "laptop computer notebook monitor computing keyboard mouse",
    "headphones": "headphone headset earphone earbud audio",
    "speaker": "speaker stereo radio soundbar amplifier turntable",
    "camera": "camera lens photo tripod",
    "charger": "charger cable battery adapter power electronic electrical",
    "lamp": "lamp light lighting lantern bulb torch",
    "chair": "chair furniture stool sofa table seating desk bench shelf",
    "cushion": (
        "cushion pillow bedding bed textile throw duvet blanket linen quilt rug curtain decor furnishing"
    ),
    "mug": "mug cup teapot tea coffee drinkware kettle tumbler",
    "plate": "plate bowl tableware dinnerware dining dish serveware",
    "pan": "pan pot cookware kitchen casserole saucepan skillet bakeware home baking",
    "knife": "knife cutlery utensil",
    "book": "book journal planner",
    "pen": "pen pencil stationery paper office writing art brush",
    "plant": "plant garden outdoor gardening pot planter seed herb flower",
    "ball": "ball sport football basketball fitness gym training yoga mat racket cricket sporting",
    "tent": "tent camping hiking camp sleeping outdoors trekking",
    "bicycle": "bicycle bike cycling cycle",
    "toy": "toy game puzzle baby block play child",
    "tool": "tool hammer drill hardware diy screwdriver workshop",
    "towel": "towel bathroom bathrobe",
}
SHAPES = {word: shape for shape, words in _WORDS.items() for word in words.split()}
UNKNOWN = "box"

# Words of colours, and the tone of the stylesheet that each is drawn in.
_COLOURS = {
    "ink": "black charcoal onyx jet",
    "stone": "grey gray silver steel metallic slate gunmetal graphite ash",
    "chalk": "white off ivory cream ecru pearl natural",
    "sand": "beige tan khaki nude skin taupe camel oat linen oatmeal sand",
    "bark": "brown bronze copper coffee mushroom chocolate walnut oak rust mocha chestnut",
    "brick": "red maroon burgundy terracotta crimson brick",
    "amber": "orange peach coral apricot",
    "honey": "yellow gold mustard honey amber lemon",
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


def shape_of(category_path: str) -> str:
    """Return the shape for a category, by the last word of its path that one is known for."""
    for word in reversed(re.split(r"[^a-z]+", category_path.lower())):
        for form in (word, word.removesuffix("s"), word.removesuffix("es"), f"{word.removesuffix('ies')}y"):
            if form in SHAPES:
                return SHAPES[form]
    return UNKNOWN


def tone_of(attributes: Mapping[str, object], name: str) -> str:
    """Return the tone of the product's colour, or one that its name always gets."""
    for key, value in attributes.items():
        if key.lower() in COLOUR_KEYS:
            known = [TONES[word] for word in re.findall(r"[a-z]+", str(value).lower()) if word in TONES]
            if known:
                return known[-1]
    return FALLBACK[crc32(name.encode()) % len(FALLBACK)]
