"""Which trials a sweep has, and how large they are: the study's own numbers, from configs alone."""

import subprocess
import sys

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import ConfigError
from fashion_sweep.planning.plan import plan, resolved, trials_wanted


def planned(sweep, preset, *settings):
    return plan(resolved(load_run_config(sweep, preset, settings)))


@pytest.mark.parametrize(
    ("sweep", "parameters"),
    [
        ("exp1", [2_903_040, 3_057_152, 3_211_264]),
        ("exp2", [1_451_520, 2_903_040, 5_806_080, 11_612_160, 92_897_280]),
        ("exp3", [0, 1_451_520]),
        ("exp4", [0, 1_451_520]),
        ("exp5", [0, 2_903_040, 2_955_264, 2_862_080, 2_955_264, 2_641_920, 3_082_240, 2_662_400, 3_143_680]),
        ("exp6", [1_451_520] * 2 + [11_612_160] * 6 + [92_897_280] * 6),
        ("exp7", [5_806_080] * 18 + [5_815_040] * 9 + [5_894_400] * 9 + [6_471_680] * 9),
        ("exp8", [2_903_040, 8 * (768 + 1280), 2_903_040 + 8 * (768 + 1280)]),
        ("exp9", [2_903_040] * 3),
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
    assert len(config.specs) == 3
    assert resolved(config) == config


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sweep.space.placements=[unett]", "did you mean 'unet'?"),
        ("sweep.space.budget={tolerance: 0.1}", "exactly one of parameters, equal_to and at_most must"),
        ("sweep.space.budget={parameters: 5, equal_to: {unet: 1}}", "exactly one of parameters, equal_to and"),
        ("sweep.trials=[{unet: 1}]", "exactly one of trials and space must be given"),
        ("sweep.space.ranks=[2, 2]", "ranks: 2 is listed twice"),
        ("sweep.space.placements=[unet, unet]", "placements: unet is listed twice"),
        ("sweep.name=../elsewhere", "sweep.name: string should match"),
    ],
)
def test_a_mistake_in_a_space_is_told(setting, said):
    with pytest.raises(ConfigError) as raised:
        load_run_config("exp1", "tiny", [setting])
    assert said in str(raised.value)


def test_training_can_be_an_axis_of_a_space():
    axes = "{learning_rate: [1e-3, 2e-3], target_modules: [[to_q]]}"
    trials = planned("exp1", "tiny", f"sweep.space={{placements: [unet], ranks: [1, 2], training: {axes}}}")
    assert [trial.trial_id for trial in trials] == [
        "unet-r1-lr0.001-targetsto_q",
        "unet-r1-lr0.002-targetsto_q",
        "unet-r2-lr0.001-targetsto_q",
        "unet-r2-lr0.002-targetsto_q",
    ]
    assert trials[0].training == {"learning_rate": 0.001, "target_modules": ["to_q"]}
    assert trials[2].parameters == 2 * trials[0].parameters


def test_a_search_wants_no_more_trials_than_its_space_has():
    space = "sweep.space={placements: [unet], ranks: [1, 2], budget: {at_most: 140000}}"
    assert trials_wanted(load_run_config("search", "tiny", [space])) == 2
    assert trials_wanted(load_run_config("search", "tiny", ["sweep.search.trials=7"])) == 7
    assert trials_wanted(load_run_config("exp2", "tiny")) == 0


def test_at_most_is_a_budget_too():
    trials = planned("exp1", "sdxl", "sweep.space.budget={at_most: 1_500_000}")
    assert [trial.parameters for trial in trials] == [401_408, 802_816, 1_451_520]


def test_several_seeds_train_each_configuration_as_often_but_not_the_base_model():
    trials = planned("exp3", "tiny", "sweep.seeds=3")
    assert [trial.trial_id for trial in trials] == ["base-model", "unet-r1", "unet-r1-seed1", "unet-r1-seed2"]
    assert len({trial.parameters for trial in trials[1:]}) == 1


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ("{unet: one}", "unet: the rank must be a whole number from 0 to 4096, not 'one'"),
        ("{unet: -1}", "from 0 to 4096, not -1"),
        ("{unet: 1000000000000}", "from 0 to 4096, not 1000000000000"),
        ("{unet: 1, unet: 4}", "not valid YAML"),
        ("{unet: 1, learning_rate: 0}", "learning_rate: Input should be greater than 0"),
        ("{unet: 1, learning_rat: 1}", "did you mean 'learning_rate'?"),
        ("{unet: 1, steps: 5}, {unet: 1, steps: 5}", "trial 'unet-r1-steps5' is listed twice"),
        ("{unet: 1, steps: 5, epochs: 1}", "in steps or in epochs, not in both"),
        ("{unet: 1, target_modules: [../x]}", "target_modules.0: String should match"),
    ],
)
def test_a_mistake_in_a_trial_is_told(trial, said):
    with pytest.raises(ConfigError) as raised:
        load_run_config("exp2", "tiny", [f"sweep.trials=[{trial}]"])
    assert said in str(raised.value)


def test_a_trial_trains_with_its_own_values_and_the_presets_else():
    config = load_run_config("exp2", "sdxl", ["sweep.trials=[{unet: 1, learning_rate: 1e-4, steps: 7}]"])
    training = config.training_of(config.specs[0])
    assert (training.learning_rate, training.steps, training.epochs, training.batch_size) == (1e-4, 7, None, 16)


@pytest.mark.parametrize("preset", ["sdxl", "tiny"])
def test_a_plan_waits_for_no_heavy_library(preset):
    code = f"""
import sys
from fashion_sweep.cli.app import app
app(["plan", "exp1", "--preset", "{preset}", "--json"], standalone_mode=False)
sys.exit(bool({{"torch", "diffusers", "transformers", "ray", "mlflow"}} & sys.modules.keys()))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("target", ["to_vv", "norm1"])
def test_a_target_module_that_no_adapted_component_has_is_told(target):
    with pytest.raises(ConfigError, match=f"no layer named {target}"):
        planned("exp2", "tiny", f"sweep.trials=[{{unet: 1, target_modules: [to_q, {target}]}}]")


def test_equal_to_counts_the_target_modules_of_the_sweep():
    trials = planned("exp1", "tiny", "training.target_modules=[to_q, q_proj]", "sweep.space.placements=[unet]")
    assert [trial.trial_id for trial in trials] == ["unet-r2"]


def test_a_long_list_of_target_modules_still_makes_a_name_for_a_folder():
    targets = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.2", "proj_in", "proj_out", "time_emb_proj", "linear_1"]
    trials = planned("exp2", "tiny", f"sweep.trials=[{{unet: 1, target_modules: [{', '.join(targets)}]}}]")
    assert len(trials[0].trial_id) <= 100
