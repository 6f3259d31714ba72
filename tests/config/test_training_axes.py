"""The settings of training that trials may have for themselves: one list, from the fields of the config."""

import re

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.training_axes import AXES, TRAINING_AXES, ModelAxes, TrainingAxes, training_values, worded
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.errors import ConfigError
from fashion_sweep.tasks.preflight import check_catalogue, check_config


def test_every_axis_is_a_setting_of_a_preset_with_a_short_name_of_its_own():
    of_training, of_model = TrainingAxes.model_fields.keys(), ModelAxes.model_fields.keys()
    assert AXES.keys() == of_training | of_model
    assert of_training < TrainingConfig.model_fields.keys()
    assert of_model < ModelConfig.model_fields.keys()
    assert len(set(TRAINING_AXES.values())) == len(TRAINING_AXES)


def test_a_trial_has_its_own_value_of_any_axis():
    values = {"optimizer": "adafactor", "schedule": "linear", "warmup_steps": 10, "lora_alpha": "rank"}
    spec = TrialSpec.of({"unet": 4, **training_values(values)})
    training = load_run_config("exp2", "tiny").training_of(spec)
    assert {name: getattr(training, name) for name in values} == values
    assert spec.trial_id == "unet-r4-alpharank-optimizeradafactor-schedulelinear-warmup10"
    assert spec.title == "UNet rank 4, alpha = rank, optimizer = adafactor, schedule = linear, warmup 10"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optimizer": "adam"}, "optimizer: there is none of this name; did you mean 'adamw'?"),
        ({"schedule": "sine"}, "schedule: there is none of this name; did you mean 'cosine'"),
        ({"lora_alpha": "ranks"}, "lora_alpha"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"steps": 5, "epochs": 1}, "in steps or in epochs, not in both"),
    ],
)
def test_a_value_that_does_not_fit_is_told_by_its_name(values, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        training_values(values)


def test_words_and_numbers_read_as_such():
    assert worded("lr", 1e-3) == "lr 0.001"
    assert worded("alpha", "rank") == "alpha = rank"
    assert TrialSpec.of({"unet": {"rank": 4, "use_rslora": True}}).title == "UNet rank 4, rslora"
    assert TrialSpec.of({"unet": {"rank": 4, "use_rslora": True}}).trial_id == "unet-r4-rslora"
    assert worded("targets", ("to_q", "to_v")) == "targets to_q to_v"


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ("{unet: {kind: null}}", "unet.kind: must be the name of a kind of adapter, not None"),
        ("{unet: {kind: [lora]}}", "unet.kind: must be the name of a kind of adapter"),
        ("{unet: {rank: true}}", "unet.rank: must be a number"),
        ("{unet: {rank: 2, lora_alpha: true}}", "unet.lora_alpha: must be a number"),
        ("{unet: 2, warmup_steps: true}", "warmup_steps: must be a number"),
        (
            "{text_encoders: {kind: prompt_tokens, num_tokens: 2, token: my style}}",
            "text_encoders.token: String",
        ),
        ("{unet: 2, warmup_steps: 300}", "training.warmup_steps: 300 are all of the 300 steps of UNet rank 2"),
    ],
)
def test_what_is_no_value_of_an_option_is_told_in_a_line(trial, said):
    with pytest.raises(ConfigError) as raised:
        check_config(load_run_config("exp2", "tiny", [f"sweep.trials=[{trial}]"]))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_warm_up_longer_than_so_many_epochs_is_told_once_the_data_is_known():
    config = load_run_config("exp2", "tiny", ["training.steps=null", "training.epochs=2", "training.warmup_steps=50"])
    check_config(config)
    catalogue = Catalogue(tuple(Record(f"{n}.jpg", ".", "A shirt.", 48, 64) for n in range(200)), 0, ())
    with pytest.raises(ConfigError, match=r"training\.warmup_steps: 50 are all of the 48 steps of UNet rank 1"):
        check_catalogue("fashion", catalogue, config)


@pytest.mark.parametrize(
    "settings",
    [
        ["training.optimizer=prodigy"],
        ["sweep.trials=[{unet: 1, optimizer: prodigy}]"],
    ],
)
def test_an_optimizer_whose_package_is_missing_is_told_before_anything_starts(monkeypatch, settings):
    monkeypatch.setattr("fashion_sweep.training.optimizers.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="prodigy needs prodigyopt; install it with pip install"):
        check_config(load_run_config("exp2", "tiny", settings))
    check_config(load_run_config("exp2", "tiny"))
