"""What a run settles where its configuration says auto, by what was tried."""

import pytest
import torch

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import write_json
from fashion_sweep.tasks.trial_worker import TrialWorker
from fashion_sweep.training.probe import Bench, Tried, choose, way_in_words
from fashion_sweep.training.settled import FACT, Settled, is_unsettled

OPEN = ["training.gradient_checkpointing=auto", "training.micro_batch_size=auto", "training.batch_size=8"]


def hardware(fits, seconds=lambda way: 1.0, first_s=0.0):
    """Takes a step in a way: whether it `fits`, and how long it takes; and notes what was tried."""
    tried = []

    def attempt(way):
        tried.append(way_in_words(way))
        return Tried(way, seconds(way) if fits(way) else None, first_s)

    return attempt, tried


def settled(fits, *settings, seconds=lambda way: 1.0, first_s=0.0, kernels="sdpa"):
    attempt, tried = hardware(fits, seconds, first_s)
    return choose(load_run_config("exp2", "tiny", [*OPEN, *settings]), attempt, kernels), tried


def plain(way):
    """Seconds of a sample: checkpointing takes half as long again, small micro-batches a little longer."""
    return (1.5 if way.gradient_checkpointing else 1.0) * (1 + 0.2 / way.micro_batch_size)


def test_where_memory_suffices_nothing_is_computed_again_and_all_goes_through_at_once():
    chosen, _ = settled(lambda way: True, seconds=plain)
    assert (chosen.gradient_checkpointing, chosen.micro_batch_size) == (False, 8)


def test_micro_batches_are_halved_until_they_fit():
    chosen, tried = settled(lambda way: way.gradient_checkpointing or way.micro_batch_size <= 2, seconds=plain)
    assert (chosen.gradient_checkpointing, chosen.micro_batch_size) == (False, 2)
    assert tried[:3] == ["8 samples at once, sdpa", "4 samples at once, sdpa", "2 samples at once, sdpa"]


def test_checkpointing_is_chosen_where_it_is_faster_since_more_fits_at_once():
    chosen, _ = settled(
        lambda way: way.gradient_checkpointing or way.micro_batch_size == 1,
        seconds=lambda way: 1.5 if way.gradient_checkpointing else 2.0,
    )
    assert (chosen.gradient_checkpointing, chosen.micro_batch_size) == (True, 8)


def test_where_nothing_fits_as_little_as_possible_is_taken():
    chosen, _ = settled(lambda way: False)
    assert (chosen.gradient_checkpointing, chosen.micro_batch_size) == (True, 1)


def test_what_is_given_is_left():
    chosen, tried = settled(
        lambda way: True,
        "training.gradient_checkpointing=true",
        "training.micro_batch_size=4",
        "model.attention=sdpa",
        "model.channels_last=false",
        "model.compile=false",
        kernels="xformers",
    )
    assert tried == ["4 samples at once, checkpointing, sdpa"]
    assert chosen.config(load_run_config("exp2", "tiny", OPEN[:2])).preset.training.micro_batch_size == 4


def test_kernels_and_layout_are_chosen_by_time():
    slower = {"xformers": 1.2, "sdpa": 1.0}
    chosen, _ = settled(
        lambda way: True,
        seconds=lambda way: slower[way.attention] * (0.8 if way.channels_last else 1),
        kernels="xformers",
    )
    assert (chosen.attention, chosen.channels_last) == ("sdpa", True)


@pytest.mark.parametrize(("steps", "compiles"), [(10, False), (10_000, True)])
def test_compiling_is_chosen_where_it_saves_more_than_it_takes(steps, compiles):
    chosen, _ = settled(
        lambda way: True,
        f"training.steps={steps}",
        seconds=lambda way: 0.5 if way.compile else 1.0,
        first_s=100.0,
    )
    assert chosen.compile is compiles


def test_steps_are_taken_with_the_largest_trial_and_leave_the_model_as_it_was():
    config = load_run_config("exp2", "tiny", ["sweep.trials=[{unet: 1}, {unet: 2, text_encoders: 1}]"])
    bench = Bench(config, "cpu")
    for way in (Settled(False, 2, "sdpa"), Settled(True, 2, "sdpa")):
        tried = bench.step(way)
        assert tried.settled == way
        assert tried.seconds > 0
        assert tried.first_s > 0
    _, model = bench._loaded
    assert not any(weight.requires_grad for one in model.components.values() for weight in one.parameters())
    assert not any("lora" in name for one in model.components.values() for name, _ in one.named_modules())


def test_a_way_for_which_memory_does_not_suffice_is_told_as_such(monkeypatch):
    bench = Bench(load_run_config("exp2", "tiny"), "cpu")

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Bench, "_timed", full)
    assert bench.step(Settled(False, 2, "sdpa")).seconds is None


def test_trials_go_by_what_their_run_has_settled(tmp_path):
    run = RunPaths(tmp_path)
    run.config.write_text(load_run_config("exp2", "tiny", OPEN).to_yaml())
    write_json(run.facts, {FACT: {"gradient_checkpointing": False, "micro_batch_size": 4, "tried": ["…"]}})
    training = TrialWorker.open(run, "unet-r1", worker_alone()).config.preset.training
    assert (training.gradient_checkpointing, training.micro_batch_size) == (False, 4)


def worker_alone():
    from fashion_sweep.cluster.worker import Worker

    return Worker(0, 1, "cpu", lambda: None, lambda values: None)


def test_without_a_gpu_nothing_is_tried():
    assert is_unsettled(load_run_config("exp2", "sdxl"))
    assert not is_unsettled(load_run_config("exp2", "tiny", OPEN))
    assert Settled().training(load_run_config("exp2", "sdxl").preset.training).gradient_checkpointing is True
