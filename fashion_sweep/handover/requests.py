"""The options of `generate`, and the rows of images that it draws for them."""

import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_sweep.adapters.metadata import base_model_id
from fashion_sweep.config.data_source import Size
from fashion_sweep.config.loading import change_preset, load_preset
from fashion_sweep.config.preset import MOST_STEPS, Preset
from fashion_sweep.errors import ConfigError
from fashion_sweep.handover.adapters import Adapter
from fashion_sweep.models.architecture import Architecture
from fashion_sweep.models.registry import architecture_of


@dataclass(frozen=True)
class DrawingRequest:
    """The images asked of `generate`: each prompt with each seed, by each adapter."""

    prompts: Sequence[str]
    seeds: Sequence[int] = (0,)
    adapters: Sequence[str] = ()
    """The adapters: `models:/…`, files or trials' folders, with `:SCALE` where not `scale`; none: the base model."""
    scale: float = 1.0
    output: Path | None = None
    with_base: bool | None = None
    """Whether the base model has a row too; None: where there are several adapters."""
    size: str | None = None
    """The size as HEIGHTxWIDTH in pixels; for this and the following, None is as in judging."""
    steps: int | None = None
    guidance: float | None = None
    refine_fraction: float | None = None
    negative_prompt: str | None = None
    """The negative prompt of every row; empty: none at all."""

    @property
    def has_base(self) -> bool:
        chosen = len(self.adapters) > 1 if self.with_base is None else self.with_base
        return chosen or not self.adapters

    @property
    def images(self) -> int:
        return len(self.prompts) * len(self.seeds) * (len(self.adapters) + self.has_base)

    def draws(self, rows: int) -> list[tuple[str, int]]:
        """Returns (prompt, seed) of one row's images, in the order of the grid's cells."""
        if rows == 1:
            return [(prompt, seed) for seed, prompt in itertools.product(self.seeds, self.prompts)]
        return list(itertools.product(self.prompts, self.seeds))


@dataclass(frozen=True)
class GridRow:
    """The images of one adapter or of the base model, drawn as if nothing else were asked for."""

    adapter: Adapter
    scale: float
    preset: Preset
    original_size: tuple[int, int]
    negative_prompt: str | None

    @property
    def title(self) -> str:
        return self.adapter.label if self.scale == 1 else f"{self.adapter.label} x {self.scale:g}"

    @property
    def _architecture(self) -> Architecture:
        return architecture_of(self.preset.model)

    def description(self) -> dict[str, Any]:
        """Returns the origin of the row's images, for their files."""
        generation, size = self.preset.generation, self.preset.picture_size()
        origin = {
            "adapter": self.adapter.name,
            "scale": f"{self.scale:g}",
            "preset": self.preset.name,
            "base_model": self.preset.model.base,
            "steps": generation.num_inference_steps,
            "guidance": f"{generation.guidance_scale:g}",
            "size": f"{size.height}x{size.width}",
            "original_size": "{}x{}".format(*self.original_size),
            "refine_fraction": f"{self.preset.refined:g}",
        }
        if self.preset.refined:
            origin[self._architecture.second_title] = str(self.preset.model.second_model)
        if self.negative_prompt is not None:
            origin["negative_prompt"] = self.negative_prompt
        return origin

    def parameters(self, prompt: str, seed: int) -> str:
        """Returns the origin as the text that AUTOMATIC1111, Forge and galleries read, as far as it has words."""
        generation, size = self.preset.generation, self.preset.picture_size()
        lines = [prompt, *([f"Negative prompt: {self.negative_prompt}"] if self.negative_prompt else [])]
        values = {
            "Steps": generation.num_inference_steps,
            "Sampler": self._architecture.sampler,
            "CFG scale": f"{generation.guidance_scale:g}",
            "Seed": seed,
            "Size": f"{size.width}x{size.height}",
            "Model": base_model_id(self.preset.model.base),
        }
        if self.preset.refined:
            second = self._architecture.second_title.capitalize()
            values[second] = base_model_id(str(self.preset.model.second_model))
            values[f"{second} switch at"] = f"{1 - self.preset.refined:g}"
        if self.adapter.file is not None:
            values["Lora"] = f"{self.adapter.label} x {self.scale:g}"
        return "\n".join([*lines, ", ".join(f"{name}: {_quoted(value)}" for name, value in values.items())])


def _quoted(value: object) -> str:
    """Quotes a value that holds a separator of values, as AUTOMATIC1111 does."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search("[,:\n]", text) else text


def check_request(wish: DrawingRequest) -> None:
    """Checks the values of a wish that do not depend on the model.

    Raises:
        ConfigError: a value that no model could take.
    """
    if not all(prompt.strip() for prompt in wish.prompts):
        raise ConfigError("--prompt: is empty; say what to show")
    for seed in wish.seeds:
        if not 0 <= seed < 2**63:
            raise ConfigError(f"--seed {seed}: must be 0 or more, and below 2**63")
    if not math.isfinite(wish.scale):
        raise ConfigError(f"--scale {wish.scale}: must be a number such as 0.8")
    if wish.scale != 1 and not wish.adapters:
        raise ConfigError("--scale: is the strength of an adapter; give one with --adapter")
    if wish.with_base is False and not wish.adapters:
        raise ConfigError("--without-base: leaves nothing to draw; give an --adapter")
    if wish.steps is not None and not 1 <= wish.steps <= MOST_STEPS:
        raise ConfigError(f"--steps {wish.steps}: must be from 1 to {MOST_STEPS}")
    if wish.guidance is not None and not (math.isfinite(wish.guidance) and wish.guidance >= 0):
        raise ConfigError(f"--guidance {wish.guidance}: must be 0 or more, for instance 5")
    if wish.refine_fraction is not None and not 0 <= wish.refine_fraction < 1:
        raise ConfigError(f"--refine-fraction {wish.refine_fraction}: must be from 0 to below 1, for instance 0.2")
    _size(wish)


def _size(wish: DrawingRequest) -> tuple[int, int] | None:
    if wish.size is None:
        return None
    parts = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", wish.size)
    if parts is None or not (int(parts[1]) and int(parts[2])):
        raise ConfigError(f"--size {wish.size!r}: write it as HEIGHTxWIDTH in pixels, for instance 512x360")
    return int(parts[1]), int(parts[2])


def make_rows(
    wish: DrawingRequest, adapters: Sequence[tuple[Adapter, float]], preset: str | None, settings: Sequence[str]
) -> list[GridRow]:
    """Makes a row for each adapter with its scale, in the order given, after the base model's where that is asked for.

    Raises:
        ConfigError: they do not share one base model, or a setting does not fit.
    """
    adapters_alone = [adapter for adapter, _ in adapters]
    resolved = _preset(wish, settings_of(adapters_alone), preset, settings)
    rows = [_row(wish, adapter, scale, resolved) for adapter, scale in adapters]
    if wish.has_base:
        rows.insert(0, _row(wish, base_like(adapters_alone[0] if adapters else None), 1.0, resolved))
    ours = resolved.model.model_dump()
    for adapter in adapters_alone if preset is None else ():
        theirs = change_preset(adapter.trained_with, settings).model.model_dump() if adapter.trained_with else ours
        if key := next((key for key in ours if theirs[key] != ours[key]), None):
            raise ConfigError(
                f"--adapter {adapter.name}: model.{key} of its preset is {theirs[key]}, where that of the first is "
                f"{ours[key]}; one grid has one model"
            )
    for adapter in adapters_alone:
        own = adapter.trained_with or adapter.judged_as
        if own and own.model.architecture != resolved.model.architecture:
            raise ConfigError(
                f"--adapter {adapter.name}: is for models of {own.model.architecture}, and that of preset "
                f"{resolved.name} is of {resolved.model.architecture}"
            )
    return rows


def settings_of(adapters: Sequence[Adapter]) -> Preset | None:
    """Returns all rows' preset: of the first adapter whose run is known, else of the first whose file holds one."""
    presets = [adapter.trained_with for adapter in adapters] + [adapter.judged_as for adapter in adapters]
    return next(filter(None, presets), None)


def settings_told(adapters: Sequence[Adapter], name: str | None) -> str | None:
    """Describes the settings of all rows where an adapter was judged with others; `name`: the value of `--preset`."""
    chosen = settings_of(adapters)
    deviating = [adapter for adapter in adapters if _how(adapter) != (chosen and _drawn(chosen))]
    if name is not None or not (deviating or chosen is None) or not adapters:
        return None
    if chosen is None:
        return f"drawn with the preset's settings: {_listed(adapters)} not tell how pictures of it were judged"
    source = next(adapter for adapter in adapters if chosen in (adapter.trained_with, adapter.judged_as))
    differences = [f"{adapter.label} was judged with {_how(adapter)}" for adapter in deviating if _how(adapter)]
    silent = [adapter for adapter in deviating if not _how(adapter)]
    differences += [f"{_listed(silent)} not tell its own"] if silent else []
    return (
        f"but for what the options say, all rows are drawn as {source.label} was judged, with {_drawn(chosen)}: "
        f"{'; '.join(differences)}"
    )


def _listed(adapters: Sequence[Adapter]) -> str:
    return f"{', '.join(adapter.label for adapter in adapters)} {'does' if len(adapters) == 1 else 'do'}"


def _how(adapter: Adapter) -> str | None:
    preset = adapter.trained_with or adapter.judged_as
    return _drawn(preset) if preset else None


def _drawn(preset: Preset) -> str:
    generation, size = preset.generation, preset.picture_size()
    title = architecture_of(preset.model).second_title
    second = f", {100 * preset.refined:g}% of them by the {title}" if preset.refined else ""
    steps = f"{generation.num_inference_steps} steps{second}"
    return f"{steps}, guidance {generation.guidance_scale:g}, {size.height}x{size.width}"


def base_like(like: Adapter | None) -> Adapter:
    """Returns the base model in place of an adapter, drawn with the size conditioning of `like`."""
    if like is None:
        return Adapter("none: the base model", "base model")
    return Adapter("none: the base model", "base model", original_size=like.original_size)


def _row(wish: DrawingRequest, adapter: Adapter, scale: float, resolved: Preset) -> GridRow:
    size = resolved.picture_size()
    negative = resolved.generation.base_negative_prompt if adapter.file is None else None
    if wish.negative_prompt is not None:
        negative = wish.negative_prompt or None
    return GridRow(adapter, scale, resolved, adapter.original_size or (size.height, size.width), negative)


def _preset(wish: DrawingRequest, judged: Preset | None, name: str | None, settings: Sequence[str]) -> Preset:
    """Returns the preset asked for, else that of the adapters' judging as it was then, with the wish's settings."""
    preset = load_preset(name, settings) if name is not None or judged is None else change_preset(judged, settings)
    generation = preset.generation
    steps = wish.steps or generation.num_inference_steps
    fraction = generation.refine_fraction if wish.refine_fraction is None else wish.refine_fraction
    changed = {
        "num_inference_steps": steps,
        # handed over on the nearest step; the last one always leaves something for the base model
        "refine_fraction": min(round(steps * fraction), steps - 1) / steps,
        "guidance_scale": generation.guidance_scale if wish.guidance is None else wish.guidance,
    }
    preset = preset.model_copy(update={"generation": generation.model_copy(update=changed)})
    if size := _size(wish):
        preset = preset.with_picture_size(Size(height=size[0], width=size[1], shorter_side=min(size)))
    return preset
