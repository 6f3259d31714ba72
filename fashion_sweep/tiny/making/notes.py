"""Writes NOTES.md beside the weights: how they were made and how good they are."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from fashion_sweep.tiny.making import (
    batches,
    shards,
    train_clip,
    train_reader,
    train_transformer,
    train_unet,
    train_vae,
)
from fashion_sweep.tiny.making.architecture import parameter_count
from fashion_sweep.tiny.making.corpus import SEED, SHARDS, Corpus
from fashion_sweep.tiny.making.export import Networks
from fashion_sweep.tiny.making.fit import Recipe
from fashion_sweep.tiny.making.tokenizer import VOCABULARY, build

RECIPES = {
    "text encoders (with an image tower)": (train_clip.TEXT_RECIPE, train_clip.BATCH),
    "autoencoder": (train_vae.RECIPE, train_vae.BATCH),
    "its decoder, further": (train_vae.DECODER_RECIPE, train_vae.BATCH),
    "UNet of the base, with text encoders": (train_unet.BASE_RECIPE, batches.BATCH),
    "the same, further, on snapshots too": (train_unet.FURTHER_RECIPE, batches.BATCH),
    "judge": (train_clip.JUDGE_RECIPE, train_clip.BATCH),
    "transformer of the SD3, with text encoders": (train_transformer.RECIPE, batches.BATCH),
    "the same, further, at more noise": (train_transformer.FURTHER_RECIPE, batches.BATCH),
    "reader of attributes": (train_reader.RECIPE, train_reader.BATCH),
    "UNet of the refiner": (train_unet.REFINER_RECIPE, batches.BATCH),
}
TEMPLATE = """# How these weights were made

By `python -m fashion_sweep.tiny.making.pretrain`, on two cores of a server processor without an accelerator, from
pictures that `fashion_sweep.tiny` renders itself: {general:,} of the general domain (scenes, and figures as
cartoons), {snapshots:,} snapshots of figures, whose captions say that they are photographs, and {fashion:,} of the
fashion domain (seed {seed}). No outside data or weights went in. The text encoders saw the general domain alone, the
base's UNet and the transformer that and snapshots, the refiner the photographs among these; the autoencoder and the
judge saw the general and the fashion domain, the reader {figures:,} figures of both.

| network | steps of | batch | learning rate | loss at the end | minutes |
|---|---|---|---|---|---|
{rows}

Losses: contrastive cross-entropy for text encoders and judge; ten times the squared error plus edge error, at two
scales, for the autoencoder; squared error of the noise for the UNets (the base's with min-SNR weights), of the
velocity for the transformer; cross-entropy for the reader, which is measured on {held_out:,} figures that it was not
trained on. All weights are moving averages, in float16.

| measured | |
|---|---|
{measures}

| file | SHA-256 |
|---|---|
{hashes}
"""


@torch.no_grad()
def judged(networks: Networks, fashion: Corpus, work: Path) -> dict[str, str]:
    """Measures the networks on pictures of the fashion domain that were rendered for training, the reader on others."""
    some = np.flatnonzero(fashion.portrait)[:256]
    images = fashion.images(some)
    captions = [fashion.captions[i][0] for i in some]
    matched, shuffled = train_clip.matched_and_shuffled(networks.judge, build(networks.merges), images, captions)
    decoded = networks.vae.decode(networks.vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    error = float((decoded - images).square().mean()) / 4
    counts = {
        "base": (networks.base, networks.vae),
        "SD3": (networks.flow, networks.vae),
        "reader": (networks.reader,),
        "refiner's UNet": (networks.refiner_unet,),
        "judge": (networks.judge,),
    }
    return {
        "CLIP score of fashion captions, matched": f"{matched:.1f}",
        "CLIP score of fashion captions, shuffled": f"{shuffled:.1f}",
        "autoencoder, PSNR on fashion pictures": f"{-10 * torch.tensor(error).log10():.1f} dB",
        **{f"reader, right on {name}": f"{100 * share:.1f} %" for name, share in _read(networks.reader, work).items()},
        "scaling factor of the latents": f"{networks.vae.config.scaling_factor}",
        "tokens of the vocabulary": f"{VOCABULARY}",
        **{f"parameters, {name}": f"{sum(map(parameter_count, models)):,}" for name, models in counts.items()},
    }


def _read(reader: torch.nn.Module, work: Path) -> dict[str, float]:
    return train_reader.accuracy(reader, work) if train_reader.is_rendered(work) else {}


def write(work: Path, weights: Path, measures: dict[str, str]) -> None:
    rows = [_row(name, recipe, batch, work) for name, (recipe, batch) in RECIPES.items()]
    text = TEMPLATE.format(
        general=shards.SHARD * SHARDS["general"],
        snapshots=shards.SHARD * SHARDS["snapshots"],
        fashion=shards.SHARD * SHARDS["fashion"],
        seed=SEED,
        figures=train_reader.FIGURES,
        held_out=train_reader.HELD_OUT,
        rows="\n".join(rows),
        measures="\n".join(f"| {name} | {value} |" for name, value in measures.items()),
        hashes="\n".join(
            f"| {path.relative_to(weights)} | {_sha256(path)} |" for path in sorted(weights.rglob("*.safetensors"))
        ),
    )
    (weights / "NOTES.md").write_text(text, encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _row(name: str, recipe: Recipe, batch: int, work: Path) -> str:
    path = work / f"{recipe.name}.jsonl"
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    if not entries:
        return f"| {name} | not trained | {batch} | {recipe.learning_rate} | | |"
    last = [entry["loss"] for entry in entries[-5:]]
    steps = f"{entries[-1]['step']:,} of {recipe.steps:,}"
    return f"| {name} | {steps} | {batch} | {recipe.learning_rate} | {np.mean(last):.3f} | {_minutes(entries):.0f} |"


def _minutes(entries: list[dict[str, float]]) -> float:
    """Returns the minutes of work: pauses between entries are counted as an ordinary interval."""
    intervals = np.diff([entry["time"] for entry in entries])
    return float(np.minimum(intervals, 2 * np.median(intervals)).sum()) / 60 if len(intervals) else 0.0
