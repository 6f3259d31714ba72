"""What of a run is finished at a moment, and whether any of it was made again afterwards."""

import re
from dataclasses import dataclass
from pathlib import Path

from drills.sweep_run import TRIALS, SweepRun
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.storage.files import read_json

TRAINING = re.compile(r"trains from step (\d+) of")
JUDGED = re.compile(r"images (\d+) to \d+ are judged")


@dataclass(frozen=True)
class Finished:
    """As it was when a fault had been injected."""

    files: dict[Path, int]
    """Whole shards of the cache, adapters and results, which stay: with the time of their last change."""
    looks: dict[Path, set[str]]
    """Of a race, by result the numbers of images that it tells of; a further look makes it anew."""
    checkpoints: dict[str, tuple[int, int]]
    """By trial, the step of its newest one, and how often its training had begun by then."""
    batches: dict[str, list[int]]
    """By trial, the first images of its judged batches."""

    @classmethod
    def now(cls, run: SweepRun) -> "Finished":
        trials = {trial_id: run.trial(trial_id) for trial_id in TRIALS}
        stays = [path for trial in trials.values() for path in (trial.adapter, trial.result) if path.is_file()]
        stays += (run.root / "cache").glob("*/[0-9]*.safetensors")
        return cls(
            files={path: path.stat().st_mtime_ns for path in stays},
            looks={trial.result: _looks(trial.result) for trial in trials.values()},
            checkpoints={
                trial_id: (max(_numbers(trial.checkpoints), default=0), len(TRAINING.findall(_log(trial))))
                for trial_id, trial in trials.items()
            },
            batches={trial_id: _numbers(trial.judged("fashion")) for trial_id, trial in trials.items()},
        )

    def made_again(self, run: SweepRun) -> list[str]:
        """What was, now that the run is over."""
        changed = [path for path, time_ns in self.files.items() if _changed(path) != time_ns]
        added = {path for path, told in self.looks.items() if _looks(path) > told}
        found = [f"{path.name} made again" for path in changed if path not in added]
        for trial_id, (newest, begun) in self.checkpoints.items():
            starts = [int(step) for step in TRAINING.findall(_log(run.trial(trial_id)))[begun:]]
            found += [f"{trial_id}: step {step} again, past {newest}" for step in starts if step < newest]
        for trial_id, batches in self.batches.items():
            made = [int(first) for first in JUDGED.findall(_log(run.trial(trial_id)))]
            found += [f"{trial_id}: images from {first} judged again" for first in batches if made.count(first) > 1]
        return found


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("[0-9]*.safetensors"))


def _looks(result: Path) -> set[str]:
    return set(read_json(result, {}).get("evaluations", {}).get("fashion", {}).get("looks", {}))


def _changed(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _log(trial: TrialPaths) -> str:
    return trial.log.read_text() if trial.log.exists() else ""
