"""The metadata of adapter files: our own keys, and those of `modelspec` and sd-scripts that other tools read.

Sources: https://github.com/Stability-AI/ModelSpec; kohya-ss sd-scripts, `docs/train_network_README`.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fashion_sweep.config.adapter_columns import alpha_of
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training_axes import short_value
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS, OPTIMIZERS
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.sources import EMBEDDED

PREFIX = "fashion_sweep."
JUDGED = ("num_inference_steps", "guidance_scale", "refine_fraction", "base_negative_prompt")
"""The settings of `generation` that, with the size, a picture is drawn with in judging."""


def base_model_id(base: str) -> str:
    """Returns a name of the base model that means something elsewhere: a local path is cut to its last part."""
    path = Path(os.path.expanduser(base))
    if base.startswith(EMBEDDED) or not (path.is_absolute() or base.startswith(".") or path.suffix == ".safetensors"):
        return base
    return Path(os.path.abspath(path)).name.removesuffix(".safetensors")


def trigger_words_in(metadata: Mapping[str, str]) -> list[str]:
    """Reads the trigger words that `own_keys` has written."""
    return list(json.loads(metadata.get(f"{PREFIX}trigger_words", "[]")))


def prompt_prefix_in(metadata: Mapping[str, str]) -> str:
    """Reads what prompts begin with, as `own_keys` has written it."""
    return metadata.get(f"{PREFIX}prompt_prefix", "")


def tokens_in(metadata: Mapping[str, str]) -> dict[str, str]:
    """Reads the words of learned tokens by text encoder, as files of exports have them."""
    return dict(json.loads(metadata.get(f"{PREFIX}tokens", "{}")))


def tokens_key(tokens: Mapping[str, str]) -> dict[str, str]:
    """Returns what `tokens_in` reads."""
    return {f"{PREFIX}tokens": json.dumps(tokens, ensure_ascii=False)} if tokens else {}


def kinds_in(metadata: Mapping[str, str], component: str) -> list[str]:
    """Reads the kinds of a component's adapters, as `kinds_key` has written them; any kind where nothing was written.

    Raises:
        ConfigError: it is something else.
    """
    try:
        return [str(name) for name in dict(json.loads(metadata[f"{PREFIX}kinds"]))[component]]
    except KeyError:
        return [*ADAPTER_KINDS.names]
    except (ValueError, TypeError, RecursionError):
        raise ConfigError(f"its {PREFIX}kinds do not fit") from None


def kinds_key(kinds: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Returns what `kinds_in` reads: the names of kinds by component."""
    return {f"{PREFIX}kinds": json.dumps(kinds)}


def original_size_in(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Reads the original size (height, width) that `own_keys` has written; None where there is none."""
    return size_of(metadata.get(f"{PREFIX}original_size", ""))


def size_of(text: str) -> tuple[int, int] | None:
    """Parses (height, width) from `HxW`, as files and tags write it; None where it is anything else."""
    parts = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    return (int(parts[1]), int(parts[2])) if parts else None


def own_keys(
    config: RunConfig,
    spec: TrialSpec,
    run: str,
    original_size: tuple[int, int] | None = None,
    trigger_words: Sequence[str] = (),
    base_model: str | None = None,
) -> dict[str, str]:
    """Returns this package's own metadata of an adapter, as it is known when training ends.

    Args:
        config: of the run.
        spec: the trial.
        run: its name.
        original_size: (height, width) that the training was conditioned on, which `generate` repeats.
        trigger_words: that call up what was learnt.
        base_model: a name for it in place of the configuration's.
    """
    training = config.training_of(spec)
    values = {
        "version": version("fashion-sweep"),
        "base_model": base_model or base_model_id(config.preset.model.base),
        "rank": json.dumps(spec.adapter_values),
        **({"lora_alpha": short_value(alpha)} if (alpha := alpha_of(spec, training)) else {}),
        **({"quantization": bits} if (bits := config.model_of(spec).quantization) else {}),
        "target_modules": json.dumps(training.target_modules),
        "trigger_words": json.dumps(list(trigger_words), ensure_ascii=False),
        "run": run,
        "trial": spec.trial_id,
        "configuration": spec.configuration.title,
        "preset": config.preset.name,
    }
    if spec.prompt_prefix:
        values["prompt_prefix"] = spec.prompt_prefix
    if original_size is not None:
        values["original_size"] = "{}x{}".format(*original_size)
    return {PREFIX + key: value for key, value in values.items()}


def modelspec_keys(
    config: RunConfig,
    spec: TrialSpec,
    title: str,
    description: str,
    date: str,
    trigger_words: Sequence[str],
    kohya: bool,
) -> dict[str, str]:
    """Returns the keys of ModelSpec, by version 1.0.0 of the specification."""
    image = config.preset.training.image
    families = dict.fromkeys(ADAPTER_KINDS[one.kind].family for one in spec.adapters)
    values = {
        "sai_model_spec": "1.0.0",
        "architecture": f"{config.architecture.names.modelspec}/{'+'.join(families)}",
        "implementation": "https://github.com/Stability-AI/generative-models" if kohya else "diffusers",
        "title": title,
        "description": description,
        "date": date,
        "resolution": f"{image.width}x{image.height}",
        "tags": ", ".join([*families, "text-to-image", config.preset.training_set]),
        "trigger_phrase": ", ".join(trigger_words),
    }
    return {f"modelspec.{key}": value for key, value in values.items() if value}


def sd_scripts_keys(
    config: RunConfig, spec: TrialSpec, title: str, base_model: str, steps: int | None
) -> dict[str, str]:
    """Returns the keys of sd-scripts; values that differ between adapters are `Dynamic`, as its files have it."""
    training = config.training_of(spec)
    entries = [ADAPTER_KINDS[one.kind].sd_scripts_keys(one.options, training) for one in spec.adapters]
    of_kind = {
        key: entries[0][key] if all(one.get(key) == entries[0][key] for one in entries) else "Dynamic"
        for key in entries[0]
    }
    values: dict[str, Any] = {
        "base_model_version": config.architecture.names.sd_scripts,
        "sd_model_name": base_model,
        **of_kind,
        "output_name": title,
        "learning_rate": training.learning_rate,
        "lr_scheduler": training.schedule,
        "optimizer": OPTIMIZERS[training.optimizer].path,
        "max_grad_norm": training.max_grad_norm,
        "max_train_steps": steps,
        "num_epochs": training.epochs,
        "total_batch_size": training.batch_size,
        "resolution": f"({training.image.width}, {training.image.height})",
        "mixed_precision": training.autocast,
        "seed": training.seed + spec.replicate,
        "v2": False,
    }
    return {f"ss_{key}": str(value) for key, value in values.items() if value is not None}


def judged_key(config: RunConfig) -> dict[str, str]:
    """Returns how pictures are drawn in judging, by keys of a preset, so that `generate` can draw them so again."""
    generation, size = config.preset.generation, config.preset.picture_size()
    settings = {f"generation.{key}": getattr(generation, key) for key in JUDGED}
    settings |= {
        f"data.{config.preset.training_set}.evaluation.{key}": value for key, value in size.model_dump().items()
    }
    return {f"{PREFIX}judged_with": json.dumps(settings, ensure_ascii=False)}


def judged_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Reads the settings that `judged_key` has written, by keys of a preset, and nothing else."""
    try:
        settings = dict(json.loads(metadata.get(f"{PREFIX}judged_with", "{}")))
    except (ValueError, TypeError, RecursionError):
        return {}
    allowed = re.compile(rf"generation\.({'|'.join(JUDGED)})|data\.[\w-]+\.evaluation\.\w+")
    return {key: value for key, value in settings.items() if allowed.fullmatch(key)}


def metrics_key(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns the metrics by evaluation set, each number beside what it rests on, as an entry of metadata."""
    return {f"{PREFIX}metrics": json.dumps(metrics, ensure_ascii=False, allow_nan=False)}
