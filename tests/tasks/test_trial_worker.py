"""What a trial hands on to training and judging."""

from types import SimpleNamespace

import pytest

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record, write_catalogue
from fashion_sweep.models import loaded
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.status import Status, read_status
from fashion_sweep.storage.files import read_json_lines
from fashion_sweep.tasks import trial_worker as module
from fashion_sweep.tasks.trial_worker import TrialWorker


@pytest.fixture
def trial_of(tmp_path):
    """A trial in a run whose data are one image of 109x160 pixels."""
    config, run = load_run_config("exp3", "tiny"), RunPaths(tmp_path)
    record = Record("a.jpg", tmp_path / "a.jpg", "A shirt.", width=109, height=160)
    write_catalogue(run.catalogue("fashion"), Catalogue((record,), 0, ()))

    def make(ranks):
        spec = TrialSpec.of(ranks)
        paths = run.trial(spec.trial_id)
        return TrialWorker(run, config, spec, Worker(0, 1, "cpu", lambda: None, print), Status(paths))

    return make


@pytest.mark.parametrize(("ranks", "negative"), [({}, True), ({"unet": 1}, False), ({"text_encoders": 1}, False)])
def test_only_the_base_model_gets_the_studys_negative_prompt(trial_of, model, ranks, negative):
    said = trial_of(ranks).generator(model, "fashion").negative_prompt
    assert said == ("drawing, cartoon, painting, illustration, 3d, render, cgi" if negative else None)


def test_images_are_made_at_the_evaluation_size_and_conditioned_on_the_datas(trial_of, model):
    generator = trial_of({"unet": 1}).generator(model, "fashion")
    assert (generator.size.height, generator.size.width) == (64, 48)
    assert generator.original_size == (160, 109)


def test_a_trial_trains_with_its_own_values_and_its_replicates_seed(tmp_path, monkeypatch):
    settings = ["sweep.trials=[{unet: 1, learning_rate: 0.5}]", "sweep.seeds=3", "training.seed=10"]
    config, run, seen = load_run_config("exp2", "tiny", settings), RunPaths(tmp_path), []
    write_catalogue(
        run.catalogue("fashion"), Catalogue((Record("a.jpg", tmp_path / "a.jpg", "A shirt.", 9, 16),), 0, ())
    )
    monkeypatch.setattr(
        module, "read_caches", lambda run: SimpleNamespace(images=None, captions=None, training=lambda config: config)
    )
    monkeypatch.setattr(loaded, "load_model", lambda *arguments: None)
    monkeypatch.setattr(
        module, "Adaptation", lambda **given: seen.append(given) or SimpleNamespace(run=lambda *a: None)
    )
    for spec in config.specs:
        paths = run.trial(spec.trial_id)
        TrialWorker(run, config, spec, Worker(0, 1, "cpu", lambda: None, print), Status(paths)).train()
    assert [given["config"].learning_rate for given in seen] == [0.5] * 3
    assert [given["seed"] for given in seen] == [10, 11, 12]
    assert {given["config"].seed for given in seen} == {10}  # of the split, which all share


def test_a_curve_that_was_damaged_ends_no_trial_and_is_told(trial_of):
    trial = trial_of({"unet": 1})
    for step in (1, 2):
        trial.report({"step": step, "val_loss": 0.5})
    torn = trial.paths.metrics.read_text()[:-9]
    trial.paths.metrics.write_text(torn)
    trial.report({"step": 3, "val_loss": 0.4})
    assert [line["step"] for line in read_json_lines(trial.paths.metrics)] == [1, 3]
    assert read_status(trial.paths)["notes"] == ["metrics.jsonl is damaged: 1 of 2 lines are lost"]
