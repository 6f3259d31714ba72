"""Which trials a sweep has, and how large they are: the study's own numbers, from configs alone."""

import pytest

from fashion_sweep.config_files import load_run_config
from fashion_sweep.errors import ConfigError
from fashion_sweep.plan import plan, resolved


def planned(sweep, preset, *settings):
    return plan(resolved(load_run_config(sweep, preset, settings)))


@pytest.mark.parametrize(
    ("sweep", "parameters"),
    [
        ("exp1", [2_903_040, 3_057_152, 3_211_264]),
        ("exp2", [1_451_520, 2_903_040, 5_806_080, 11_612_160, 92_897_280]),
        ("exp3", [0, 1_451_520]),
        ("exp4", [0, 1_451_520]),
    ],
)
def test_the_studys_trials_have_the_published_sizes(sweep, parameters):
    assert [trial.parameters for trial in planned(sweep, "sdxl")] == parameters


def test_a_budget_may_be_the_size_of_a_placement():
    as_large = ["sweep.space.budget={equal_to: {unet: 2}, tolerance: 0.11}"]
    assert planned("exp1", "sdxl", *as_large) == planned("exp1", "sdxl")


def test_the_embedded_model_has_the_studys_three_placements_too():
    assert {trial.trial_id for trial in planned("exp1", "tiny")} == {
        "unet-r2",
        "unet-r1-text_encoders-r4",
        "text_encoders-r8",
    }


def test_a_budget_that_nothing_meets_names_the_nearest():
    with pytest.raises(
        ConfigError, match=r"no placement has 970 to 1,030 parameters; the nearest: text encoders rank 1"
    ):
        planned("exp1", "tiny", "sweep.space.budget={parameters: 1000, tolerance: 0.03}")


def test_size_in_bytes_and_share_follow_from_the_count():
    trial = planned("exp2", "sdxl")[0]
    assert trial.adapter_bytes == 4 * 1_451_520
    assert trial.share == pytest.approx(1_451_520 / 3_385_000_000, rel=0.01)


def test_a_space_is_written_out_as_trials():
    config = resolved(load_run_config("exp1", "tiny"))
    assert config.sweep.space is None
    assert len(config.sweep.specs) == 3
    assert resolved(config) == config


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sweep.space.placements=[unett]", "did you mean 'unet'?"),
        ("sweep.space.budget={tolerance: 0.1}", "exactly one of parameters and equal_to must be set"),
        ("sweep.space.budget={parameters: 5, equal_to: {unet: 1}}", "exactly one of parameters and equal_to"),
        ("sweep.trials=[{unet: 1}]", "exactly one of trials and space must be given"),
    ],
)
def test_a_mistake_in_a_space_is_told(setting, said):
    with pytest.raises(ConfigError) as raised:
        load_run_config("exp1", "tiny", [setting])
    assert said in str(raised.value)
