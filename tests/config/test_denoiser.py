"""One sweep file for every architecture."""

import pytest
import yaml

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.named_files import PRESETS
from fashion_sweep.planning.plan import plan, resolved

STUDY = ["exp1", "exp2", "exp3", "exp4", "exp6", "exp7", "exp9", "search"]


@pytest.mark.parametrize("sweep", STUDY)
@pytest.mark.parametrize(("preset", "own"), [("sdxl", "unet"), ("sd3", "transformer")])
def test_a_sweep_names_the_denoiser_of_the_base_model_at_hand(sweep, preset, own):
    config = load_run_config(sweep, preset)
    space = config.sweep.space
    adapted = {one.placement for spec in config.specs for one in spec.adapters} | set(space.placements if space else ())
    assert own in adapted
    assert "denoiser" not in adapted


def test_parts_of_the_denoiser_and_a_budget_by_it():
    trials = "[{denoiser.attn2: 2, text_encoders: 1}]"
    (spec,) = load_run_config("exp2", "tiny", [f"sweep.trials={trials}"]).specs
    assert spec.trial_id == "unet.attn2-r2-text_encoders-r1"
    assert load_run_config("exp7", "sd3").sweep.space.budget.equal_to == {"transformer": 4}


def test_an_equal_budget_is_solved_for_the_base_model_at_hand():
    config = resolved(load_run_config("exp1", "sd3"))
    planned = {trial.title: trial.parameters for trial in plan(config)}
    assert planned == {
        "transformer rank 4": 2_985_984,
        "transformer rank 2, text encoders rank 4": 3_098_624,
        "text encoders rank 8": 3_211_264,
    }


def test_what_a_sweep_has_for_a_preset_is_also_for_those_that_are_like_it(tmp_path):
    same = yaml.safe_load((PRESETS / "tiny.yaml").read_text())
    like, other = tmp_path / "mine.yaml", tmp_path / "tiny-small.yaml"
    like.write_text(yaml.safe_dump({"like": "tiny", "model": same["model"]}))
    other.write_text(yaml.safe_dump(same))
    prompts = [load_run_config("exp2", preset).sweep.sample_prompts for preset in ("tiny", str(like), str(other))]
    assert prompts[0] == prompts[1] != prompts[2]
