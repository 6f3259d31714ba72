"""Sets up a rehearsal: configuration and data checked, two samples laid out, all in a folder apart."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, write_catalogue
from fashion_sweep.encodings.parts import Captions
from fashion_sweep.encodings.size import CacheSize, Counts, cache_size, left_out
from fashion_sweep.errors import ConfigError, FashionSweepError
from fashion_sweep.planning.gpu import ASSUMED
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.rehearsal.forecast import Amount
from fashion_sweep.rehearsal.samples import made_up, opened, published, two_of
from fashion_sweep.rehearsal.scale import (
    Scale,
    is_short_of_gpus,
    representatives,
    scaled,
    with_random_weights,
    with_roots,
)
from fashion_sweep.run.paths import RunPaths, rehearsals_root
from fashion_sweep.storage.files import write_json, write_text
from fashion_sweep.tasks.preflight import check_catalogue, check_config
from fashion_sweep.tasks.task import task_of


@dataclass(frozen=True)
class RehearsalOptions:
    random_weights: bool = False
    gpus: int | None = None
    """The GPUs of the cluster that the forecast is for; None for those of one trial."""
    tflops: float = ASSUMED.bfloat16 / 1e12
    """The 1e12 bfloat16 operations a second that one GPU sustains, where none is here to be measured."""


@dataclass(frozen=True)
class Setting:
    """Holds what is rehearsed, and on what."""

    config: RunConfig
    """The configuration of the real run, with random weights where those are wished."""
    scaled: RunConfig
    scale: Scale
    specs: list[TrialSpec]
    run: RunPaths
    device: str
    amount: Amount
    cache: CacheSize
    """The cache that the real run keeps; the rehearsal keeps the same of its samples."""
    notes: list[str]
    """Notes on what the forecast rests on."""
    warnings: list[str]
    """The reasons for which `run` would refuse to start."""


def set_up(config: RunConfig, wish: RehearsalOptions, console: Console) -> Setting:
    """Opens and checks everything that costs nothing, and lays out the two samples.

    Raises:
        FashionSweepError: a mistake in the configuration or the data.
    """
    from fashion_sweep.models.registry import default_device

    device = default_device()
    if wish.random_weights:
        config = config.model_copy(update={"preset": with_random_weights(config.preset)})
    _check_wish(config, wish)
    folder = RunPaths(_folder(config))
    roots = {n: folder.made_up(n) for n in config.data_sets if config.preset.data[n].root is None}
    check_config(with_roots(config, roots))
    of = f"sweep [bold]{config.sweep.name}[/], preset [bold]{config.preset.name}[/]"
    console.print(f"rehearsal of {of}, on {device}", markup=True)
    console.print(f"folder {folder.root}", soft_wrap=True)
    stand_in = task_of(config).stand_in(config, folder)
    real = {name: stand_in or opened(name, config) for name in config.data_sets}
    amount = _amount(config, real, wish)
    cache = cache_size(config, specs_of(config), Counts(amount.records, amount.captions, "the data"))
    notes = [*_model_notes(config, wish), *left_out(config, cache.without_captions, cache.views)]
    samples, data_notes, warnings = _samples(config, real, roots, stand_in)
    notes += data_notes
    if is_short_of_gpus(config.preset, device):
        notes.append("no GPU here: one worker, one sample at a time, on the CPU")
    scale, specs = Scale.of(config.preset, device), representatives(config)
    setting = Setting(
        config=config,
        scaled=scaled(config, specs, scale, cache.views),
        scale=scale,
        specs=specs,
        run=folder,
        device=device,
        amount=amount,
        cache=cache,
        notes=notes,
        warnings=warnings,
    )
    for line in [f"- {note}" for note in notes] + [f"warning: run would refuse this: {one}" for one in warnings]:
        console.print(line, markup=False, soft_wrap=True)
    _lay_out(setting, samples)
    return setting


def _samples(
    config: RunConfig, real: Mapping[str, Catalogue | None], roots: Mapping[str, Path], stand_in: Catalogue | None
) -> tuple[dict[str, Catalogue], list[str], list[str]]:
    """Returns the images to rehearse with, what they stand for, and why `run` would refuse the data."""
    samples, notes, warnings = {}, [], list[str]()
    for name, catalogue in real.items():
        if stand_in is not None:
            samples[name] = stand_in
            sizes = {f"{record.width}x{record.height}" for record in stand_in.records}
            notes.append(f"data.{name}: what stands in is made up, of {' and '.join(sorted(sizes))} pixels")
        elif catalogue is None:
            whole = published(name, config)
            samples[name] = made_up(roots[name], whole.width, whole.height)
            stands_for = f"{whole.images:,} as published"
            notes.append(f"data.{name}.root is not given: two made-up images stand in, for {stands_for}")
        else:
            samples[name] = two_of(catalogue, config.preset.generation.seed)
            warnings += _refusals(name, catalogue, config)
    return samples, notes, warnings


def _refusals(name: str, catalogue: Catalogue, config: RunConfig) -> list[str]:
    """Returns the errors with which `run` would end over this data set."""
    try:
        check_catalogue(name, catalogue, config)
    except FashionSweepError as error:
        return [str(error)]
    return []


def _check_wish(config: RunConfig, wish: RehearsalOptions) -> None:
    resources = config.preset.resources
    needed = resources.gpus_per_worker * resources.workers_per_trial
    if not config.sweep.judge and not any(task_of(config).pictures(config, spec) for spec in config.specs):
        raise ConfigError("sweep.judge: is empty; a rehearsal times images by judging them: name a data set")
    if wish.gpus is not None and wish.gpus < needed:
        raise ConfigError(f"--gpus {wish.gpus}: a trial needs {needed}")


def _model_notes(config: RunConfig, wish: RehearsalOptions) -> list[str]:
    if not wish.random_weights:
        return []
    random = ["base", *([config.architecture.second_title] if config.preset.model.second_model else [])]
    random += ["InceptionV3"] if config.preset.evaluation.features.startswith("random") else []
    random += ["CLIP"] if config.preset.evaluation.clip_model.startswith("random") else []
    return [f"random weights: {', '.join(random)}; nothing they make or measure means anything, and no metric is shown"]


def _amount(config: RunConfig, real: dict[str, Catalogue | None], wish: RehearsalOptions) -> Amount:
    trained, resources = config.preset.training_set, config.preset.resources
    records = {name: len(c.records) if c else published(name, config).images for name, c in real.items()}
    opened_set = real[trained]
    if resources.gpus_per_worker:
        cluster = (wish.gpus or 0) // resources.gpus_per_worker
    else:
        cluster = len(os.sched_getaffinity(0)) // resources.cpus_per_worker
    return Amount(
        records=records,
        captions=len(opened_set.distinct_captions) if opened_set else records[trained],
        workers_per_trial=resources.workers_per_trial,
        gpus_per_worker=resources.gpus_per_worker,
        cluster=max(cluster, resources.workers_per_trial),
    )


def _folder(config: RunConfig) -> Path:
    return rehearsals_root() / f"{config.sweep.name}-{config.preset.name}-{datetime.now():%Y%m%d-%H%M%S}"


def _lay_out(setting: Setting, samples: dict[str, Catalogue]) -> None:
    """Lays out the run folder as `run` makes it."""
    from fashion_sweep.encodings.caches import plan_caches, write_caches

    write_text(setting.run.config, setting.scaled.to_yaml())
    with apart(setting.run.root):
        caches = plan_caches(setting.scaled, dict(samples))
        left_out = {Captions.KIND} if setting.cache.without_captions else set()
        kept = {kind: cache for kind, cache in caches.parts.items() if kind not in left_out}
        write_caches(setting.run, replace(caches, parts=kept))
        for name, catalogue in samples.items():
            write_catalogue(setting.run.catalogue(name), catalogue)
    write_json(setting.run.facts, {"run": setting.run.name, "started": datetime.now().astimezone().isoformat()})


@contextmanager
def apart(root: Path) -> Iterator[None]:
    """Puts cache and MLflow store into the rehearsal's own folder, so that nothing made-up gets among what is real."""
    before = os.environ.get("FASHION_SWEEP_RUNS")
    os.environ["FASHION_SWEEP_RUNS"] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FASHION_SWEEP_RUNS"]
        else:
            os.environ["FASHION_SWEEP_RUNS"] = before
