"""The least that a sweep's UNet can take here: forward and backward passes alone, in the best of two layouts.

    python benchmarks/floor.py                 # exp2 of the tiny preset
    python benchmarks/floor.py --seconds 3     # how long each layout is measured

Measured with the embedded model, at the preset's sizes: the UNet's step at the training batch with its inputs' gradient
(the frozen weights need none), and its passes over a batch of pictures with guidance, base and refiner. Either one
process has all cores, or each core a process of its own, all at once.
"""

import argparse
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__)


def measure(what: str, threads: int, seconds: float) -> float:
    """Returns the samples a second of one process; runs in that process."""
    import torch

    from fashion_sweep.config.loading import load_run_config
    from fashion_sweep.models.registry import load_model

    torch.set_num_threads(threads)
    preset = load_run_config("exp2", "tiny").preset
    model = load_model(preset.model, "cpu", for_pictures=True)
    is_step, is_second = what == "step", what == "second"
    size = preset.training.image if is_step else preset.picture_size("fashion")
    count = preset.training.batch_size if is_step else 2 * preset.generation.batch_size
    unet = (model.refiner if is_second else model.pipeline).unet  # type: ignore[attr-defined]
    text = unet.config.cross_attention_dim
    pooled = model.pipeline.text_encoder_2.config.projection_dim  # type: ignore[attr-defined]
    ids = (unet.config.projection_class_embeddings_input_dim - pooled) // unet.config.addition_time_embed_dim
    latents = torch.randn(count, *model.latent_shape(size.height, size.width), requires_grad=is_step)
    inputs = {
        "timestep": torch.full((count,), 500),
        "encoder_hidden_states": torch.randn(count, 77, text),
        "added_cond_kwargs": {"text_embeds": torch.randn(count, pooled), "time_ids": torch.ones(count, ids)},
    }

    def once() -> None:
        with torch.set_grad_enabled(is_step):
            predicted = unet(latents, **inputs).sample
            if is_step:
                predicted.square().mean().backward()

    once()
    passes, started = 0, time.monotonic()
    while time.monotonic() - started < seconds or passes < 2:
        once()
        passes += 1
    return passes * count / (time.monotonic() - started)


def rate(what: str, cores: int, seconds: float) -> float:
    """Returns the most samples a second that this machine makes, over both layouts."""
    rates = []
    for processes, threads in {(1, cores), (cores, 1)}:
        command = [sys.executable, str(HERE), "--measure", what, "--threads", str(threads), "--seconds", str(seconds)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        start = partial(subprocess.Popen, command, stdout=subprocess.PIPE, text=True, env=environment)
        running = [start() for _ in range(processes)]
        rates.append(sum(float(one.communicate()[0]) for one in running))
    return max(rates)


def floor(trials: int, steps: int, images: int, seconds: float = 8.0) -> dict[str, float]:
    """Returns the seconds that the trainings and the pictures of so many trials take at least."""
    from fashion_sweep.config.loading import load_run_config

    preset, cores = load_run_config("exp2", "tiny").preset, len(os.sched_getaffinity(0))
    samples, drawing = trials * steps * preset.training.batch_size, preset.generation
    second = round(drawing.num_inference_steps * drawing.refine_fraction)
    first = drawing.num_inference_steps - second
    passes = 2 * trials * images  # with the caption and without
    return {
        "training": samples / rate("step", cores, seconds),
        "pictures": passes * (first / rate("first", cores, seconds) + second / rate("second", cores, seconds)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    known = parser.parse_args()
    if known.measure:
        print(measure(known.measure, known.threads, known.seconds))
        return
    table = Table("passes", "seconds", title="the least that exp2's UNet takes here")
    spent = floor(5, 300, 256, known.seconds)
    for name, value in spent.items():
        table.add_row(name, f"{value:.0f}")
    table.add_row("all", f"{sum(spent.values()):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
