"""Memory that does not suffice: micro-batches are halved by all workers together, and the result stays."""

import pytest
import torch
from safetensors.torch import load_file

from fashion_sweep.errors import TrialError
from fashion_sweep.models.sdxl.model import SDXLModel
from tests.training.test_loop import same, trained, world  # noqa: F401
from tests.training.workers import limit_memory, train_with

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"


@pytest.fixture
def limited(monkeypatch):
    def limit(samples, *error):
        monkeypatch.setattr(SDXLModel, "loss", SDXLModel.loss)  # what is set next is taken back after the test
        limit_memory(SDXLModel, samples, *error)

    return limit


@pytest.mark.parametrize("error", [(torch.OutOfMemoryError, "CUDA out of memory."), (RuntimeError, CPU_MESSAGE)])
def test_a_step_that_runs_out_of_memory_is_repeated_in_halves_with_the_same_result(
    world,  # noqa: F811
    tmp_path,
    limited,
    caplog,
    error,
):
    wanted, _ = trained(world, tmp_path / "halves", micro_batch_size=2)
    limited(2, *error)
    adapter, reports = trained(world, tmp_path / "limited")
    assert same(adapter, wanted)
    assert reports[-1]["micro_batch_size"] == 2
    assert caplog.text.count("out of memory at step 0 with 4 samples at a time; from here on with 2") == 1


def test_a_training_that_goes_on_keeps_its_smaller_micro_batch(world, tmp_path, limited):  # noqa: F811
    wanted, _ = trained(world, tmp_path / "ones", micro_batch_size=1)
    limited(1)
    trained(world, tmp_path / "killed", stop_at=3)
    limited(4)
    adapter, reports = trained(world, tmp_path / "killed")
    assert reports[-1]["micro_batch_size"] == 1
    assert same(adapter, wanted)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [({}, "training.gradient_checkpointing=true"), ({"gradient_checkpointing": True}, "a smaller training.image")],
)
def test_one_sample_that_does_not_fit_fails_and_names_what_to_change(
    world,  # noqa: F811
    tmp_path,
    limited,
    changes,
    remedy,
):
    limited(0)
    with pytest.raises(TrialError, match=f"out of memory at step 0 with one sample at a time; set {remedy}"):
        trained(world, tmp_path, **changes)


def test_any_other_error_is_no_matter_of_memory(world, tmp_path, limited):  # noqa: F811
    limited(2, RuntimeError, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        trained(world, tmp_path)


def test_any_number_of_workers_gives_the_same_adapter_bit_for_bit(world, tmp_path):  # noqa: F811
    alone, reports = trained(world, tmp_path / "one", micro_batch_size=2, steps=3)
    train_with(2, tmp_path / "two", world, micro_batch_size=2)
    together = load_file(tmp_path / "two" / "adapter" / "pytorch_lora_weights.safetensors")
    assert same(together, alone)
    told = [torch.load(tmp_path / "two" / f"reports-{rank}.pt")[-1] for rank in range(2)]
    assert {report["train_loss"] for report in told} == {reports[-1]["train_loss"]}
    assert told[0]["val_loss"] == pytest.approx(reports[-1]["val_loss"], rel=1e-6)


def test_where_one_of_two_workers_runs_out_of_memory_both_repeat_the_step(world, tmp_path):  # noqa: F811
    alone, _ = trained(world, tmp_path / "one", micro_batch_size=1, steps=3)
    train_with(2, tmp_path / "two", world, limits={1: 1})
    assert same(load_file(tmp_path / "two" / "adapter" / "pytorch_lora_weights.safetensors"), alone)
    for rank in range(2):
        assert "out of memory at step 0 with 2 samples" in (tmp_path / "two" / f"log-{rank}.txt").read_text()


def test_where_one_sample_does_not_fit_one_worker_both_stop_and_say_so(world, tmp_path):  # noqa: F811
    train_with(2, tmp_path, world, limits={0: 0})
    for rank in range(2):
        assert "one sample at a time" in (tmp_path / f"error-{rank}.txt").read_text()
