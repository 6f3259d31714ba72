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


def test_params_have_the_options_that_an_adapter_has_for_itself_and_the_alpha_that_holds():
    trials = "[{unet: {rank: 2, lora_alpha: 8}}, {unet: 2, lora_alpha: 3}, {unet: {kind: oft, oft_block_size: 4}}]"
    config = load_run_config("exp2", "tiny", [f"sweep.trials={trials}"])
    own, by_trial, rotated = (trial_params(config, spec, {}) for spec in config.specs)
    assert (own["lora_alpha"], own["unet_lora_alpha"]) == (8.0, 8.0)
    assert (by_trial["lora_alpha"], by_trial["unet_lora_alpha"]) == (3.0, 3.0)
    assert "lora_alpha" not in rotated
    assert rotated["unet_oft_block_size"] == 4
