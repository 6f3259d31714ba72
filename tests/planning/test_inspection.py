"""What `data check` says of a data set."""

import json
import shutil

import open_clip
import pytest
from transformers import CLIPTokenizer

from fashion_sweep.config.loading import load_preset
from fashion_sweep.models.caption_lengths import find_tokenizers
from fashion_sweep.planning.inspection import check_data, configured
from fashion_sweep.tiny import WEIGHTS
from tests.conftest import write_fashion

LONG = "A very long shirt of cotton, " * 20


@pytest.fixture
def root(tmp_path):
    sizes = {f"{i}.jpg": (60, 90) for i in range(20)} | {"tall.jpg": (50, 100), "wide.jpg": (90, 60)}
    root = write_fashion(tmp_path / "d", sizes)
    shutil.copyfile(root / "images" / "3.jpg", root / "images" / "17.jpg")
    (root / "images" / "5.jpg").write_bytes(b"no image")
    captions = json.loads((root / "captions.json").read_text())
    del captions["6.jpg"]
    (root / "captions.json").write_text(json.dumps(captions | {"7.jpg": LONG, "gone.jpg": "A ghost."}))
    return root


def preset(root, *settings):
    return load_preset("tiny", [f"data.fashion.root={root}", "evaluation.samples=160", *settings])


def test_everything_is_counted(root):
    check, catalogue = check_data("fashion", preset(root))
    assert check.images == 23
    assert check.kept == len(catalogue.records) == 19
    assert check.dropped == {
        "outside the aspect filter": 1,
        "caption without image": 1,
        "image without caption": 1,
        "unreadable or truncated": 1,
    }
    assert (check.sizes["width"].minimum, check.sizes["width"].median, check.sizes["width"].maximum) == (50, 60, 90)
    assert check.sizes["aspect_ratio"].maximum == 1.5
    assert next((s.width, s.height, s.images, s.kept) for s in check.common_sizes) == (60, 90, 18, True)
    assert (90, 60, 1, False) in [(s.width, s.height, s.images, s.kept) for s in check.common_sizes]
    assert check.duplicate_examples == [["17.jpg", "3.jpg"]]
    assert check.duplicate_files == 1
    assert (check.training, check.validation, check.judged) == (18, 1, 19)
    assert check.captions == 22
    assert check.most_repeated_caption[1] == 3


def test_captions_are_measured_with_both_tokenizers_as_the_model_reads_them(root):
    check, catalogue = check_data("fashion", preset(root))
    assert check.tokens is not None
    assert [tokens.tokenizer for tokens in check.tokens] == ["tokenizer", "tokenizer_2"]
    for tokens in check.tokens:
        tokenizer = CLIPTokenizer.from_pretrained(str(WEIGHTS / "base" / tokens.tokenizer))
        lengths = sorted(len(tokenizer(record.caption).input_ids) for record in catalogue.records)
        assert (tokens.shortest, tokens.median, tokens.longest) == (lengths[0], lengths[9], lengths[-1])
        assert (tokens.limit, tokens.cut) == (77, 1)


def test_lengths_are_those_of_clips_vocabulary_where_sdxls_tokenizers_are_not_at_hand(root, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    check, catalogue = check_data("fashion", preset(root, "model.base=stabilityai/stable-diffusion-xl-base-1.0"))
    tokens = open_clip.get_tokenizer("ViT-L-14", context_length=1000)([record.caption for record in catalogue.records])
    longest = int((tokens != 0).sum(dim=1).max())
    assert [(t.tokenizer, t.longest, t.cut) for t in check.tokens] == [
        ("tokenizer", longest, 1),
        ("tokenizer_2", longest, 1),
    ]


def test_tokenizers_are_found_in_the_layout_that_sdxl_is_published_in(tmp_path):
    for name in ("tokenizer", "tokenizer_2"):
        folder = tmp_path / name
        folder.mkdir()
        values = json.loads((WEIGHTS / "base" / name / "tokenizer.json").read_text())["model"]
        (folder / "vocab.json").write_text(json.dumps(values["vocab"]))
        assert find_tokenizers(str(tmp_path)) == []
        (folder / "merges.txt").write_text("#version: 0.2\n")
    assert [folder.name for folder in find_tokenizers(str(tmp_path))] == ["tokenizer", "tokenizer_2"]


def test_the_second_time_nothing_is_read(root, monkeypatch):
    first, _ = check_data("fashion", preset(root))
    assert first.headers_read == 21
    for name in (
        "models.caption_lengths.caption_lengths",
        "data.locations.open_binary",
        "data.images.open_binary",
    ):
        monkeypatch.setattr(f"fashion_sweep.{name}", lambda *arguments: pytest.fail("read again"))
    second, _ = check_data("fashion", preset(root))
    assert second.headers_read == 0
    assert second.tokens == first.tokens
    assert second.duplicate_examples == first.duplicate_examples


def test_a_copy_that_appears_later_is_found(root):
    check_data("fashion", preset(root))
    shutil.copyfile(root / "images" / "3.jpg", root / "images" / "18.jpg")
    assert check_data("fashion", preset(root))[0].duplicate_examples == [["17.jpg", "18.jpg", "3.jpg"]]


def test_general_is_checked_where_it_is_configured():
    assert configured(load_preset("sdxl")) == ["fashion"]
    assert configured(load_preset("sdxl", ["data.general.root=/data/coco"])) == ["fashion", "general"]
    assert configured(load_preset("tiny")) == ["fashion", "general"]
