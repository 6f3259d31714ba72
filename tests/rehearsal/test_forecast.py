"""The arithmetic of a forecast, with round numbers."""

import pytest
import torch
from safetensors.torch import save_file

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.encodings.size import Counts, cache_size
from fashion_sweep.planning.cost import FILE_S
from fashion_sweep.planning.plan import resolved, specs_of
from fashion_sweep.rehearsal.flops import Flops, count_flops
from fashion_sweep.rehearsal.forecast import Amount, ImagePace, Pace, disk, forecast
from fashion_sweep.rehearsal.meter import Meter
from fashion_sweep.rehearsal.pace import reckoned_pace
from fashion_sweep.rehearsal.scale import representatives, with_random_weights

IMAGES = ImagePace(base_step=0.01, second_step=0.02, decode=0.1, features=0.3, forward=0.004)
WITHOUT_CAPTIONS = "cache.max_gb=0.3"
"""Of prompt embeddings of a thousand captions, latents and features, which take 0.52 GB."""


def amount(**values):
    given = {"records": {"fashion": 2000}, "captions": 100, "workers_per_trial": 2, "gpus_per_worker": 1, "cluster": 2}
    return Amount(**(given | values))


def pace(config):
    steps = {("unet",): 0.5, ("text_encoders",): 2.0}
    return Pace(
        step={(tuple((name, "lora") for name in names), None): seconds for names, seconds in steps.items()},
        forward=0.1,
        caption=0.25,
        rows={"images": 0.8, "captions": 0.3, "loss-general": 0.6, "reference-fashion": 0.5, "reference-general": 0.4},
        images=dict.fromkeys(config.sweep.judge, IMAGES),
        statistics=7.0,
    )


def kept(config, amount):
    return cache_size(config, specs_of(config), Counts(amount.records, amount.captions, "a test"))


def foretold(config, amount):
    return forecast(config, pace(config), amount, kept(config, amount))


def config_of(*settings):
    return resolved(load_run_config("exp2", "sdxl", ["training.batch_size=10", *settings]))


def test_a_trials_time_is_its_steps_validations_and_images():
    config = config_of("sweep.trials=[{unet: 1}]", "training.epochs=2")
    (trial,) = foretold(config, amount()).trials
    # 1,900 of 2,000 images train, twice, by 10; validated at 0 and 380, on 100 images by 2 workers
    assert trial.steps == 380
    assert trial.training == pytest.approx(380 * 0.5 + 2 * 50 * 0.1)
    # 20,000 images a worker: 40 steps of the base, 10 of the refiner, decoding, features
    assert trial.judging == pytest.approx(20_000 * (40 * 0.01 + 10 * 0.02 + 0.1 + 0.3) + 7)
    assert trial.gpu_hours == pytest.approx(2 * trial.seconds / 3600)


def test_a_sweep_takes_as_long_as_its_trials_need_on_the_gpus_there_are():
    config = config_of("sweep.trials=[{unet: 1}, {unet: 2}, {text_encoders: 1}, {unet: 1, steps: 1}]")
    two, eight = (foretold(config, amount(cluster=count)) for count in (2, 8))
    assert (two.at_once, eight.at_once) == (1, 4)
    assert two.hours * 3600 == pytest.approx(sum(trial.seconds for trial in two.trials) + two.preparing)
    longest = max(trial.seconds for trial in two.trials)
    assert eight.hours * 3600 == pytest.approx(longest + two.preparing / 4)
    assert eight.gpu_hours == pytest.approx(two.gpu_hours)


def test_the_cache_is_made_for_what_is_trained():
    config = config_of("sweep.trials=[{unet: 1}]")
    made = foretold(config, amount()).preparing
    assert made == pytest.approx((2000 * 0.8 + 100 * 0.3 + 2000 * 0.5) / 2)
    base = config_of("sweep.trials=[{}]")
    assert foretold(base, amount()).preparing == pytest.approx(2000 * 0.5 / 2)


def test_what_is_judged_on_general_prompts_is_cached_too():
    config = config_of("sweep.trials=[{unet: 1}]", "sweep.judge=[general]", "evaluation.loss_samples=256")
    both = amount(records={"fashion": 2000, "general": 3000})
    assert foretold(config, both).preparing == pytest.approx((2000 * 0.8 + 100 * 0.3 + 256 * 0.6 + 3000 * 0.4) / 2)
    assert foretold(config, both).trials[0].judging == pytest.approx(20_000 * 1.0 + 7 + 256 * (0.004 + 0.25))


def test_captions_that_the_limit_leaves_out_are_encoded_in_each_step_and_validation():
    settings = ("sweep.trials=[{unet: 1}, {text_encoders: 1}]", "training.steps=10", "training.epochs=null")
    cached, left_out = config_of(*settings), config_of(*settings, WITHOUT_CAPTIONS)
    many = amount(captions=1000)
    assert foretold(left_out, many).preparing == pytest.approx(foretold(cached, many).preparing - 1000 * 0.3 / 2)
    (frozen, trained), (frozen_left_out, trained_left_out) = (foretold(c, many).trials for c in (cached, left_out))
    assert frozen_left_out.training == pytest.approx(frozen.training + 2 * 50 * 0.25)  # two validations
    assert trained_left_out == trained
    flops = Flops(base=1e12, second=2e12, text=1e11, encode=3e12, decode=6e12, features=3e9)
    work = {"training": flops, "fashion": flops}
    found = reckoned_pace(left_out, work, kept(left_out, many), tflops=100, statistics=5.0)
    assert found.step[(("unet", "lora"),), None] == pytest.approx(5 * (3 * 0.01 + 0.001))
    assert found.step[(("text_encoders", "lora"),), None] == pytest.approx(5 * 3 * 0.011)
    assert "captions" not in found.rows


def test_without_gpus_one_worker_does_the_steps_of_all():
    config = config_of("sweep.trials=[{unet: 1}]", "training.steps=10", "training.epochs=null")
    found = foretold(config, amount().on_one_worker())
    assert found.trials[0].training == pytest.approx(10 * 2 * 0.5 + 2 * 100 * 0.1)
    assert found.gpu_hours == 0


def test_disk_is_rows_times_their_bytes():
    config = config_of("sweep.trials=[{unet: 1}]")
    parts = disk(config, kept(config, amount()), amount(), {"unet-r1": 1000})
    assert parts["cache images"] == 2000 * 4 * (2 * 4 * 64 * 45 + 24)
    assert parts["cache captions"] == 100 * 2 * (77 * 2048 + 1280)
    assert parts["adapters, here and in MLflow"] == 8000
    assert parts["features of judged images"] == 40_000 * (2 * 4 * 2049 + 16 * 3)  # and influences on three metrics
    left_out = config_of("sweep.trials=[{unet: 1}]", WITHOUT_CAPTIONS)
    assert "cache captions" not in disk(left_out, kept(left_out, amount(captions=1000)), amount(), {"unet-r1": 1000})


def test_operations_become_seconds_by_the_throughput_that_is_assumed():
    config = config_of("sweep.trials=[{unet: 1}, {text_encoders: 1}]")
    flops = Flops(base=1e12, second=2e12, text=1e11, encode=3e12, decode=6e12, features=3e9)
    work = {"training": flops, "fashion": flops}
    found = reckoned_pace(config, work, kept(config, amount()), tflops=100, statistics=5.0)
    assert found.step[(("unet", "lora"),), None] == pytest.approx(5 * 3 * 0.01)
    assert found.step[(("text_encoders", "lora"),), None] == pytest.approx(5 * 3 * 0.011)
    image = found.images["fashion"]
    assert (image.base_step, image.second_step) == (pytest.approx(0.02), pytest.approx(0.04))
    assert image.decode == pytest.approx(6 / (100 / 3))
    assert found.rows["images"] == pytest.approx(FILE_S + 4 * 3 / (100 / 3))
    assert found.rows["captions"] == pytest.approx(0.001)


def test_operations_of_sdxl_are_those_of_its_size():
    preset = load_run_config("exp1", "sdxl").preset
    flops = count_flops(preset.model, preset.evaluation, preset.picture_size("fashion"))
    # 2.57e9 weights meet 64 x 45 positions, most of them at a quarter or a sixteenth of the resolution
    assert 1.0e12 < flops.base < 1.4e12
    assert 1.0e12 < flops.second < 1.4e12
    assert count_flops(with_random_weights(preset).model, preset.evaluation, preset.training.image) == flops


def test_operations_of_a_single_file_are_those_of_its_architecture(tmp_path):
    preset = load_run_config("exp1", "sdxl").preset
    tensor = {"conditioner.embedders.0.model.ln_final.weight": torch.zeros(1)}
    save_file(tensor, tmp_path / "refiner.safetensors")
    model = preset.model.model_copy(update={"refiner": str(tmp_path / "refiner.safetensors")})
    size = preset.training.image
    assert count_flops(model, preset.evaluation, size) == count_flops(preset.model, preset.evaluation, size)


def test_a_stages_time_is_told_by_the_sample_and_one_that_was_not_met_is_not_zero(tmp_path):
    meter = Meter("cpu", lambda stage: None, tmp_path / "log.txt")
    with meter.stage("features", 4):
        pass
    assert meter.seconds("features") == meter.stages[0].seconds / 4
    with pytest.raises(KeyError, match="feature"):
        meter.seconds("feature")


def test_each_placement_is_rehearsed_once_by_its_largest_trial():
    config = config_of("sweep.trials=[{}, {unet: 4, steps: 9}, {unet: 2}, {text_encoders: 1}]", "sweep.seeds=2")
    assert [spec.trial_id for spec in representatives(config)] == ["base-model", "unet-r4", "text_encoders-r1"]
