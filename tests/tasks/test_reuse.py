"""Which adapters of another run are taken, and which runs are refused."""

import json

import numpy as np
import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.data.catalogue import Catalogue, Record, write_catalogue
from fashion_sweep.encodings.caches import Caches, write_caches
from fashion_sweep.encodings.prepare import missing_shards
from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.errors import RunError
from fashion_sweep.report.results import collect
from fashion_sweep.report.tables import trial_tables
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, write_json, write_json_lines, write_tensors
from fashion_sweep.tasks.reuse import check_trained_alike, take_adapters
from fashion_sweep.tracking.values import final_metrics
from tests.report.synthetic_run import finish_trial, judgement, make_run

CACHES = {"images": ["/a/images-1", 3], "captions": ["/a/captions-1", 3], "models": ["base", "refiner", "clip"]}


def opened_run(folder, sweep, *settings, caption="A shirt.", caches=None):
    """A run that knows its data and has trained nothing."""
    run = make_run(folder, sweep, settings)
    write_json(run.caches, CACHES | (caches or {}))
    write_catalogue(run.catalogue("fashion"), Catalogue((Record("a.jpg", folder, caption, 109, 160),), 0, ()))
    return run


def train(run, trial_id, value=1.0):
    paths = run.trial(trial_id)
    paths.adapter.parent.mkdir(parents=True)
    write_tensors(paths.adapter, {"a": np.full(4, value)})
    write_json_lines(paths.metrics, [{"step": 300, "time": 1, "train_loss": value}])
    return paths


@pytest.fixture
def runs(tmp_path):
    """A finished exp3 and an exp4 that has just begun."""
    theirs = opened_run(tmp_path / "first", "exp3")
    train(theirs, "unet-r1")
    return opened_run(tmp_path / "second", "exp4"), theirs


def take(ours, theirs, sweep="exp4", settings=()):
    config, said = load_run_config(sweep, "tiny", settings), []
    check_trained_alike(config, ours, theirs)
    take_adapters(config, ours, theirs, said.append)
    return said


def test_an_adapter_trained_in_the_same_way_is_taken_with_its_losses(runs):
    ours, theirs = runs
    assert take(ours, theirs) == ["UNet rank 1: adapter taken from first"]
    mine, original = ours.trial("unet-r1"), theirs.trial("unet-r1")
    assert mine.adapter.read_bytes() == original.adapter.read_bytes()
    assert mine.metrics.read_bytes() == original.metrics.read_bytes()
    assert read_json(mine.adapter_source)["run"] == "first"
    assert not ours.trial("base-model").root.exists()
    assert [path.name for path in mine.adapter.parent.iterdir() if path.name.startswith(".")] == []


def test_what_is_there_already_stays(runs):
    ours, theirs = runs
    mine = train(ours, "unet-r1", value=2.0).adapter.read_bytes()
    assert take(ours, theirs) == []
    assert ours.trial("unet-r1").adapter.read_bytes() == mine
    assert not ours.trial("unet-r1").adapter_source.exists()


def test_a_damaged_copy_is_taken_anew(runs):
    ours, theirs = runs
    take(ours, theirs)
    ours.trial("unet-r1").adapter.write_bytes(b"half")
    assert take(ours, theirs) == ["UNet rank 1: adapter taken from first"]
    assert ours.trial("unet-r1").adapter.read_bytes() == theirs.trial("unet-r1").adapter.read_bytes()


def test_a_copy_of_a_copy_names_the_run_that_trained_it(runs, tmp_path):
    second, first = runs
    take(second, first)
    third = opened_run(tmp_path / "third", "exp4")
    take(third, second)
    assert read_json(third.trial("unet-r1").adapter_source)["run"] == "first"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("absent", "UNet rank 1: not trained in first, so it is trained here"),
        ("damaged", "UNet rank 1: its adapter is damaged in first, so it is trained here"),
        ("stopped early", "UNet rank 1: stopped after 50 of 300 steps in first, so it is trained here"),
        ("without losses", "UNet rank 1: its adapter is damaged in first, so it is trained here"),
    ],
)
def test_what_the_other_run_lacks_is_trained_here(runs, state, said):
    ours, theirs = runs
    paths = theirs.trial("unet-r1")
    if state == "absent":  # a run in progress
        paths.adapter.unlink()
        theirs.caches.unlink()
    elif state == "damaged":
        paths.adapter.write_bytes(paths.adapter.read_bytes()[:-3])
    elif state == "stopped early":
        write_json_lines(paths.metrics, [{"step": 50, "time": 1, "train_loss": 1.0}])
    else:
        paths.metrics.unlink()
    assert take(ours, theirs) == [said]
    assert not ours.trial("unet-r1").root.exists()


def test_other_configurations_and_seeds_are_trained_here(runs, tmp_path):
    _, theirs = runs
    settings = ["sweep.trials=[{unet: 1}, {unet: 1, learning_rate: 1}, {unet: 2}]", "sweep.seeds=2"]
    said = take(opened_run(tmp_path / "more", "exp2", *settings), theirs, "exp2", settings)
    assert [line for line in said if "taken" in line] == ["UNet rank 1: adapter taken from first"]
    assert len([line for line in said if "no trial in first" in line]) == 5


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["training.steps=20"], "(training.steps)"),
        (["training.seed=1", "training.batch_size=4"], "(training.batch_size, training.seed)"),
        (["model.base=embedded:refiner"], "(model.base)"),
        (
            ["model.dtype=bfloat16", "training.steps=5", "training.seed=3", "training.views=1"],
            "(model.dtype, training.steps, training.seed and 1 more)",
        ),
    ],
)
def test_a_run_that_trained_otherwise_is_refused_by_its_configuration(runs, settings, named):
    ours, theirs = runs
    with pytest.raises(RunError) as raised:
        check_trained_alike(load_run_config("exp4", "tiny", settings), ours, theirs)
    assert f"--adapters-from first: its adapters were trained otherwise {named}" in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"caption": "A skirt."}, "(data.fashion)"),
        ({"caches": {"images": ["/a/images-2", 3]}}, "(data.fashion images)"),
        ({"caches": {"models": ["other", "refiner", "clip"]}}, "(weights of model.base)"),
    ],
)
def test_a_run_on_other_data_or_weights_is_refused(runs, tmp_path, changed, named):
    _, theirs = runs
    ours = opened_run(tmp_path / "third", "exp4", **changed)
    with pytest.raises(RunError, match="trained otherwise") as raised:
        take(ours, theirs)
    assert named in str(raised.value)
    assert not ours.trial("unet-r1").root.exists()


@pytest.mark.parametrize(
    ("settings", "caches"),
    [
        (["generation.guidance_scale=1", "evaluation.samples=200", "model.refiner=null"], {}),
        ([], {"images": ["/elsewhere/images-1", 3], "models": ["base", "", "judge"]}),
    ],
)
def test_what_training_does_not_depend_on_may_differ(runs, tmp_path, settings, caches):
    ours = opened_run(tmp_path / "third", "exp4", *settings, caches=caches)
    assert take(ours, runs[1], settings=settings) == ["UNet rank 1: adapter taken from first"]


def test_a_run_cannot_take_from_itself(runs):
    ours, _ = runs
    with pytest.raises(RunError, match="is this run itself"):
        take(ours, RunPaths(ours.root / ".." / ours.name))


@pytest.mark.parametrize("taken", [True, False])
def test_images_and_captions_are_encoded_only_where_something_is_to_be_trained(runs, tmp_path, taken):
    ours, theirs = runs
    if taken:
        take(ours, theirs)
    kinds = {"images", "captions", "loss-general", "reference-general"}
    caches = Caches({kind: ShardedCache(tmp_path / "nothing-yet" / kind, 1) for kind in kinds}, ("a",), 4)
    ours.caches.unlink()
    write_caches(ours, caches)
    missing = {shard.kind for shard in missing_shards(ours, load_run_config("exp4", "tiny").specs)}
    assert missing == kinds - ({"images", "captions"} if taken else set())


def test_report_and_mlflow_say_where_the_adapter_is_from(runs):
    ours, _ = runs
    config = load_run_config("exp4", "tiny")
    for spec in config.specs:
        source = {} if spec.is_base_model else {"adapter_from": "first"}
        finish_trial(ours, spec, 17184 * len(spec.adapters), {"general": judgement(5.0)}, **source)
    table = trial_tables(collect(ours))[0]
    assert "UNet rank 1 was trained in the run first." in table.caption
    assert table.rows[1][-2] == "–"
    result = json.loads(ours.trial("unet-r1").result.read_text())
    assert final_metrics(result, config.sweep)[1]["adapter_from"] == "first"
    assert "adapter_from" not in final_metrics(read_json(ours.trial("base-model").result), config.sweep)[1]
