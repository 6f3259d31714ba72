"""How fast full-size SDXL is on this machine's GPU, with random weights: no downloads, no Ray, no MLflow.

    python benchmarks/gpu.py                                  # a table and JSON; some minutes on a large GPU
    python benchmarks/gpu.py --size 1024 1024 --micro-batches 1 2 4
    python benchmarks/gpu.py --preset tiny --device cpu       # the same path, small

A training step by micro-batch, gradient checkpointing, attention, memory layout and compilation; a picture by batch;
the autoencoder's encoding; the feature extractors: seconds a sample, peak memory, and of steps and pictures the share
of the device's peak by counted operations (`--peak`, 1e12 bfloat16 operations a second).
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.generation.generator import Generator
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.models.attention import choose_attention
from fashion_sweep.models.memory import is_out_of_memory, release_memory
from fashion_sweep.models.model import Model
from fashion_sweep.models.registry import architecture_of, load_model
from fashion_sweep.rehearsal.scale import with_random_weights
from fashion_sweep.training.probe import Bench, way_in_words
from fashion_sweep.training.settled import Settled

PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40": 181.0, "L4": 121.0, "4090": 165.0, "A10": 125.0}
"""Dense bfloat16 operations a second by name of the GPU, 1e12, by the makers' data sheets."""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    what: str
    how: str
    seconds: float | None
    """Of a sample; None where memory does not suffice."""
    peak_gib: float
    of_peak: float | None = None
    """The share of the device's peak."""


def configured(known: argparse.Namespace) -> RunConfig:
    """Returns exp2 of the preset with random weights, at the sizes that are asked for."""
    config = load_run_config("exp2", known.preset, [f"sweep.trials=[{{unet: {known.rank}}}]"])
    preset = config.preset if known.preset == "tiny" else with_random_weights(config.preset)
    if known.size:
        height, width = known.size
        image = preset.training.image.model_copy(update={"height": height, "width": width, "shorter_side": width})
        preset = preset.model_copy(update={"training": preset.training.model_copy(update={"image": image})})
    return config.model_copy(update={"preset": preset})


def steps(config: RunConfig, known: argparse.Namespace, work: float | None) -> Iterator[Row]:
    """Measures training steps; `work`: the operations of a forward pass of one sample."""
    bench, kernels = Bench(config, known.device), choose_attention("auto", known.device)
    plain = Settled(gradient_checkpointing=False, attention="sdpa")
    ways = [
        replace(plain, gradient_checkpointing=checkpoints, micro_batch_size=size)
        for checkpoints, size in product((False, True), known.micro_batches)
    ]
    last = replace(plain, micro_batch_size=known.micro_batches[-1])
    ways += [replace(last, channels_last=True)] + ([replace(last, attention=kernels)] if kernels != "sdpa" else [])
    ways += [replace(last, compile=True)] if known.compile else []
    for way in ways:
        tried = bench.step(way)
        passes = 3 if way.gradient_checkpointing else 2
        yield Row(
            "training step",
            way_in_words(way),
            tried.seconds,
            tried.peak_bytes / 2**30,
            _share(known, passes * work if work else None, tried.seconds),
        )
    bench.close()


def pictures(config: RunConfig, model: Model, known: argparse.Namespace, work: float | None) -> Iterator[Row]:
    """Measures drawing, by batch; `work`: the operations of a picture's passes."""
    generation = config.preset.generation.model_copy(update={"num_inference_steps": known.denoising_steps})
    size = config.preset.picture_size(config.drawn_as)
    for batch in known.batches:
        generator = Generator(model, generation, size, (size.height, size.width), None)
        prompts, draws = ["A woman in a red dress."] * batch, [(0, index) for index in range(batch)]
        seconds, peak = timed(partial(generator.images, prompts, draws, batch), known.device)
        each = None if seconds is None else seconds / batch
        how = f"{batch} at once, {known.denoising_steps} steps, {size.height}x{size.width}"
        yield Row("picture", how, each, peak, _share(known, work, each))


def others(config: RunConfig, model: Model, known: argparse.Namespace) -> Iterator[Row]:
    """Measures the autoencoder's encoding and the feature extractors."""
    batch, image = known.batches[-1], config.preset.training.image
    shape = model.latent_shape(image.height, image.width)
    pixels, noise = torch.zeros(batch, 3, image.height, image.width), torch.randn(batch, *shape)
    seconds, peak = timed(lambda: model.encode_images(pixels, noise), known.device)
    yield Row("autoencoder, encoding", f"{batch} at once", None if seconds is None else seconds / batch, peak)
    judge = Judge(config.preset.evaluation, metrics_of(config.sweep.metrics), known.device)
    size = config.preset.picture_size(config.drawn_as)
    drawn = torch.zeros(batch, 3, size.height, size.width, dtype=torch.uint8)
    seconds, peak = timed(lambda: judge.per_image(drawn, ["A red dress."] * batch), known.device)
    yield Row("extractors and scores", f"{batch} at once", None if seconds is None else seconds / batch, peak)


def timed(work: Callable[[], Any], device: str) -> tuple[float | None, float]:
    """Returns the least seconds of two calls after a first one, and the peak in GiB; no seconds where memory fails."""
    on_gpu, seconds = device != "cpu", []
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        for _ in range(3):
            started = time.monotonic()
            work()
            if on_gpu:
                torch.cuda.synchronize()
            seconds.append(time.monotonic() - started)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        release_memory()
        return None, 0.0
    return min(seconds[1:]), torch.cuda.max_memory_reserved() / 2**30 if on_gpu else 0.0


def _share(known: argparse.Namespace, work: float | None, seconds: float | None) -> float | None:
    return work / seconds / known.peak / 1e12 if work and seconds and known.peak else None


def _peak() -> float | None:
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def measured(known: argparse.Namespace) -> Iterator[Row]:
    """Measures all; frees what one needs before the next."""
    config = configured(known)
    architecture, generation = architecture_of(config.preset.model), config.preset.generation
    in_training = architecture.typical_operations(config.preset.model, config.preset.training.image)
    in_drawing = architecture.typical_operations(config.preset.model, config.preset.picture_size(config.drawn_as))
    yield from steps(config, known, in_training.base if in_training else None)
    model = load_model(config.preset.model, known.device, for_pictures=True)
    second = round(known.denoising_steps * generation.refine_fraction)
    first = known.denoising_steps - second
    passes = 2 * (first * in_drawing.base + second * in_drawing.second) + in_drawing.decode if in_drawing else None
    yield from pictures(config, model, known, passes)
    yield from others(config, model, known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="sdxl")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of training images")
    parser.add_argument("--micro-batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16], help="of pictures")
    parser.add_argument("--denoising-steps", type=int, default=50)
    parser.add_argument("--compile", action="store_true", help="tries torch.compile too: minutes more")
    parser.add_argument("--peak", type=float, default=_peak(), help="1e12 bfloat16 operations a second")
    parser.add_argument("--json", type=Path, help="a file for the rows")
    known = parser.parse_args()
    name = torch.cuda.get_device_name() if known.device != "cpu" else f"{torch.get_num_threads()} CPU threads"
    table = Table("what", "how", "s a sample", "peak GiB", "of the peak", title=f"{known.preset} on {name}")
    rows = []
    for row in measured(known):
        rows.append(asdict(row))
        seconds = "does not fit" if row.seconds is None else f"{row.seconds:.4f}"
        table.add_row(row.what, row.how, seconds, f"{row.peak_gib:.1f}", f"{row.of_peak:.0%}" if row.of_peak else "")
    Console().print(table)
    if known.json:
        known.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
