"""A rehearsal on the tiny preset: every stage runs, a broken one is named, and no metric comes out of it."""

import io
import sys
from types import SimpleNamespace

import pytest
from diffusers import UNet2DConditionModel
from rich.console import Console
from safetensors import safe_open

from fashion_sweep.cli.app import main
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.errors import ConfigError
from fashion_sweep.rehearsal.rehearse import RehearsalOptions, rehearse
from fashion_sweep.rehearsal.setting import apart
from fashion_sweep.rehearsal.tables import as_json, tables
from fashion_sweep.storage.files import read_json
from fashion_sweep.training.checkpoint import Checkpoint
from tests.conftest import write_fashion

QUICK = ["--set", "generation.batch_size=4", "--set", "training.batch_size=2"]
ONE = [*QUICK, "--set", "sweep.trials=[{unet: 1}, {unet: 2}]", "--set", "sweep.sample_prompts=[]"]
STAGES = [
    "load base",
    "cache images",
    "cache captions",
    "load judge",
    "cache reference-fashion",
    "train and checkpoint",
    "resume and save adapter",
    "load what draws pictures",
    "generate",
    "features",
    "statistics",
    "count parameters",
    "export",
    "MLflow",
]


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fashion-sweep", "rehearse", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """What the rehearsal found, its folder, and its progress."""
    root, said = tmp_path_factory.mktemp("runs"), io.StringIO()
    wish = RehearsalOptions(random_weights=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_SWEEP_RUNS", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        outcome = rehearse(load_run_config("exp2", "tiny", ONE[1::2]), wish, Console(file=said, width=200))
    return as_json(outcome, wish), outcome.setting.run, said.getvalue()


def test_every_stage_of_a_run_is_gone_through_and_nothing_is_left_beside_the_rehearsal(rehearsed):
    found, run, said = rehearsed
    assert [stage["name"] for stage in found["stages"] if not stage["done"]] == []
    assert set(STAGES) <= {stage["name"] for stage in found["stages"]}
    assert all(stage["peak_rss"] >= stage["started_rss"] > 0 for stage in found["stages"])
    assert all(name in said for name in STAGES)
    assert [path.name for path in run.root.parent.parent.iterdir()] == ["rehearsals"]
    assert read_json(run.rehearsal) == found


def test_one_trial_stands_for_all_of_its_placement_and_its_adapter_is_counted(rehearsed):
    found, run, _ = rehearsed
    assert list(found["parameters"]) == ["unet-r2"]
    with safe_open(run.trial("unet-r2").adapter, "pt") as file:
        counted = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    assert found["parameters"]["unet-r2"] == counted == 34_368
    assert [trial["title"] for trial in found["forecast_here"]["trials"]] == ["UNet rank 1", "UNet rank 2"]


def test_random_weights_are_said_and_no_metric_is_written_down(rehearsed):
    found, run, _ = rehearsed
    assert any(note.startswith("random weights: base, refiner;") for note in found["notes"])
    assert read_json(run.trial("unet-r2").result)["evaluations"] == {"fashion": {"images_at_once": 4}}


def test_the_rehearsal_is_no_longer_seen_in_mlflow(rehearsed):
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    _, run, _ = rehearsed
    store = MlflowClient(f"sqlite:///{run.root}/mlflow.db")
    assert [one.name for one in store.search_experiments()] == ["Default"]
    deleted = store.search_experiments(view_type=ViewType.DELETED_ONLY)
    assert [one.name for one in deleted] == ["exp2/tiny-rehearsal"]
    runs = store.search_runs([deleted[0].experiment_id], run_view_type=ViewType.DELETED_ONLY)
    assert len(runs) == 2  # the run and its trial
    metrics = {name for one in runs for name in one.data.metrics}
    assert {name for name in metrics if not name.startswith("seconds_")} == {"train_loss", "val_loss"}


@pytest.mark.parametrize(
    ("broken", "stage"),
    [
        ("fashion_sweep.encodings.encoders.encode_images", "cache images"),
        ("fashion_sweep.training.adapt.attaching.save", "resume and save adapter"),
        ("fashion_sweep.models.sdxl.model.denoise", "generate"),
        ("fashion_sweep.rehearsal.stages.mirror", "MLflow"),
    ],
)
def test_a_stage_that_fails_is_named_with_exit_code_2(command, runs_root, monkeypatch, broken, stage):
    def fail(*arguments, **options):
        raise ValueError("out of luck")

    monkeypatch.setattr(broken, fail)
    code, _, err = command("exp2", *ONE)
    assert code == 2
    assert err.count("\n") == 1
    assert f"stage {stage!r}" in err
    assert "ValueError: out of luck" in err
    (log,) = (runs_root / "rehearsals").glob("*/log.txt")
    assert "Traceback" in log.read_text()


def test_a_training_that_does_not_go_on_from_its_checkpoint_is_found_out(command, monkeypatch):
    monkeypatch.setattr("fashion_sweep.training.adapt.load_checkpoint", lambda *arguments: Checkpoint())
    code, _, err = command("exp2", *ONE)
    assert code == 2
    assert "'compare resumed training' of UNet rank 2 failed" in err
    assert "went on with step 1, not from the checkpoint of step 3" in err


def test_a_folder_that_run_would_refuse_is_rehearsed_even_with_one_image_and_that_is_said(command, tmp_path):
    root = write_fashion(tmp_path / "one", {"only.jpg": (60, 90)})
    code, out, err = command("exp2", *ONE, "--set", f"data.fashion.root={root}")
    assert code == 0, err
    assert "warning: run would refuse this: data.fashion: 1 images are too few to train" in out


def test_a_limit_of_the_cache_is_rehearsed_as_it_would_be_run(runs_root):
    config = load_run_config("exp2", "tiny", [*ONE[1::2], "cache.max_gb=0.009"])
    outcome = rehearse(config, RehearsalOptions(), Console(file=io.StringIO()))
    with apart(outcome.setting.run.root):
        caches = read_caches(outcome.setting.run)
    assert (caches.views, caches.captions) == (2, None)
    assert caches.images.row("latents", 0).shape[0] == 2
    assert "cache captions" not in {stage.name for stage in outcome.stages}
    assert sum(size for name, size in outcome.disk.items() if name.startswith("cache")) <= 0.009e9
    assert set(outcome.pace.rows) == {"images", "reference-fashion"}
    assert outcome.pace.caption > 0
    assert {
        "Within cache.max_gb=0.009 no prompt embeddings are kept, of 0.0248 MB a caption: captions are encoded in "
        "training.",
        "Within cache.max_gb=0.009 2 of 4 views an image are kept.",
    } <= set(outcome.setting.notes)
    assert tables(outcome, RehearsalOptions())


def test_a_limit_below_the_least_is_a_mistake_before_any_stage(command):
    code, out, err = command("exp2", *ONE, "--set", "cache.max_gb=0.001")
    assert (code, err.count("\n")) == (2, 1)
    assert "cache.max_gb: 0.001 is less than" in err
    assert "load base" not in out


@pytest.fixture(scope="module")
def by_the_clock(tmp_path_factory):
    """exp4, by a clock that the UNets alone move: 10 s a call, and 1 s for each of its samples."""
    clock, forward = SimpleNamespace(now=0.0), UNet2DConditionModel.forward

    def ticking(self, sample, *arguments, **options):
        clock.now += 10 + len(sample)
        return forward(self, sample, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_SWEEP_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.setattr(UNet2DConditionModel, "forward", ticking)
        patch.setattr("fashion_sweep.rehearsal.timings.time", SimpleNamespace(monotonic=lambda: clock.now))
        config = load_run_config("exp4", "tiny", QUICK[1::2])
        assert config.sweep.sample_prompts
        return rehearse(config, RehearsalOptions(), Console(file=io.StringIO()))


def test_a_call_is_divided_by_its_own_images_and_the_sample_grid_and_losses_do_not_count(by_the_clock):
    images = by_the_clock.pace.images["general"]
    assert images.base_step == images.second_step == pytest.approx((10 + 8) / 4)  # four images, with guidance
    assert images.forward == pytest.approx((10 + 8) / 8)
    assert by_the_clock.pace.step[(("unet", "lora"),), None] == pytest.approx(10 + 2)


def test_base_model_and_general_prompts_are_rehearsed_too(by_the_clock):
    assert by_the_clock.parameters == {"base-model": 0, "unet-r1": 17_184}
    names = {str(stage.name) for stage in by_the_clock.stages}
    assert {"cache reference-general", "cache loss-general"} <= names
    base, adapted = by_the_clock.here.trials
    assert base.training == 0 < adapted.training


def test_work_that_cannot_be_counted_is_told_before_any_stage(command, monkeypatch):
    def fail(config):
        raise ConfigError("model.refiner: out of luck")

    monkeypatch.setattr("fashion_sweep.rehearsal.stages.count_work", fail)
    code, out, err = command("exp2", *ONE)
    assert (code, err.count("\n")) == (2, 1)
    assert "load base" not in out


def test_fewer_gpus_than_a_trial_needs_are_a_mistake(command, runs_root):
    code, _, err = command("exp2", "--preset", "sdxl", "--random-weights", "--gpus", "1")
    assert (code, err.count("\n")) == (2, 1)
    assert "--gpus 1: a trial needs 2" in err
    assert not runs_root.exists()


def test_a_sweep_that_judges_nothing_cannot_be_forecast(command, runs_root):
    code, _, err = command("exp2", "--set", "sweep.judge=[]")
    assert (code, err.count("\n")) == (2, 1)
    assert "sweep.judge: is empty" in err
