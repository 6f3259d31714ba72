"""Exports trained networks to the folders that are shipped: plain diffusers and open_clip folders, in float16."""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusion3Pipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from fashion_sweep.tiny.making import architecture, judge, tokenizer, train_reader
from fashion_sweep.tiny.making.train_transformer import Flow
from fashion_sweep.tiny.making.train_unet import Base


@dataclass(frozen=True)
class Networks:
    """Holds all networks that are shipped."""

    merges: list[tuple[str, str]]
    vae: AutoencoderKL
    base: Base
    refiner_unet: UNet2DConditionModel
    flow: Flow
    judge: torch.nn.Module
    reader: torch.nn.Module


def export(networks: Networks, weights: Path) -> None:
    """Writes `base`, `refiner`, `sd3`, `clip` and `reader` under `weights`; each folder is replaced as a whole."""
    _replace(weights / "base", lambda folder: _base(networks).save_pretrained(folder))
    _replace(weights / "refiner", lambda folder: _refiner(networks).save_pretrained(folder))
    _replace(weights / "sd3", lambda folder: _sd3(networks).save_pretrained(folder))
    _replace(weights / "reader", lambda folder: train_reader.save(networks.reader, folder))
    _replace(
        weights / "clip",
        lambda folder: judge.save(networks.judge, tokenizer.build(networks.merges), folder),
    )


def _base(networks: Networks) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline(
        vae=_half(networks.vae),
        text_encoder=_half(networks.base.first),
        text_encoder_2=_half(networks.base.second),
        tokenizer=tokenizer.build(networks.merges),
        tokenizer_2=tokenizer.build(networks.merges, pad_token="!"),
        unet=_half(networks.base.unet),
        scheduler=architecture.scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _refiner(networks: Networks) -> StableDiffusionXLImg2ImgPipeline:
    return StableDiffusionXLImg2ImgPipeline(
        vae=_half(networks.vae),
        text_encoder=None,
        text_encoder_2=_half(networks.base.second),
        tokenizer=None,
        tokenizer_2=tokenizer.build(networks.merges, pad_token="!"),
        unet=_half(networks.refiner_unet),
        scheduler=architecture.scheduler(),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def _sd3(networks: Networks) -> StableDiffusion3Pipeline:
    vae: AutoencoderKL = copy.deepcopy(networks.vae).half()
    vae.register_to_config(shift_factor=0.0)
    return StableDiffusion3Pipeline(
        transformer=_half(networks.flow.transformer),
        scheduler=architecture.flow_scheduler(),
        vae=vae,
        text_encoder=_half(networks.flow.first),
        tokenizer=tokenizer.build(networks.merges),
        text_encoder_2=_half(networks.flow.second),
        tokenizer_2=tokenizer.build(networks.merges, pad_token="!"),
        text_encoder_3=None,
        tokenizer_3=None,
    )


def _half(model: torch.nn.Module) -> torch.nn.Module:
    return copy.deepcopy(model).half()


def _replace(folder: Path, write: Callable[[Path], object]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        fresh = Path(temporary) / "new"
        write(fresh)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        fresh.rename(folder)
