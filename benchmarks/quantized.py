"""Memory and time of a training step of full-size SDXL on a base model in few bits, with random weights: no download.

    python benchmarks/quantized.py                  # bfloat16, 8 and 4 bits; 20 minutes without a GPU
    python benchmarks/quantized.py --preset tiny --steps 20

Each has a process of its own. A step is one sample through the UNet with an adapter of rank 2, forward and backward,
with activations computed again, at the preset's size of training images. Memory is that of the process, or of the GPU
where there is one: after loading, at most while steps are taken, and at most in all.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

from fashion_sweep.adapters import attaching
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.models.model import Batch, Framing, Model
from fashion_sweep.models.registry import default_device, load_model
from fashion_sweep.rehearsal.scale import with_random_weights

GIB = 2**30
MODES = ("null", "int8", "nf4")


def measured(preset: str, bits: str, steps: int) -> dict[str, float]:
    """Measures in this process: GiB and seconds."""
    config = load_run_config("exp2", preset, ["sweep.trials=[{denoiser: 2}]", f"model.quantization={bits}"])
    device, model_config = default_device(), config.preset.model
    if preset != "tiny":
        model_config = with_random_weights(config.preset).model
    began = time.monotonic()
    model = load_model(config.architecture.for_training(model_config), device)
    loaded_s, loaded, loading = time.monotonic() - began, _memory(device), _peak(device)
    _forget_peak(device)
    attaching.attach(model.components, config.specs[0], config.preset.training, 0)
    model.prepare_training(config.specs[0].components, gradient_checkpointing=True)
    batch = _batch(model, config)
    seconds = []
    for _ in range(steps + 1):
        began = time.monotonic()
        with torch.autocast(device, torch.bfloat16, enabled=config.preset.training.autocast == "bf16"):
            model.loss(batch).mean().backward()
        seconds.append(time.monotonic() - began)
    peak = _peak(device)
    return {
        "load_s": loaded_s,
        "loaded": loaded,
        "stepping": peak,
        "at_most": max(loading, peak),
        "step_s": min(seconds[1:]),
    }


def _batch(model: Model, config: RunConfig) -> Batch:
    size = config.preset.training.image
    shape = model.latent_shape(size.height, size.width)
    draw = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(1, *shape, generator=draw) for _ in range(2))
    framing = model.encode_framing([Framing((1101, 750), (0, 0), (size.height, size.width))])
    text = {name: values.clone() for name, values in model.encode_text(["A red shirt of cotton."]).items()}
    return Batch(latents, noise, torch.tensor([500]), text | framing)


def _memory(device: str) -> float:
    if device == "cuda":
        return torch.cuda.memory_allocated() / GIB
    return psutil.Process().memory_info().rss / GIB


def _peak(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / GIB
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / GIB  # type: ignore[index]


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="sdxl")
    parser.add_argument("--steps", type=int, default=3, help="that are timed, after one that is not")
    parser.add_argument("--measure", choices=MODES, help=argparse.SUPPRESS)
    known = parser.parse_args()
    if known.measure:
        print(json.dumps(measured(known.preset, known.measure, known.steps)))
        return
    table = Table("base model in", "loading, s", "loaded, GiB", "in steps, GiB", "at most, GiB", "a step, s")
    for bits in MODES:
        words = [sys.executable, __file__, "--preset", known.preset, "--steps", str(known.steps), "--measure", bits]
        said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        numbers = (f"{found[key]:.2f}" for key in ("load_s", "loaded", "stepping", "at_most", "step_s"))
        table.add_row("its own precision" if bits == "null" else bits, *numbers)
    Console().print(table)


if __name__ == "__main__":
    main()
