"""The arithmetic of a forecast, with round numbers."""

import pytest

from fashion_sweep.config_files import load_run_config
from fashion_sweep.plan import resolved
from fashion_sweep.rehearsal.flops import Flops, count_flops
from fashion_sweep.rehearsal.forecast import Amount, ImagePace, Pace, Row, disk, forecast
from fashion_sweep.rehearsal.pace import reckoned_pace
from fashion_sweep.rehearsal.scale import representatives, with_random_weights

IMAGES = ImagePace(base_step=0.01, refiner_step=0.02, decode=0.1, features=0.3, reference=0.5, forward=0.004)


def amount(**values):
    given = {"records": {"fashion": 2000}, "captions": 100, "workers_per_trial": 2, "gpus_per_worker": 1, "cluster": 2}
    return Amount(**(given | values))


def pace(config):
    steps = {("unet",): 0.5, ("text_encoders",): 2.0}
    return Pace(
        step={(names, None): seconds for names, seconds in steps.items()},
        forward=0.1,
        encode_view=0.2,
        encode_caption=0.3,
        images=dict.fromkeys(config.sweep.judge, IMAGES),
        statistics=7.0,
    )


def config_of(*settings):
    return resolved(load_run_config("exp2", "sdxl", ["training.batch_size=10", *settings]))


def test_a_trials_time_is_its_steps_validations_and_images():
    config = config_of("sweep.trials=[{unet: 1}]", "training.epochs=2")
    (trial,) = forecast(config, pace(config), amount()).trials
    # 1,900 of 2,000 images train, twice, by 10; validated at 0 and 380, on 100 images by 2 workers
    assert trial.steps == 380
    assert trial.training == pytest.approx(380 * 0.5 + 2 * 50 * 0.1)
    # 1,000 images a worker: 40 steps of the base, 10 of the refiner, decoding, features
    assert trial.judging == pytest.approx(1000 * (40 * 0.01 + 10 * 0.02 + 0.1 + 0.3) + 7)
    assert trial.gpu_hours == pytest.approx(2 * trial.seconds / 3600)


def test_a_sweep_takes_as_long_as_its_trials_need_on_the_gpus_there_are():
    config = config_of("sweep.trials=[{unet: 1}, {unet: 2}, {text_encoders: 1}, {unet: 1, steps: 1}]")
    two, eight = (forecast(config, pace(config), amount(cluster=count)) for count in (2, 8))
    assert (two.at_once, eight.at_once) == (1, 4)
    assert two.hours * 3600 == pytest.approx(sum(trial.seconds for trial in two.trials) + two.preparing)
    longest = max(trial.seconds for trial in two.trials)
    assert eight.hours * 3600 == pytest.approx(longest + two.preparing / 4)
    assert eight.gpu_hours == pytest.approx(two.gpu_hours)


def test_the_cache_is_made_for_what_is_trained():
    config = config_of("sweep.trials=[{unet: 1}]")
    made = forecast(config, pace(config), amount()).preparing
    assert made == pytest.approx((2000 * 4 * 0.2 + 100 * 0.3 + 2000 * 0.5) / 2)
    base = config_of("sweep.trials=[{}]")
    assert forecast(base, pace(base), amount()).preparing == pytest.approx(2000 * 0.5 / 2)


def test_without_gpus_one_worker_does_the_steps_of_all():
    config = config_of("sweep.trials=[{unet: 1}]", "training.steps=10", "training.epochs=null")
    found = forecast(config, pace(config), amount().on_one_worker())
    assert found.trials[0].training == pytest.approx(10 * 2 * 0.5 + 2 * 100 * 0.1)
    assert found.gpu_hours == 0


def test_disk_is_rows_times_their_bytes():
    config = config_of("sweep.trials=[{unet: 1}]")
    row = Row(images=100.0, captions=300.0, references={"fashion": 7.0}, judged=8.0)
    parts = disk(config, row, amount(), {"unet-r1": 1000})
    assert parts["cache: latents"] == 200_000
    assert parts["cache: prompt embeddings"] == 30_000
    assert parts["adapters, here and in MLflow"] == 8000
    assert parts["features of judged images"] == 2 * 2000 * 8


def test_operations_become_seconds_by_the_throughput_that_is_assumed():
    config = config_of("sweep.trials=[{unet: 1}, {text_encoders: 1}]")
    flops = Flops(base=1e12, refiner=2e12, text=1e11, encode=3e12, decode=6e12, features=3e9, reference=1e9)
    found = reckoned_pace(config, {"training": flops, "fashion": flops}, tflops=100, statistics=5.0)
    assert found.step[("unet",), None] == pytest.approx(5 * 3 * 0.01)
    assert found.step[("text_encoders",), None] == pytest.approx(5 * 3 * 0.011)
    image = found.images["fashion"]
    assert (image.base_step, image.refiner_step) == (pytest.approx(0.02), pytest.approx(0.04))
    assert image.decode == pytest.approx(6 / (100 / 3))


def test_operations_of_sdxl_are_those_of_its_size():
    preset = load_run_config("exp1", "sdxl").preset
    flops = count_flops(preset.model, preset.evaluation, preset.data.fashion.evaluation)
    # 2.57e9 weights meet 64 x 45 positions, most of them at a quarter or a sixteenth of the resolution
    assert 1.0e12 < flops.base < 1.4e12
    assert 1.0e12 < flops.refiner < 1.4e12
    assert count_flops(with_random_weights(preset).model, preset.evaluation, preset.training.image) == flops


def test_each_placement_is_rehearsed_once_by_its_largest_trial():
    config = config_of("sweep.trials=[{}, {unet: 4, steps: 9}, {unet: 2}, {text_encoders: 1}]", "sweep.seeds=2")
    assert [spec.trial_id for spec in representatives(config)] == ["base-model", "unet-r4", "text_encoders-r1"]
