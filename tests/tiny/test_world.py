"""The embedded data sets are in the layouts of the real ones."""

import json

from PIL import Image

from fashion_sweep.tiny.world import write_fashion, write_general


def test_fashion_has_the_layout_of_deepfashion_and_files_on_both_sides_of_the_filter(tmp_path):
    write_fashion(tmp_path / "fashion", count=60, seed=0)
    captions = json.loads((tmp_path / "fashion" / "captions.json").read_text())
    files = sorted(path.name for path in (tmp_path / "fashion" / "images").iterdir())
    assert sorted(captions) == files
    assert len(files) == 60
    assert all(name.startswith(("MEN-", "WOMEN-")) and name.endswith(".jpg") for name in files)
    sizes = [Image.open(tmp_path / "fashion" / "images" / name).size for name in files]
    too_wide = sum(width / height > 0.74 for width, height in sizes)
    assert 0 < too_wide < 20


def test_general_has_the_layout_of_coco_and_files_on_both_sides_of_the_filter(tmp_path):
    write_general(tmp_path / "general", count=60, seed=0)
    index = json.loads((tmp_path / "general" / "annotations" / "captions_train2014.json").read_text())
    assert len(index["images"]) == 60
    assert len(index["annotations"]) == 300
    for image in index["images"]:
        with Image.open(tmp_path / "general" / "train2014" / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"])
    wide = sum(image["width"] / image["height"] >= 1.33 for image in index["images"])
    assert 15 < wide < 60


def test_what_is_there_is_left_alone_and_another_seed_replaces_it(tmp_path):
    root = tmp_path / "fashion"
    write_fashion(root, count=3, seed=0)
    before = {path.name: path.stat().st_mtime_ns for path in (root / "images").iterdir()}
    write_fashion(root, count=3, seed=0)
    assert {path.name: path.stat().st_mtime_ns for path in (root / "images").iterdir()} == before
    write_fashion(root, count=3, seed=1)
    assert {path.name for path in (root / "images").iterdir()} != before.keys() or len(before) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["fashion"]


def test_several_workers_write_what_one_writes(tmp_path):
    write_fashion(tmp_path / "one", count=60, seed=2)
    write_fashion(tmp_path / "two", count=60, seed=2, workers=2)
    for path in (tmp_path / "one" / "images").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / "images" / path.name).read_bytes()
