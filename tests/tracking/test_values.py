"""What MLflow is told of a trial."""

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.tracking.values import trial_params


def test_params_have_what_a_trial_sets_for_itself_and_name_parts_as_mlflow_can():
    trials = "[{unet: 1, optimizer: adafactor, warmup_steps: 5}, {unet.mid_block+up_blocks.0: 2}]"
    config = load_run_config("exp2", "tiny", [f"sweep.trials={trials}"])
    first, second = (trial_params(config, spec, {}) for spec in config.specs)
    assert (first["optimizer"], first["warmup_steps"], first["unet_rank"]) == ("adafactor", "5", 1)
    assert "optimizer" not in second
    assert (second["unet.mid_block up_blocks.0_rank"], second["unet_rank"]) == (2, 0)
