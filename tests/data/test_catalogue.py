import json
import re

import pytest
from PIL import Image

from fashion_sweep.config.data_source import DataSource, Size
from fashion_sweep.data import images, index
from fashion_sweep.data.catalogue import check_tolerable, load_catalogue, read_catalogue, write_catalogue
from fashion_sweep.data.layouts import coco, deepfashion
from fashion_sweep.errors import DataError
from tests.conftest import noise_image, write_fashion

SIZE = Size(height=64, width=48, shorter_side=48)


def source(**bounds):
    return DataSource(layout="deepfashion", **bounds)


def test_the_aspect_filter_keeps_its_bound_and_drops_beyond_it(tmp_path):
    root = write_fashion(tmp_path / "d", {"a.jpg": (69, 100), "b.jpg": (70, 100), "c.jpg": (50, 100)})
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source(max_aspect_ratio=0.69))
    assert [record.name for record in catalogue.records] == ["a.jpg", "c.jpg"]
    assert catalogue.filtered == 1


def test_caption_keys_with_and_without_suffix_are_understood(tmp_path):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90), "b.png": (60, 90)})
    (root / "captions.json").write_text(json.dumps({"a": "A shirt.", "b.png": "A hat."}))
    records = load_catalogue(deepfashion.LAYOUT, root, source()).records
    assert {record.name: record.caption for record in records} == {"a.jpg": "A shirt.", "b.png": "A hat."}


def test_what_cannot_be_used_is_counted_by_reason_and_the_rest_is_used(tmp_path):
    root = write_fashion(tmp_path / "d", {f"{i}.jpg": (60, 90) for i in range(8)})
    captions = json.loads((root / "captions.json").read_text())
    del captions["0.jpg"]
    captions |= {"1.jpg": "  ", "2.jpg": 5, "gone.jpg": "A ghost."}
    (root / "captions.json").write_text(json.dumps(captions))
    (root / "images" / "3.jpg").write_bytes(b"no image at all")
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source())
    assert [record.name for record in catalogue.records] == ["4.jpg", "5.jpg", "6.jpg", "7.jpg"]
    assert {problem.file: problem.reason for problem in catalogue.problems} == {
        "0.jpg": "image without caption",
        "1.jpg": "caption is empty or no text",
        "2.jpg": "caption is empty or no text",
        "3.jpg": "unreadable or truncated",
        "gone.jpg": "caption without image",
    }
    assert catalogue.summary()["kept"] == 4
    with pytest.raises(DataError, match=r"5 of 9 files cannot be used .* more than a tenth"):
        check_tolerable(catalogue, root, tmp_path / "list.csv")


@pytest.mark.parametrize("caption", [5, None, "", "half a character: \ud800"])
def test_what_is_no_caption_is_a_problem_even_where_a_file_is_named_twice(tmp_path, caption):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90), "b.jpg": (60, 90)})
    (root / "captions.json").write_text(json.dumps({"a.jpg": caption, "a": caption, "b": "A hat."}))
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source())
    assert [record.name for record in catalogue.records] == ["b.jpg"]
    assert {problem.reason for problem in catalogue.problems} == {"caption is empty or no text"}


def test_an_image_too_large_to_open_safely_is_a_problem(tmp_path, monkeypatch):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90), "b.jpg": (10, 15)})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source())
    assert [record.name for record in catalogue.records] == ["b.jpg"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "\xff"])
def test_an_index_that_is_no_json_is_refused(tmp_path, text):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90)})
    (root / "captions.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"captions\.json: not valid JSON"):
        load_catalogue(deepfashion.LAYOUT, root, source())


def test_a_caption_cannot_name_a_file_outside_its_folder(tmp_path):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90)})
    noise_image(60, 90).save(tmp_path / "secret.jpg")
    (root / "captions.json").write_text(json.dumps({"a.jpg": "A shirt.", "../../secret.jpg": "A secret."}))
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source())
    assert [record.name for record in catalogue.records] == ["a.jpg"]


def test_a_filter_that_drops_everything_says_which(tmp_path):
    root = write_fashion(tmp_path / "d", {"a.jpg": (90, 60)})
    with pytest.raises(DataError, match=r"max_aspect_ratio=0.69 drops all 1 images"):
        load_catalogue(deepfashion.LAYOUT, root, source(max_aspect_ratio=0.69))


@pytest.mark.parametrize("missing", ["images", "captions.json", "."])
def test_a_missing_folder_or_index_is_named(tmp_path, missing):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90)})
    (root / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="does not exist"):
        load_catalogue(deepfashion.LAYOUT, root, source())


def test_a_catalogue_survives_its_file(tmp_path):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90), "b.jpg": (90, 60)})
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source(max_aspect_ratio=1))
    write_catalogue(tmp_path / "c.json", catalogue)
    assert read_catalogue(tmp_path / "c.json") == catalogue


def keyed(root, keys):
    (root / "captions.json").write_text(json.dumps({key: f"Caption of {key}." for key in keys}))
    return root


@pytest.mark.parametrize(
    ("files", "keys", "found"),
    [
        (["X.JPG", "Y.JPG"], ["X.jpg", "y"], {"X.JPG": "X.jpg", "Y.JPG": "y"}),
        (["x.png"], ["x.jpg"], {"x.png": "x.jpg"}),
        (["x.jpg"], ["x.HEIC"], {"x.jpg": "x.HEIC"}),
        (["cafe\u0301.jpg"], ["caf\u00e9.JPG"], {"cafe\u0301.jpg": "caf\u00e9.JPG"}),
        (["v1.2.jpg"], ["v1.2"], {"v1.2.jpg": "v1.2"}),
        (["x.jpg", "x.png", "z.jpg"], ["x.png", "X.JPG", "z"], {"x.png": "x.png", "x.jpg": "X.JPG", "z.jpg": "z"}),
        (["x.jpg", "x.png", "z.jpg"], ["x", "z"], {"z.jpg": "z"}),
        (["x.jpg", "X.jpeg", "z.jpg"], ["X.jpg", "z"], {"z.jpg": "z"}),
        (["x.jpg", "z.jpg"], ["X.jpg", "x.JPG", "z"], {"z.jpg": "z"}),
        (["x.jpg", "z.jpg"], ["x.jpg", "X.JPG", "z"], {"x.jpg": "x.jpg", "z.jpg": "z"}),
    ],
)
def test_a_key_means_the_one_file_that_it_can_mean_whatever_its_suffix_or_capitals(tmp_path, files, keys, found):
    root = keyed(write_fashion(tmp_path / "d", dict.fromkeys(files, (60, 90))), keys)
    records = load_catalogue(deepfashion.LAYOUT, root, source()).records
    assert {record.name: record.caption for record in records} == {f: f"Caption of {key}." for f, key in found.items()}


def test_coco_names_of_other_capitals_are_understood(tmp_path):
    root = write_coco(tmp_path / "c", [{"id": 1, "image_id": 9, "caption": "Nine."}])
    image = root / "train2014" / "COCO_train2014_000000000009.jpg"
    image.rename(image.with_suffix(".JPG"))
    assert [r.name for r in load_catalogue(coco.LAYOUT, root, source()).records] == ["COCO_train2014_000000000009.JPG"]


def test_where_nothing_is_left_it_is_said_why_with_three_examples(tmp_path):
    root = keyed(
        write_fashion(tmp_path / "d", {f"{n}.jpg": (60, 90) for n in range(5)}), [f"other{n}" for n in range(4)]
    )
    said = (
        "no usable image (9 files left out: 4 caption without image, for instance other0, other1, other2; "
        "5 image without caption, for instance 0.jpg, 1.jpg, 2.jpg)"
    )
    with pytest.raises(DataError, match=re.escape(said)):
        load_catalogue(deepfashion.LAYOUT, root, source())


def test_a_caption_of_a_picture_that_is_not_read_says_so(tmp_path):
    root = keyed(write_fashion(tmp_path / "d", {"a.jpg": (60, 90), "b.jfif": (60, 90)}), ["a", "b.jfif", "c.HEIC"])
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source())
    assert [record.name for record in catalogue.records] == ["a.jpg", "b.jfif"]
    reason = "in a format that is not read; save it as JPEG or PNG"
    assert [(problem.file, problem.reason) for problem in catalogue.problems] == [("c.HEIC", reason)]


def test_files_that_begin_with_a_dot_are_nobodys_data(tmp_path):
    root = keyed(write_fashion(tmp_path / "d", {"a.jpg": (60, 90)}), ["a.jpg", "._a.jpg"])
    (root / "images" / "._a.jpg").write_bytes(b"macOS")
    (root / "images" / ".hidden").mkdir()
    catalogue = load_catalogue(deepfashion.LAYOUT, root, source())
    assert ([record.name for record in catalogue.records], catalogue.problems) == (["a.jpg"], ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("layout", [deepfashion.LAYOUT, coco.LAYOUT])
def test_captions_with_a_byte_order_mark_are_read(tmp_path, layout, encoding):
    root = write_fashion(tmp_path / "d", {"a.jpg": (60, 90)})
    if layout is coco.LAYOUT:
        root = write_coco(tmp_path / "c", [{"id": 1, "image_id": 9, "caption": "Nine."}])
    path = root / next(iter(layout.find(str(root)).captions))
    path.write_text(path.read_text(), encoding=encoding)
    assert len(load_catalogue(layout, root, source()).records) == 1


def test_a_picture_that_is_read_in_another_way_than_before_is_another_one_to_caches(tmp_path, monkeypatch):
    root = write_fashion(tmp_path / "d", {"a.png": (60, 90), "b.png": (60, 90), "c.png": (60, 90)})
    noise_image(60, 90).save(root / "images" / "b.png", transparency=(0, 0, 0))
    Image.new("I", (60, 90)).save(root / "images" / "c.tif")
    captions = dict.fromkeys(("a.png", "b.png", "c.tif"), "A shirt.")
    (root / "captions.json").write_text(json.dumps(captions))
    (root / "images" / "c.png").unlink()
    seen = []
    for reader in (1, 1, 2):  # as it is read, as it was kept, and as a later version reads it
        monkeypatch.setattr(images, "READER", reader)
        monkeypatch.setattr(index, "READER", reader)
        catalogue = load_catalogue(deepfashion.LAYOUT, root, source(), tmp_path / "index.jsonl")
        assert [problem.reason.partition(",")[0] for problem in catalogue.problems] == ["pixels of mode I"]
        seen.append([record.identity for record in catalogue.records])
    plain, keyed = zip(*seen, strict=True)
    assert plain[0] == plain[1] == plain[2]
    assert keyed[0] == keyed[1] != keyed[2]


def write_coco(root, annotations):
    (root / "annotations").mkdir(parents=True)
    (root / "train2014").mkdir()
    images = [{"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg", "width": 64, "height": 48} for i in (7, 9)]
    for image in images:
        noise_image(64, 48).save(root / "train2014" / image["file_name"])
    index = {"images": images, "annotations": annotations}
    (root / "annotations" / "captions_train2014.json").write_text(json.dumps(index))
    return root


def test_of_cocos_captions_the_one_with_the_lowest_id_counts(tmp_path):
    annotations = [
        {"id": 5, "image_id": 7, "caption": "Later."},
        {"id": 3, "image_id": 7, "caption": " First. "},
        {"id": 4, "image_id": 9, "caption": "Nine."},
    ]
    records = load_catalogue(coco.LAYOUT, write_coco(tmp_path / "c", annotations), source()).records
    assert [record.caption for record in records] == ["First.", "Nine."]


def test_coco_images_without_caption_or_file_are_problems(tmp_path):
    root = write_coco(tmp_path / "c", [{"id": 1, "image_id": 9, "caption": "Nine."}])
    (root / "train2014" / "COCO_train2014_000000000009.jpg").unlink()
    with pytest.raises(DataError, match=r"no usable image \(2 files left out: 1 image without caption, for instance"):
        load_catalogue(coco.LAYOUT, root, source())


def test_annotations_in_another_layout_are_refused(tmp_path):
    with pytest.raises(DataError, match="not in the layout of COCO captions"):
        load_catalogue(coco.LAYOUT, write_coco(tmp_path / "c", [{"caption": "No id."}]), source())
