"""A race on real trials: looks add to what was judged before, and whoever goes on decides as it would have been."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import RunError
from fashion_sweep.judging.race import races_of
from fashion_sweep.judging.standing import read_standings, standings
from fashion_sweep.metrics.estimates_file import read_estimates
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.storage.files import read_json, write_json
from fashion_sweep.tasks import racing
from fashion_sweep.tasks.sweep import run_sweep, run_trial
from tests.tasks.prepared import prepared_run

QUICK = [
    "data.fashion.rendered_images=240",
    "training.steps=2",
    "training.views=1",
    "generation.num_inference_steps=2",
    "generation.refine_fraction=0.5",
    "evaluation.samples=224",
    "sweep.choose.looks=[160]",
    "sweep.sample_prompts=[]",
]
TRIAL = "unet-r1"


class KilledError(Exception):
    pass


def dying(name, count):
    yield 0, 0
    raise KilledError


def prepared(name, *settings):
    config = load_run_config("exp2", "tiny", [*QUICK, "sweep.trials=[{unet: 1}, {unet: 2}]", *settings])
    return prepared_run(name, config)


def worker(**changed):
    return replace(Worker(0, 1, "cpu", lambda: None, print), **changed)


@pytest.fixture(autouse=True)
def _world(put_world, runs_root):
    put_world(runs_root, 240)


def test_images_of_a_further_look_are_those_of_judging_in_one_go():
    run, whole = prepared("race"), prepared("whole", "sweep.choose.race=false")
    run_trial(run, TRIAL, worker())
    first = read_json(run.trial(TRIAL).result)["evaluations"]["fashion"]
    assert first["samples"] == 160
    further = {"fashion": 224}
    with pytest.raises(KilledError):
        run_trial(run, TRIAL, worker(looks=further, shared=dying))
    assert read_json(run.trial(TRIAL).result)["evaluations"]["fashion"] == first
    run_trial(run, TRIAL, worker(looks=further))
    run_trial(whole, TRIAL, worker())
    ours, theirs = (load_file(one.trial(TRIAL).features("fashion")) for one in (run, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    at_all = [read_estimates(one.trial(TRIAL).estimates("fashion", 224), ["fid"]) for one in (run, whole)]
    assert at_all[0].metrics["fid"].value == at_all[1].metrics["fid"].value
    assert at_all[0].prompts == at_all[1].prompts
    assert len(set(at_all[0].prompts)) < 224  # there are fewer captions
    now = read_json(run.trial(TRIAL).result)["evaluations"]["fashion"]
    assert (now["samples"], list(now["looks"])) == (224, ["160", "224"])
    assert now["looks"]["160"] == first["looks"]["160"]
    result = read_json(run.trial(TRIAL).result)
    del result["evaluations"]["fashion"]["looks"]["160"]  # as if its worker had been killed before it told
    write_json(run.trial(TRIAL).result, result)
    run_trial(run, TRIAL, worker(looks={"fashion": 160}))
    assert read_json(run.trial(TRIAL).result)["evaluations"]["fashion"] == now


@pytest.fixture
def console():
    return Console(quiet=True)


@pytest.mark.timeout(280)
@pytest.mark.xdist_group("ray")
def test_a_race_whose_driver_is_lost_goes_on_where_it_was(console, monkeypatch):
    settings = [*QUICK, "sweep.trials=[{unet: 1}, {unet: 2}]", "training.learning_rate=0.1"]
    settings += ["sweep.choose.margins={clip_score: 0.01}"]
    config = load_run_config("exp2", "tiny", settings)
    killed = RunPaths(runs_root() / "killed")

    def lost(self):
        raise RunError("the driver is gone")

    with monkeypatch.context() as patched:
        patched.setattr(racing.Racing, "finish", lost)
        with pytest.raises(RunError):
            run_sweep(config, killed, console)
    assert run_sweep(config, killed, console)
    race = races_of(killed, config)["fashion"]
    assert race.end == "all images"
    assert set(race.images.values()) == {224}
    assert read_standings(killed)["fashion"] == standings(race, is_over=True)
    assert not list(killed.trials.glob("*/judged"))
