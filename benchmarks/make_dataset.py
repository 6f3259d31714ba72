"""Data sets of the study's true size and layout, with plain generated content: to time what reads them.

    python benchmarks/make_dataset.py fashion /tmp/deepfashion            # 44,096 JPEGs of 750x1101, one caption each
    python benchmarks/make_dataset.py coco /tmp/coco2014                  # 82,783 JPEGs, 414,113 captions
    python benchmarks/make_dataset.py fashion /tmp/small --count 11024

Image i depends on i alone. Flat shapes at JPEG quality 30 keep the files small: about 15 kB, less than a photograph's.
"""

import argparse
import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

FASHION_IMAGES = 44_096
COCO_IMAGES, COCO_CAPTIONS = 82_783, 414_113
QUALITY = 30
FASHION_SIZE = (750, 1101)
COCO_SIZES = [*[(640, 480)] * 3, *[(640, 427)] * 2, *[(480, 640)] * 2, (640, 426), (500, 375), (427, 640)]

CLOTHES = ("shirt", "T-shirt", "tank top", "sweater", "dress", "skirt", "pair of trousers", "denim jacket")
FABRICS = ("cotton", "chiffon", "denim", "knitting", "leather", "furry")
PATTERNS = ("solid color", "pure color", "graphic", "floral", "striped", "color block", "plaid", "lattice")
NECKLINES = ("round", "v-shape", "lapel", "suspenders", "square", "stand")
SLEEVES = ("long", "medium", "short", "no")
EXTRAS = (
    "This person also wears an outer clothing, with {fabric} fabric and {pattern} patterns.",
    "There is an accessory on the wrist.",
    "There is a ring on the finger, and a belt around the waist.",
    "The neckline of the outer clothing is {neckline}, and the skirt is of {fabric} fabric with {pattern} patterns.",
    "The person wears socks and a pair of shoes, and a hat in the head that goes with the colour of the {clothes}.",
)


def caption(index: int) -> str:
    draw = random.Random(f"caption/{index}")

    def words() -> dict[str, str]:
        return {
            "clothes": draw.choice(CLOTHES),
            "fabric": draw.choice(FABRICS),
            "pattern": draw.choice(PATTERNS),
            "neckline": draw.choice(NECKLINES),
        }

    first = (
        "The {clothes} this person wears has {sleeves} sleeves and it is with {fabric} fabric and {pattern} "
        "patterns. The neckline of it is {neckline}."
    ).format(sleeves=draw.choice(SLEEVES), **words())
    extras = draw.sample(EXTRAS, draw.randrange(len(EXTRAS)))
    return " ".join([first, *(extra.format(**words()) for extra in extras)])


def picture(index: int, size: tuple[int, int]) -> Image.Image:
    """A figure of rectangles before a wall."""
    draw, (width, height) = random.Random(f"picture/{index}"), size

    def colour() -> tuple[int, int, int]:
        return draw.randrange(256), draw.randrange(256), draw.randrange(256)

    image = Image.new("RGB", size, colour())
    canvas = ImageDraw.Draw(image)
    middle, half = draw.randrange(width // 3, 2 * width // 3), draw.randrange(width // 12, width // 5)
    waist = draw.randrange(height // 3, 2 * height // 3)
    canvas.rectangle([middle - half, height // 5, middle + half, waist], fill=colour())
    canvas.rectangle([middle - half, waist, middle + half, height * 19 // 20], fill=colour())
    canvas.ellipse([middle - half // 2, height // 12, middle + half // 2, height // 5], fill=colour())
    for _ in range(draw.randrange(1, 6)):
        y = draw.randrange(height // 5, height)
        canvas.rectangle([middle - half, y, middle + half, y + height // 60], fill=colour())
    return image


def write_fashion(root: Path, count: int) -> None:
    folder = root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    for index in range(count):
        kind = ("MEN-Denim", "WOMEN-Dresses", "WOMEN-Tees_Tanks", "MEN-Sweaters")[index % 4]
        name = f"{kind}-id_{index // 6:08d}-{1 + index % 6:02d}_{1 + index % 7}_front.jpg"
        captions[name] = caption(index)
        _write(folder / name, index, FASHION_SIZE)
    (root / "captions.json").write_text(json.dumps(captions), encoding="utf-8")


def write_coco(root: Path, count: int) -> None:
    """With the fields that the published file has, since they are what makes it large."""
    folder = root / "train2014"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    captions = COCO_CAPTIONS * count // COCO_IMAGES
    for index in range(count):
        size, name = COCO_SIZES[index % 10], f"COCO_train2014_{7 * index + 9:012d}.jpg"
        _write(folder / name, index, size)
        images.append(
            {
                "license": 1 + index % 8,
                "file_name": name,
                "coco_url": f"http://images.cocodataset.org/train2014/{name}",
                "height": size[1],
                "width": size[0],
                "date_captured": "2013-11-14 16:28:13",
                "flickr_url": f"http://farm8.staticflickr.com/7187/{index:010d}_f2d82f2a28_z.jpg",
                "id": 7 * index + 9,
            }
        )
    for number in range(captions):
        image_id = 7 * (number % count) + 9
        annotations.append(
            {"image_id": image_id, "id": number + 37, "caption": f"Number {number}: {caption(number)}"[:60]}
        )
    index = {"info": {"year": 2014}, "images": images, "licenses": [], "annotations": annotations}
    (root / "annotations" / "captions_train2014.json").write_text(json.dumps(index), encoding="utf-8")


def _write(path: Path, index: int, size: tuple[int, int]) -> None:
    if not path.exists():
        picture(index, size).save(path, quality=QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["fashion", "coco"])
    parser.add_argument("root", type=Path)
    parser.add_argument("--count", type=int)
    chosen = parser.parse_args()
    if chosen.kind == "fashion":
        write_fashion(chosen.root, chosen.count or FASHION_IMAGES)
    else:
        write_coco(chosen.root, chosen.count or COCO_IMAGES)


if __name__ == "__main__":
    main()
