"""What a caption names is read back, and what the renderer painted is seen."""

import pytest
import torch
from torchvision.transforms.functional import pil_to_tensor

from fashion_sweep.tiny import READER
from fashion_sweep.tiny.attributes import ATTRIBUTES, HEADS, named, worn
from fashion_sweep.tiny.figure import FLAWS
from fashion_sweep.tiny.pictures import fashion_picture, figure_picture, general_picture
from fashion_sweep.tiny.reader import ReaderNetwork, answers


@pytest.mark.parametrize("draw", [fashion_picture, general_picture])
def test_a_caption_with_every_attribute_tells_what_the_figure_wears(draw):
    pictures = [p for p in (draw(11, index) for index in range(400)) if p.outfit]
    assert len(pictures) > 150
    for picture in pictures:
        assert named(picture.captions[0]) == worn(picture.outfit), picture.captions[0]


def test_a_caption_names_only_what_it_says():
    assert named("A woman in a red shirt and long blue trousers.") == {
        "person": "woman",
        "garment": "shirt",
        "color": "red",
    }
    assert named(
        "His T-shirt has short sleeves, cotton fabric and solid color patterns. The neckline of it is round."
    ) == {
        "person": "man",
        "garment": "T-shirt",
        "sleeves": "short",
        "pattern": "pure color",
        "neckline": "round",
    }
    assert named("The dress this lady wears has no sleeves. This lady wears a blue hat.") == {
        "person": "woman",
        "garment": "dress",
        "sleeves": "no",
    }
    assert named("A gray cat lays in a bathroom sink.") == {}


@pytest.fixture(scope="module")
def reader():
    return ReaderNetwork(READER, torch.device("cpu"))


def read(reader, pictures):
    pictures = [picture.image.resize((48, 64)) for picture in pictures if picture.image.height > picture.image.width]
    return answers(reader.image_features(torch.stack([pil_to_tensor(picture) for picture in pictures])))


def test_the_reader_sees_what_was_painted(reader):
    pictures = [p for p in (fashion_picture(12, index) for index in range(300)) if p.image.width < 120]
    found, right = read(reader, pictures), {}
    for name, values in ATTRIBUTES.items():
        wanted = torch.tensor([values.index(worn(picture.outfit)[name]) for picture in pictures])
        right[name] = float((found[name] == wanted).float().mean())
    assert min(right.values()) > 0.85, right
    assert float(found["whole"].float().mean()) > 0.95


def test_the_reader_tells_whole_figures_from_those_that_lack_something(reader):
    rendered = [figure_picture(13, index) for index in range(400)]
    portraits = [(picture, whole) for picture, whole in rendered if picture.image.width < 120]
    found = read(reader, [picture for picture, _ in portraits])["whole"].bool()
    wanted = torch.tensor([whole for _, whole in portraits])
    assert 0.2 < float((~wanted).float().mean()) < 0.4
    assert float((found == wanted).float().mean()) > 0.95


def test_pictures_of_another_size_are_read_too(reader):
    picture = next(p for p in (fashion_picture(12, index) for index in range(9)) if p.image.width < 120)
    small = picture.image.resize((48, 64))
    large = small.resize((96, 128))
    both = [reader.image_features(pil_to_tensor(one)[None]) for one in (small, large)]
    assert answers(both[0]) == answers(both[1])
    assert both[0].shape == (1, sum(HEADS.values()))


def test_each_flaw_is_one_that_can_be_seen():
    assert set(FLAWS) == {"no head", "one leg", "other leg", "no legs"}
