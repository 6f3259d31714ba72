"""A folder of images with captions beside them, or in `metadata.jsonl`."""

import json

import pytest

from fashion_sweep.config.data_source import DataSource
from fashion_sweep.data.catalogue import load_catalogue
from fashion_sweep.data.index import open_index
from fashion_sweep.data.layouts import folder
from fashion_sweep.errors import DataError
from tests.conftest import noise_image
from tests.data.test_index import to_url

SOURCE = DataSource(layout="folder")


@pytest.fixture
def root(tmp_path):
    """Writes files: noise for images, text, or objects as lines of JSON."""

    def write(**files):
        for seed, (name, content) in enumerate(files.items()):
            path = tmp_path / "shoes" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                noise_image(60, 90, seed).save(path)
            elif isinstance(content, list):
                path.write_text("\n".join(map(json.dumps, content)), encoding="utf-8")
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "shoes"

    return write


def captions(root):
    return {record.name: record.caption for record in load_catalogue(folder.LAYOUT, root, SOURCE).records}


def problems(root):
    return {(one.file, one.reason) for one in load_catalogue(folder.LAYOUT, root, SOURCE).problems}


def test_a_text_file_beside_an_image_is_its_caption(root):
    files = {"boot.jpg": None, "boot.txt": "A boot\nof leather. \n", "pump.PNG": None, "pump.TXT": "\ufeffA pump."}
    assert captions(root(**files)) == {"boot.jpg": "A boot of leather.", "pump.PNG": "A pump."}


def test_lines_of_metadata_name_images_from_the_folder_that_they_are_in(root):
    files = {"a.jpg": None, "new/b.jpg": None, "new/c.jpg": None}
    files["metadata.jsonl"] = [{"file_name": "a.jpg", "text": "A boot."}, {"file_name": "new/b.jpg", "text": "A pump."}]
    files["new/metadata.jsonl"] = [{"file_name": "c.jpg", "text": "A clog.", "price": 3}]
    assert captions(root(**files)) == {"a.jpg": "A boot.", "new/b.jpg": "A pump.", "new/c.jpg": "A clog."}


def test_images_in_sub_folders_have_their_captions_there(root):
    files = {"10_boot/a.jpg": None, "10_boot/a.txt": "A boot.", ".trash/b.jpg": None, "a.txt": "No image's."}
    assert captions(root(**files)) == {"10_boot/a.jpg": "A boot."}
    assert problems(root(**files)) == set()


def test_an_image_may_be_captioned_in_either_way_or_twice_alike_but_not_in_two_ways(root):
    files = {f"{name}.jpg": None for name in "abcd"} | {"b.txt": "B.", "c.txt": "C.\n", "d.txt": "Another."}
    files["metadata.jsonl"] = [{"file_name": f"{name}.jpg", "text": f"{name.upper()}."} for name in "acd"]
    assert captions(root(**files)) == {"a.jpg": "A.", "b.jpg": "B.", "c.jpg": "C."}
    assert problems(root(**files)) == {("d.jpg", "it has captions that differ")}


def test_what_cannot_be_used_is_left_out_by_its_reason(root):
    files = {f"{name}.jpg": None for name in "abcde"} | {"a.txt": "A.", "b.txt": " ", "c.txt": b"\xff\xfe\xff"}
    files |= {"old.heic": "no image that is read", "notes.txt": "No image's."}
    files["metadata.jsonl"] = [{"file_name": "d.jpg"}, {"file_name": "gone.jpg", "text": "Gone."}]
    assert captions(root(**files)) == {"a.jpg": "A."}
    assert problems(root(**files)) == {
        ("b.jpg", "caption is empty or no text"),
        ("c.jpg", "caption file is no UTF-8 text"),
        ("d.jpg", "caption is empty or no text"),
        ("e.jpg", "image without caption"),
        ("gone.jpg", "caption without image"),
        ("old.heic", "in a format that is not read; save it as JPEG or PNG"),
    }


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.jpg": None}, "has no captions; put a .txt file of the same name beside each image, or a metadata.jsonl"),
        ({"a.jpg": None, "metadata.jsonl": "{"}, "metadata.jsonl, line 1: must be an object with file_name and text"),
        ({"a.jpg": None, "metadata.jsonl": [{"image": "a.jpg"}]}, "metadata.jsonl, line 1: must be an object"),
        ({"a.jpg": None, "metadata.jsonl": [["a.jpg"]]}, "metadata.jsonl, line 1: must be an object"),
        ({"a.jpg": None, "metadata.jsonl": [{"file_name": "a.jpg", "caption": "A."}]}, "no line has a caption"),
        ({"a.jpg": None, "metadata.jsonl": b"\xff\xfe"}, "metadata.jsonl: cannot be read"),
    ],
)
def test_a_folder_without_captions_that_can_be_read_is_refused(root, files, words):
    with pytest.raises(DataError, match=words) as refused:
        captions(root(**files))
    assert "\n" not in str(refused.value)


def test_a_changed_caption_is_seen_and_opens_no_image_again(root, tmp_path):
    path, index = root(**{"a.jpg": None, "a.txt": "A boot."}), tmp_path / "index.jsonl"
    assert open_index(folder.LAYOUT, str(path), index).opened == 1
    root(**{"a.txt": "A pump of leather."})
    changed = open_index(folder.LAYOUT, str(path), index)
    assert (changed.opened, changed.rows[0].caption) == (0, "A pump of leather.")


def test_a_folder_behind_a_url_is_read_in_the_same_way(root):
    path = root(**{"a.jpg": None, "a.txt": "A.", "new/b.jpg": None, "new/b.txt": "B.", ".x/c.jpg": None})
    url = "memory://shop/shoes"
    to_url(path, url)
    assert captions(url) == captions(path) == {"a.jpg": "A.", "new/b.jpg": "B."}


def test_links_out_of_the_folder_are_left_out(root, tmp_path):
    path = root(**{"a.jpg": None, "a.txt": "A.", "b.txt": "B.", "c.txt": "C."})
    noise_image(60, 90).save(tmp_path / "outside.jpg")
    (path / "b.jpg").symlink_to(tmp_path / "outside.jpg")
    (path / "c.jpg").symlink_to(path / "a.jpg")
    assert captions(path) == {"a.jpg": "A.", "c.jpg": "C."}
    assert problems(path) == {("b.jpg", "link out of the data folder")}


def test_captions_that_differ_are_told_wherever_they_stand(tmp_path):
    for name in "abc":
        noise_image(4, 4).save(tmp_path / f"{name}.jpg")
    lines = [("a.jpg", "One."), ("a.jpg", "Two."), ("b.jpg", "Same."), ("b.jpg", "Same."), ("c.jpg", None)]
    rows = [json.dumps({"file_name": name, "text": text}) for name, text in lines]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    (tmp_path / "c.txt").write_text("Beside.")
    listing = folder.read(str(tmp_path), folder.find(str(tmp_path)))
    assert listing.images == {"b.jpg": "Same.", "c.jpg": "Beside."}
    assert [(problem.file, problem.reason) for problem in listing.problems] == [
        ("a.jpg", "it has captions that differ")
    ]
