"""A run folder as a finished or half-finished run leaves it, without running anything."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json_lines, write_json, write_json_lines, write_text

EPOCH_MS = 1_700_000_000_000


def make_run(folder: Path, sweep: str = "exp2", settings: Sequence[str] = (), preset: str = "tiny") -> RunPaths:
    """A run of which nothing but the configuration and the facts exist."""
    run = RunPaths(folder)
    config = load_run_config(sweep, preset, settings)
    write_text(run.config, config.to_yaml())
    write_json(
        run.facts,
        {
            "run": run.name,
            "preset": preset,
            "sweep": sweep,
            "started": "2026-01-02T03:04:05+00:00",
            "git_commit": "0123abc",
            "versions": {"torch": "2.14.1", "diffusers": "0.42.1"},
            "hardware": {"cpu": "Some CPU", "cores": 2, "memory_gib": 7.8, "gpus": []},
            "data": {"fashion": {"images": 1200, "kept": 1042, "dropped": {"aspect_ratio": 158}}},
        },
    )
    return run


def judgement(fid: float | None, clip_score: float | None = 21.0, **others: Any) -> dict[str, Any]:
    return {
        "looks": {"256": {"fid": fid, "clip_score": clip_score}},
        "fid": fid,
        "kid": 0.00123,
        "kid_se": 0.0001,
        "clip_score": clip_score,
        "clip_score_se": 0.12,
        "samples": 256,
        "features": "tiny-clip",
        "feature_dim": 64,
        "clip_model": "embedded:clip",
        "reference_samples": 1042,
        **others,
    }


def finish_trial(
    run: RunPaths, spec: TrialSpec, parameters: int, evaluations: dict[str, Any], steps: int = 300, **changed: Any
) -> None:
    paths = run.trial(spec.trial_id)
    paths.adapter.parent.mkdir(parents=True, exist_ok=True)
    paths.adapter.write_bytes(b"weights of " + spec.trial_id.encode())
    log_losses(run, spec, 1, steps)
    paths.samples.mkdir(exist_ok=True)
    for index in range(3):
        shade = 60 + 20 * index + parameters % 90
        Image.new("RGB", (48, 64), (shade, 120, 255 - shade)).save(paths.samples / f"{index:02d}.png")
    write_json(
        paths.result,
        {
            "trial_id": spec.trial_id,
            "title": spec.title,
            "ranks": spec.adapter_values,
            "parameters": parameters,
            "adapter_bytes": paths.adapter.stat().st_size,
            "steps": steps,
            "train_loss": 0.11,
            "val_loss": 0.12,
            "evaluations": evaluations,
            "seconds": {"start": 11.0, "load": 2.0, "train": 40.0, "judge": 21.0},
            **changed,
        },
    )
    set_status(run, spec, "done", stage="judging", images=256, images_total=256, loss=0.1)


def log_losses(run: RunPaths, spec: TrialSpec, first: int, last: int) -> None:
    paths = run.trial(spec.trial_id)
    paths.root.mkdir(parents=True, exist_ok=True)
    lines = read_json_lines(paths.metrics)
    offset = 0.01 * sum(rank for one in spec.adapters for rank in one.axes.values()) ** 0.3
    for step in range(first, last + 1):
        line: dict[str, Any] = {"step": step, "time": EPOCH_MS + step * 100}
        line["train_loss"] = 0.2 * math.exp(-step / 80) + 0.1 - offset + 0.02 * math.sin(step * 1.7)
        if step % 50 == 0:
            line["val_loss"] = 0.2 * math.exp(-step / 80) + 0.11 - offset
        lines.append(line)
    write_json_lines(paths.metrics, lines)


def set_status(run: RunPaths, spec: TrialSpec, state: str, **values: Any) -> None:
    times = {"time": EPOCH_MS / 1000 + 60, "started": EPOCH_MS / 1000}
    write_json(run.trial(spec.trial_id).status, {"state": state, **times, **values})


def finished_run(folder: Path) -> RunPaths:
    """`exp2`, all five trials done."""
    run = make_run(folder, settings=["training.learning_rate=0.002", "training.steps=300"])
    fids, scores = (16.9, 16.7, 17.7, 16.7, 16.1), (21.8, 22.3, 22.5, 22.8, 23.3)
    for rank, fid, score in zip((1, 2, 4, 8, 64), fids, scores, strict=True):
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, {"fashion": judgement(fid, score)})
    return run


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
