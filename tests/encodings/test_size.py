"""The size of the shared cache before it is filled, and what a limit leaves out."""

import dataclasses
import shutil

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.data.catalogue import write_catalogue
from fashion_sweep.data.sets import open_data
from fashion_sweep.encodings.caches import plan_caches, read_caches, write_caches
from fashion_sweep.encodings.encoders import encode_captions, encode_images
from fashion_sweep.encodings.parts import all_parts
from fashion_sweep.encodings.prepare import Made, Shard, check_room, write_rates
from fashion_sweep.encodings.size import Counts, cache_size, known_counts
from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.planning.plan import resolved, specs_of
from fashion_sweep.run.paths import RunPaths, cache_rates
from fashion_sweep.storage.files import write_json, write_text
from tests.conftest import write_fashion

STUDY = Counts({"fashion": 44_096, "general": 82_783}, 44_096, "the study")


def size_of(sweep, preset, *settings, counts=STUDY):
    config = resolved(load_run_config(sweep, preset, settings))
    return cache_size(config, specs_of(config), counts)


def kinds(size):
    return [part.kind for part in size.parts]


@pytest.fixture
def small(tmp_path):
    """(config, catalogue) of 12 images."""
    folder = write_fashion(tmp_path / "data", {f"{i:02d}.jpg": (60, 90) for i in range(12)})
    config = load_run_config("exp2", "tiny", [f"data.fashion.root={folder}", "data.fashion.max_aspect_ratio=null"])
    return config, open_data("fashion", config.preset.data["fashion"])


def test_a_rows_size_is_that_of_what_is_written(small, model):
    config, catalogue = small
    images = encode_images(model, config.preset.training, catalogue.records)
    captions = encode_captions(model, catalogue.distinct_captions)
    for kind, tensors in (("images", images), ("captions", captions)):
        rows = len(next(iter(tensors.values())))
        written = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        assert all_parts(config, config.preset.training.views)[kind].row_bytes * rows == written


def test_the_studys_cache_has_its_size_from_configs_alone():
    size = {part.kind: part.bytes for part in size_of("exp2", "sdxl").parts}
    assert size == {
        "images": 44_096 * 4 * (2 * 4 * 64 * 45 + 24),
        "captions": 44_096 * 2 * (77 * 2048 + 1280),
        "reference-fashion": 44_096 * 4 * 2048,
    }


def test_what_a_sweep_does_not_use_is_not_counted():
    assert kinds(size_of("exp2", "sdxl", "sweep.trials=[{text_encoders: 8}]")) == ["images", "reference-fashion"]
    assert kinds(size_of("exp2", "sdxl", "sweep.trials=[{}]")) == ["reference-fashion"]
    judged = "sweep.judge=[fashion, general]"
    expected = ["images", "captions", "loss-general", "reference-fashion", "reference-general"]
    assert kinds(size_of("exp2", "sdxl", judged)) == expected


@pytest.mark.parametrize(
    ("limit", "views", "without_captions"), [(19, 4, False), (18, 4, True), (4, 3, True), (1.5, 1, True)]
)
def test_a_limit_leaves_out_prompt_embeddings_and_then_views(limit, views, without_captions):
    size = size_of("exp2", "sdxl", f"cache.max_gb={limit}")
    assert (size.views, size.without_captions) == (views, without_captions)
    assert size.bytes <= limit * 1e9


def test_a_limit_below_the_least_is_refused_with_the_least():
    with pytest.raises(ConfigError, match=r"cache.max_gb: 1 is less than the 1.38 GB that the trials need"):
        size_of("exp2", "sdxl", "cache.max_gb=1")


def test_counts_are_the_studys_until_the_data_was_opened(small):
    assert known_counts(load_run_config("exp2", "sdxl")).images == {"fashion": 44_096}
    config, catalogue = small
    counts = known_counts(config)
    assert (counts.images, counts.captions) == ({"fashion": 12}, len(catalogue.distinct_captions))
    assert "by the index of" in counts.source


def test_a_run_keeps_no_more_than_the_limit_and_goes_on_so(small, tmp_path):
    config, catalogue = small
    caches = plan_caches(config, {"fashion": catalogue})
    assert (caches.views, caches.captions is None) == (4, False)
    tight = load_run_config(
        "exp2",
        "tiny",
        [f"data.fashion.root={config.preset.data['fashion'].root}", "data.fashion.max_aspect_ratio=null"]
        + [f"cache.max_gb={12 * (2 * 3_096 + 256) / 1e9}"],
    )
    small_caches = plan_caches(tight, {"fashion": catalogue})
    assert (small_caches.views, small_caches.captions) == (2, None)
    assert small_caches.images.root != caches.images.root
    run = RunPaths(tmp_path / "run")
    write_caches(run, small_caches)
    assert read_caches(run) == small_caches
    assert read_caches(run).training(tight.preset.training).views == 2
    write_caches(run, small_caches)
    with pytest.raises(RunError, match="changed since this run began"):
        write_caches(run, dataclasses.replace(small_caches, views=1))


def test_a_measured_rate_is_used_and_says_where(small, tmp_path):
    config, catalogue = small
    run = RunPaths(tmp_path / "run")
    write_text(run.config, config.to_yaml())
    write_caches(run, plan_caches(config, {"fashion": catalogue}))
    before = cache_size(config, specs_of(config), known_counts(config))
    assert all(part.rows_per_second is None for part in before.parts)
    slow_start = [Made("images", 128, seconds, "a GPU") for seconds in (60, 2, 2)]
    write_rates(run, slow_start)
    images, captions, _ = cache_size(config, specs_of(config), known_counts(config)).parts
    assert (images.rows_per_second, images.measured) == (64, "a GPU, run run")
    assert images.seconds(workers=2) == pytest.approx(12 / 64 / 2)
    assert captions.rows_per_second is None


def test_a_full_disk_is_told_before_anything_is_encoded(small, tmp_path, monkeypatch):
    config, catalogue = small
    run = RunPaths(tmp_path / "run")
    write_text(run.config, config.to_yaml())
    write_caches(run, plan_caches(config, {"fashion": catalogue}))
    write_catalogue(run.catalogue("fashion"), catalogue)
    shards = [Shard(run, "images", 0), Shard(run, "captions", 0)]
    check_room(run, shards, config.specs)
    usage = shutil.disk_usage(run.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(RunError, match=r"free; make room, or keep less with --set cache.max_gb=GB"):
        check_room(run, shards, [])
    free = 12e6  # more than the cache takes; but rank 64 alone needs 35 MB
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    check_room(run, shards, config.specs[:1])
    with pytest.raises(RunError, match="the trials up to"):
        check_room(run, shards, config.specs)


def test_rates_of_another_size_are_not_taken(small):
    config, _ = small
    write_json(cache_rates(), {"images embedded:base 999x999/999 views 4": {"rows_per_second": 5, "where": "x"}})
    assert cache_size(config, specs_of(config), STUDY).parts[0].rows_per_second is None
