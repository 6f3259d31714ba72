"""What tells one part of the shared cache from another, and how one of its shards is made."""

import os
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.data.catalogue import Catalogue, Record, write_catalogue
from fashion_sweep.data.sets import open_data
from fashion_sweep.encodings import prepare
from fashion_sweep.encodings.caches import plan_caches, read_caches, write_caches
from fashion_sweep.encodings.encoders import LOADERS
from fashion_sweep.encodings.parts import Loss, all_parts
from fashion_sweep.encodings.prepare import Shard, make_shard
from fashion_sweep.models import loaded
from fashion_sweep.models.loaded import forget_models, kept_models
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import write_text
from fashion_sweep.tiny import WEIGHTS
from tests.conftest import write_fashion


def roots(catalogue, *settings, preset="tiny", **others):
    """Folder of each part, by kind, where both sets are `catalogue` but for `others`."""
    config = load_run_config("exp2", preset, ["sweep.judge=[fashion, general]", *settings])
    caches = plan_caches(config, {"fashion": catalogue, "general": catalogue} | others)
    return {kind: cache.root for kind, cache in caches.parts.items()}


def changed(before, after):
    return {kind for kind, root in after.items() if before[kind] != root}


@pytest.fixture(scope="module")
def catalogue():
    """600 images of which only the catalogue is known."""
    records = (Record(f"{i:03d}.jpg", f"/data/{i:03d}.jpg", f"Shirt {i}.", 60, 90) for i in range(600))
    return Catalogue(tuple(records), 0, ())


@pytest.fixture(autouse=True)
def _models_are_forgotten():
    forget_models()
    yield
    forget_models()


def test_losses_of_another_number_of_images_are_apart_since_their_timesteps_are_others(catalogue):
    few, many = (roots(catalogue, f"evaluation.loss_samples={count}") for count in (256, 512))
    assert changed(few, many) == {"loss-general"}


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("model.vae=embedded:refiner", {"images", "loss-general"}),
        ("model.base=embedded:refiner", {"images", "captions", "loss-general"}),
        ("model.dtype=bfloat16", {"captions", "loss-general"}),
        ("training.views=3", {"images"}),
        ("training.seed=1", {"images"}),
        ("generation.seed=1", {"loss-general"}),
        ("data.general.evaluation={height: 64, width: 64, shorter_side: 64}", {"loss-general", "reference-general"}),
    ],
)
def test_a_part_is_made_anew_where_what_it_comes_from_is_another(catalogue, setting, parts):
    assert changed(roots(catalogue), roots(catalogue, setting)) == parts


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("model.shift=2", {"loss-general"}),
        ("model.logit_mean=0.5", {"loss-general"}),
        ("model.max_sequence_length=8", {"captions", "loss-general"}),
    ],
)
def test_what_the_loss_alone_depends_on_makes_it_anew(catalogue, setting, parts):
    assert changed(roots(catalogue, preset="tiny-sd3"), roots(catalogue, setting, preset="tiny-sd3")) == parts


def test_data_and_weights_that_were_copied_are_the_same_and_a_run_goes_on_with_them(tmp_path):
    """Times differ, as after rsync or a download; what the files hold does not."""
    shutil.copytree(WEIGHTS / "base", tmp_path / "base")
    folder = write_fashion(tmp_path / "data", {f"{i}.jpg": (60, 90) for i in range(3)})
    settings = [f"data.fashion.root={folder}", f"model.base={tmp_path}/base", "data.fashion.max_aspect_ratio=null"]
    config = load_run_config("exp2", "tiny", settings)

    def planned():
        return plan_caches(config, {"fashion": open_data("fashion", config.preset.data["fashion"])})

    run = RunPaths(tmp_path / "run")
    write_caches(run, before := planned())
    for path in [*(tmp_path / "base").rglob("*"), *folder.rglob("*")]:
        os.utime(path, ns=(5, 5))
    write_caches(run, planned())
    content = bytearray((folder / "images" / "1.jpg").read_bytes())
    content[-20] ^= 1
    (folder / "images" / "1.jpg").write_bytes(content)
    assert planned().images.root != before.images.root


def test_prompt_embeddings_are_made_anew_where_a_caption_is_another(catalogue):
    records = [replace(r, caption="Another.") if r.name == "007.jpg" else r for r in catalogue.records]
    after = roots(catalogue, fashion=replace(catalogue, records=tuple(records)))
    assert changed(roots(catalogue), after) == {"captions"}


@pytest.mark.parametrize("judged", [True, False])
def test_losses_are_computed_again_when_the_caption_of_one_of_their_images_was_mended(catalogue, judged):
    settings = ["sweep.judge=[fashion, general]", "evaluation.loss_samples=256"]
    part = all_parts(load_run_config("exp2", "tiny", settings), 4)["loss-general"]
    assert isinstance(part, Loss)
    names = {record.name for record in part.records(catalogue)}
    mended = next(record.name for record in catalogue.records if (record.name in names) == judged)
    records = [replace(r, caption="Another.") if r.name == mended else r for r in catalogue.records]
    after = roots(catalogue, *settings, general=replace(catalogue, records=tuple(records)))
    assert changed(roots(catalogue, *settings), after) == ({"loss-general"} if judged else set())


def test_a_shards_time_leaves_out_the_loading_of_its_model(tmp_path, monkeypatch):
    folder = write_fashion(tmp_path / "data", {f"{i}.jpg": (60, 90) for i in range(3)})
    config = load_run_config("exp2", "tiny", [f"data.fashion.root={folder}", "data.fashion.max_aspect_ratio=null"])
    catalogue, run, loading = open_data("fashion", config.preset.data["fashion"]), RunPaths(tmp_path / "run"), []
    write_text(run.config, config.to_yaml())
    write_caches(run, plan_caches(config, {"fashion": catalogue}))
    write_catalogue(run.catalogue("fashion"), catalogue)
    load_model = loaded.load_model
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000 * len(loading))
    monkeypatch.setattr(prepare, "time", clock)
    monkeypatch.setattr(loaded, "load_model", lambda *given, **more: loading.append(1) or load_model(*given, **more))
    made = [make_shard(Shard(run, kind, 0)) for kind in ("captions", "images")]
    assert [shard.rows for shard in made] == [len(catalogue.distinct_captions), 3]
    assert all(0 < shard.seconds < 1000 for shard in made)
    assert len(loading) == 1
    assert {kind for kind, cache in read_caches(run).parts.items() if not cache.missing()} == {"captions", "images"}


def test_a_worker_loads_the_model_and_the_judge_once():
    config = load_run_config("exp2", "tiny")
    assert LOADERS["model"](kept_models(), config) is LOADERS["pipelines"](kept_models(), config)
    first, second = (LOADERS["judge"](kept_models(), config) for _ in range(2))
    assert first.modules[0] is second.modules[0]
