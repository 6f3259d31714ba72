"""What is known of a data set's files, so that the second time nothing is opened."""

import json
import os
import threading
import time

import fsspec
import pytest

from fashion_sweep.config.data_source import DataSource
from fashion_sweep.data import index, locations
from fashion_sweep.data.catalogue import load_catalogue
from fashion_sweep.data.images import load_rgb
from fashion_sweep.data.index import open_index
from fashion_sweep.data.layouts import coco, deepfashion
from fashion_sweep.data.many import over_files
from fashion_sweep.errors import DataError
from tests.conftest import noise_image, write_fashion

SOURCE = DataSource(layout="deepfashion", max_aspect_ratio=0.69)


@pytest.fixture
def root(tmp_path):
    return write_fashion(tmp_path / "d", {f"{i}.jpg": (60, 90) for i in range(6)} | {"wide.jpg": (90, 60)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index.jsonl"


def refuse_to_open(monkeypatch):
    for place in ("locations", "images"):
        name = f"fashion_sweep.data.{place}.open_binary"
        monkeypatch.setattr(name, lambda location: pytest.fail(f"{location} was opened"))


def test_the_second_time_no_file_is_opened(root, path, monkeypatch):
    (root / "images" / "0.jpg").write_bytes(b"broken")
    first = load_catalogue(deepfashion.LAYOUT, root, SOURCE, path)
    refuse_to_open(monkeypatch)
    assert load_catalogue(deepfashion.LAYOUT, root, SOURCE, path) == first
    assert [problem.file for problem in first.problems] == ["0.jpg"]
    assert first.filtered == 1


def test_only_a_file_that_changed_is_opened_again(root, path):
    assert open_index(deepfashion.LAYOUT, str(root), path).opened == 7
    noise_image(66, 99).save(root / "images" / "3.jpg")
    again = open_index(deepfashion.LAYOUT, str(root), path)
    assert again.opened == 1
    assert {row.name: (row.width, row.height) for row in again.rows}["3.jpg"] == (66, 99)
    assert again.rows == open_index(deepfashion.LAYOUT, str(root)).rows


def test_a_file_of_the_same_size_and_another_time_is_opened_again_and_known_by_what_it_holds(root, path):
    first = load_catalogue(deepfashion.LAYOUT, root, SOURCE, path)
    os.utime(root / "images" / "3.jpg", ns=(5, 5))
    again = open_index(deepfashion.LAYOUT, str(root), path)
    assert again.opened == 1
    assert load_catalogue(deepfashion.LAYOUT, root, SOURCE, path) == first
    content = bytearray((root / "images" / "3.jpg").read_bytes())
    content[-20] ^= 1
    (root / "images" / "3.jpg").write_bytes(content)
    changed = load_catalogue(deepfashion.LAYOUT, root, SOURCE, path)
    assert [a.name for a, b in zip(changed.records, first.records, strict=True) if a != b] == ["3.jpg"]


def test_other_captions_are_taken_without_opening_an_image(root, path):
    open_index(deepfashion.LAYOUT, str(root), path)
    captions = json.loads((root / "captions.json").read_text()) | {"2.jpg": "A new hat."}
    (root / "captions.json").write_text(json.dumps(captions))
    again = open_index(deepfashion.LAYOUT, str(root), path)
    assert again.opened == 0
    assert {row.name: row.caption for row in again.rows}["2.jpg"] == "A new hat."


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: "", lambda text: "[]\n" + text])
def test_a_damaged_index_is_made_again(root, path, damage):
    first = open_index(deepfashion.LAYOUT, str(root), path)
    path.write_text(damage(path.read_text()))
    assert open_index(deepfashion.LAYOUT, str(root), path) == first


def test_an_index_of_another_format_is_made_again(root, path, monkeypatch):
    open_index(deepfashion.LAYOUT, str(root), path)
    monkeypatch.setattr(index, "FORMAT", index.FORMAT + 1)
    assert open_index(deepfashion.LAYOUT, str(root), path).opened == 7


def to_url(root, url):
    """Copies a local data set to where fsspec finds it."""
    system, folder = fsspec.core.url_to_fs(url)
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        target = f"{folder}/{file.relative_to(root)}"
        system.makedirs(target.rpartition("/")[0], exist_ok=True)
        system.pipe_file(target, file.read_bytes())
    return url


@pytest.fixture(params=["memory", "file"])
def url(request, root, tmp_path):
    url = "memory://shop/data" if request.param == "memory" else f"file://{tmp_path}/copy"
    yield to_url(root, url)
    if request.param == "memory":
        fsspec.filesystem("memory").rm("/shop", recursive=True)


def test_data_behind_a_url_is_the_same_as_in_a_folder(root, url, path, monkeypatch):
    (root / "images" / "torn.jpg").write_bytes((root / "images" / "1.jpg").read_bytes()[:-9])
    captions = json.loads((root / "captions.json").read_text()) | {"torn.jpg": "A torn shirt."}
    (root / "captions.json").write_text(json.dumps(captions))
    to_url(root, url)
    ours, theirs = (
        load_catalogue(deepfashion.LAYOUT, root, SOURCE),
        load_catalogue(deepfashion.LAYOUT, url, SOURCE, path),
    )
    assert [(r.name, r.caption, r.width, r.height, r.digest) for r in theirs.records] == [
        (r.name, r.caption, r.width, r.height, r.digest) for r in ours.records
    ]
    assert theirs.problems == ours.problems
    first, second = theirs.records[0], ours.records[0]
    assert load_rgb(first.path).tobytes() == load_rgb(second.path).tobytes()
    refuse_to_open(monkeypatch)
    assert load_catalogue(deepfashion.LAYOUT, url, SOURCE, path) == theirs


def test_what_is_missing_behind_a_url_is_named(url):
    system, folder = fsspec.core.url_to_fs(url)
    with pytest.raises(DataError, match=r"train2014 does not exist; images are expected there"):
        load_catalogue(coco.LAYOUT, url, SOURCE)
    system.rm(f"{folder}/captions.json")
    with pytest.raises(DataError, match=r"captions.json does not exist"):
        load_catalogue(deepfashion.LAYOUT, url, SOURCE)


def test_a_scheme_that_nobody_knows_is_a_mistake_in_one_line():
    with pytest.raises(DataError, match=r"nowhere://shop/data: Protocol not known: nowhere"):
        load_catalogue(deepfashion.LAYOUT, "nowhere://shop/data", SOURCE)


def test_a_file_behind_a_url_that_was_late_is_asked_for_again(url, path, monkeypatch):
    """A passing error of a network is not taken for a broken image, and not remembered."""
    real, late = locations.open_binary, ["3.jpg"]

    def open_binary(location):
        if any(location.endswith(name) for name in late):
            raise OSError("503 Slow Down")
        return real(location)

    monkeypatch.setattr(locations, "open_binary", open_binary)
    first = load_catalogue(deepfashion.LAYOUT, url, SOURCE, path)
    assert [(problem.file, problem.reason) for problem in first.problems] == [("3.jpg", "cannot be opened")]
    late.clear()
    index = open_index(deepfashion.LAYOUT, url, path)
    assert (index.opened, index.problems) == (1, ())
    assert load_catalogue(deepfashion.LAYOUT, url, SOURCE, path).problems == ()


def test_threads_open_files_where_each_takes_long(monkeypatch):
    threads = set()

    def slow(item):
        threads.add(threading.get_ident())
        time.sleep(0.002)
        return item

    assert list(over_files(slow, range(100))) == list(range(100))
    assert len(threads) > 1
    threads.clear()
    assert list(over_files(lambda item: threads.add(threading.get_ident()) or item, range(100))) == list(range(100))
    assert len(threads) == 1
