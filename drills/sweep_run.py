"""A small sweep as a process of its own, and what is asked of its folder when it is over."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from safetensors.numpy import load_file

from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.storage.files import read_json, read_json_lines

STEPS, CHECKPOINT_EVERY, IMAGES, BATCH = 24, 6, 160, 16
TRIALS = ("unet-r1", "unet-r4")
SETTINGS = {
    "sweep.trials": "[{unet: 1}, {unet: 4}]",
    "training.steps": STEPS,
    "training.checkpoint_every": CHECKPOINT_EVERY,
    "training.micro_batch_size": 4,  # by which one worker and two add up the same numbers in the same order
    "training.validation_every": 12,
    "data.fashion.rendered_images": 240,
    "evaluation.samples": IMAGES,
    "generation.num_inference_steps": 5,
    "generation.batch_size": BATCH,
}


@dataclass
class SweepRun:
    """`python -m fashion_sweep run`, later `resume`, in `root` under the name `name`."""

    root: Path
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """Words before the command, for instance of `unshare`."""
    said_in: str = "{name}.out"
    """What all its processes say goes there, one after the other."""
    process: Any = None

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.root / self.name)

    @property
    def output(self) -> Path:
        return self.root / self.said_in.format(name=self.name)

    def trial(self, trial_id: str) -> TrialPaths:
        return self.paths.trial(trial_id)

    def start(self) -> None:
        words = [f"{key}={value}" for key, value in {**SETTINGS, **self.settings}.items()]
        self._start("run", "exp2", "--name", self.name, *(word for pair in words for word in ("--set", pair)))

    def resume(self) -> None:
        self._start("resume", self.name)

    def sync(self) -> None:
        self._start("sync", self.name)

    def _start(self, *words: str) -> None:
        environment = os.environ | {"FASHION_SWEEP_RUNS": str(self.root), "OMP_NUM_THREADS": "1"} | self.environment
        with self.output.open("a") as output:
            self.process = psutil.Popen(
                [*self.prefix, sys.executable, "-m", "fashion_sweep", *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def finish(self, timeout_s: float = 400) -> int:
        """Its exit code."""
        return int(self.process.wait(timeout=timeout_s))

    def end(self) -> None:
        """Whatever is left of it."""
        if not self.has_ended():
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except psutil.TimeoutExpired:
                self.process.kill()

    def last_line(self) -> str:
        return next((line for line in reversed(self.output.read_text().splitlines()) if line.strip()), "")


def differences(run: SweepRun, undisturbed: SweepRun, trials: tuple[str, ...] = TRIALS) -> list[str]:
    """What is not the same to the bit; of metrics all but the time they took."""
    found = []
    for trial_id in trials:
        ours, theirs = run.trial(trial_id), undisturbed.trial(trial_id)
        if not ours.result.is_file():
            found.append(f"{trial_id}: not finished")
            continue
        if _tensors(ours.adapter) != _tensors(theirs.adapter):
            found.append(f"{trial_id}: adapter")
        if _tensors(ours.features("fashion")) != _tensors(theirs.features("fashion")):
            found.append(f"{trial_id}: features")
        if _numbers(ours) != _numbers(theirs):
            found.append(f"{trial_id}: metrics")
        if _losses(ours) != _losses(theirs):
            found.append(f"{trial_id}: losses by step")
    return found


def _tensors(path: Path) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in load_file(path).items()}


def _numbers(trial: TrialPaths) -> str:
    timing_and_run = ("seconds", "adapter_bytes")  # the adapter file names its run
    result = read_json(trial.result)
    return json.dumps({name: value for name, value in result.items() if name not in timing_and_run}, sort_keys=True)


def _losses(trial: TrialPaths) -> list[dict[str, float]]:
    return [
        {name: value for name, value in line.items() if name not in ("time", "seconds_per_step")}
        for line in read_json_lines(trial.metrics)
    ]


def wait_until(condition: Any, run: SweepRun, timeout_s: float = 300, every_s: float = 0.002) -> bool:
    """False if the run ended, or the time was over, before the condition held."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if run.has_ended() or time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
