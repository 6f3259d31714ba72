"""Makes the configuration of a rehearsal: the true model, sizes and placements, but two samples and a few steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fashion_sweep.config.model_config import randomly_filled
from fashion_sweep.config.preset import CacheConfig, Preset, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.models.sources import EMBEDDED
from fashion_sweep.planning.space import feasible, parameters_of
from fashion_sweep.rehearsal.samples import SAMPLES
from fashion_sweep.tasks.task import task_of

LONGEST_NAME = 60
LENGTHS = ("steps", "epochs")


@dataclass(frozen=True)
class Scale:
    """Holds how much of each thing a rehearsal does. Small where a preset for GPUs meets a machine without."""

    steps: int
    batch_size: int
    """The samples in a step: a worker's own share of the batch, if that is not too much here."""
    base_steps: int
    second_steps: int
    images_at_once: int
    cache_passes: int
    """The number of times each shard is made: the second time, all that starts up is behind it."""

    @classmethod
    def of(cls, preset: Preset, device: str) -> "Scale":
        small = is_short_of_gpus(preset, device)
        share = preset.training.batch_size // preset.resources.workers_per_trial
        return cls(
            steps=2 if small else 6,
            batch_size=1 if small else share,
            base_steps=2 if small else 4,
            second_steps=(1 if small else 2) if preset.refined else 0,
            images_at_once=1 if small else preset.generation.batch_size,
            cache_passes=1 if small else 2,
        )


def is_short_of_gpus(preset: Preset, device: str) -> bool:
    return preset.resources.gpus_per_worker > 0 and device == "cpu"


def with_random_weights(preset: Preset) -> Preset:
    """Returns the preset with `random:` before the name of every model whose weights are not in this package."""
    model, evaluation = preset.model, preset.evaluation
    judges: dict[str, Any] = {}
    if not evaluation.clip_model.startswith(EMBEDDED):
        judges = {"clip_model": randomly_filled(evaluation.clip_model), "clip_pretrained": None}
    if evaluation.features == "inception-v3":
        judges["features"] = "random-inception-v3"
    return preset.model_copy(
        update={"model": model.with_random_weights(), "evaluation": evaluation.model_copy(update=judges)}
    )


def with_roots(config: RunConfig, roots: Mapping[str, Path]) -> RunConfig:
    """Returns the configuration with the data sets of `roots` in these folders."""
    data = config.preset.data
    sources = {name: data[name].model_copy(update={"root": str(root)}) for name, root in roots.items()}
    preset = config.preset.model_copy(update={"data": data | sources})
    return config.model_copy(update={"preset": preset})


def scaled(config: RunConfig, specs: Sequence[TrialSpec], scale: Scale, views: int) -> RunConfig:
    """Returns what is rehearsed of `config`, by name apart from the real runs. There are as many `views` as the real
    run keeps, so that no limit of the cache is needed here."""
    preset = task_of(config).smaller(config.preset)
    images = scale.base_steps + scale.second_steps
    training = preset.training.model_copy(
        update={
            "steps": scale.steps,
            "epochs": None,
            "batch_size": scale.batch_size,
            "micro_batch_size": preset.training.samples_at_once(scale.batch_size),
            "checkpoint_every": scale.steps // 2,
            "validation_every": scale.steps,
            "views": views,
        }
    )
    generation = preset.generation.model_copy(
        update={
            "num_inference_steps": images,
            "refine_fraction": scale.second_steps / images,
            "batch_size": scale.images_at_once,
        }
    )
    evaluation = preset.evaluation.model_copy(update={"samples": SAMPLES, "loss_samples": SAMPLES})
    name = f"{preset.name[: LONGEST_NAME - len('-rehearsal')]}-rehearsal"
    smaller = {"name": name, "training": training, "generation": generation, "evaluation": evaluation}
    smaller["cache"] = CacheConfig()
    sweep = config.sweep.model_copy(
        update={
            "trials": [spec.values for spec in specs],
            "space": None,
            "search": None,
            "seeds": 1,
            "sample_prompts": config.sweep.sample_prompts[:1],
        }
    )
    return RunConfig(preset=preset.model_copy(update=smaller), sweep=sweep)


def all_specs(config: RunConfig) -> list[TrialSpec]:
    """Returns a run's trials; of a search, as many of the largest as it begins: what its trials cost at most."""
    space, search = config.sweep.space, config.sweep.search
    if space is None or search is None:
        return config.specs
    affordable = feasible(config, space)
    return affordable[-search.trials :] if len(affordable) >= search.trials else affordable


def cost_group(spec: TrialSpec) -> tuple[Any, ...]:
    """Returns what decides a trial's stages, memory and pace: which layers carry an adapter."""
    return tuple((one.placement, one.kind) for one in spec.adapters), dict(spec.training).get("target_modules")


def representatives(config: RunConfig) -> list[TrialSpec]:
    """Returns the largest trial of each cost group, without a length of its own."""
    largest: dict[Any, TrialSpec] = {}
    for spec in all_specs(config):
        largest_yet = largest.get(cost_group(spec))
        if largest_yet is None or parameters_of(config, spec) > parameters_of(config, largest_yet):
            largest[cost_group(spec)] = spec
    return [
        replace(spec, replicate=0, training=tuple(item for item in spec.training if item[0] not in LENGTHS))
        for spec in largest.values()
    ]
