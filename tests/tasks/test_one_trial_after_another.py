"""A process that has carried out a trial is as good as new for the next one."""

import gc
import multiprocessing
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from fashion_sweep.cluster.worker import Withdrawn, Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.models.loaded import forget_models, kept_models
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.tasks.sweep import run_trial
from tests.tasks.prepared import prepared_run

SETTINGS = [
    "data.fashion.rendered_images=240",
    "training.steps=3",
    "training.views=1",
    "training.gradient_checkpointing=true",
    "training.batch_size=2",
    "generation.num_inference_steps=2",
    "generation.refine_fraction=0.5",
    "evaluation.samples=160",
    "sweep.trials=[{}, {unet: {kind: dora, rank: 2}}, {text_encoders: 2}, {unet: 1, text_encoders: 1}, {unet: 4}]",
    "sweep.sample_prompts=[]",
]


@pytest.fixture
def prepared(put_world, runs_root):
    """Two runs whose caches are filled, and the trials of each."""
    put_world(runs_root, 240)
    config = load_run_config("exp2", "tiny", SETTINGS)
    runs = [prepared_run(name, config) for name in ("together", "alone")]
    yield *runs, [spec.trial_id for spec in specs_of(config)]
    forget_models()


def carry_out(run, trial_id, stays, report=print):
    worker = Worker(0, 1, "cpu", lambda: None, report)
    run_trial(run, trial_id, replace(worker, stays=stays))


def carry_out_alone(run, trial_id):
    """In a process of its own, which has done nothing before."""
    threads = torch.get_num_threads()  # on which sums depend
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (threads,)) as pool:
        pool.apply(carry_out, (run, trial_id, False))


def withdraw(values):
    if values["step"]:
        raise Withdrawn


def made(run, trial_id):
    """All that a trial has made, to the bit."""
    trial = run.trial(trial_id)
    files = [path for path in (trial.adapter, trial.features("fashion")) if path.exists()]
    return {(path.name, key): value for path in files for key, value in load_file(path).items()}


def tensors_alive():
    gc.collect()
    return sum(isinstance(one, torch.Tensor) for one in gc.get_objects())


def test_trials_of_one_process_come_out_as_each_alone_and_leave_nothing_behind(prepared):
    together, alone, trials = prepared
    left = []
    for trial_id in trials:
        if trial_id == trials[-1]:
            with pytest.raises(Withdrawn):
                carry_out(together, trial_id, stays=True, report=withdraw)
        carry_out(together, trial_id, stays=True)
        left.append(tensors_alive())
    for trial_id in (trials[1], trials[-1]):  # the first that is trained, and the one after all others
        carry_out_alone(alone, trial_id)
        ours, theirs = made(together, trial_id), made(alone, trial_id)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), trial_id
    assert len(set(left[1:])) == 1
    assert len(kept_models()._models) == 1
