"""Judges a trial on evaluation sets: pictures of their captions become features, and these become metrics."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from torch import distributed

from fashion_sweep.data.catalogue import Record
from fashion_sweep.data.split import judged_records
from fashion_sweep.encodings.real_images import read_real_images
from fashion_sweep.generation.drawing import write_samples
from fashion_sweep.generation.judging import AT_ONCE, collect_batches, images_at_once, judge_batches
from fashion_sweep.metrics.estimates_file import write_estimates
from fashion_sweep.metrics.evaluate import as_result
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.metrics.prompts import prompt_groups
from fashion_sweep.models.model import Model
from fashion_sweep.run import stage_inputs
from fashion_sweep.storage.files import is_whole, write_tensors
from fashion_sweep.tasks.trial_worker import TrialWorker
from fashion_sweep.training.denoising_loss import loss_increase, losses_beside_base


def judge_trial(trial: TrialWorker) -> dict[str, Any]:
    """Draws the sample prompts, then draws and judges every set of `sweep.judge` as far as its look.

    Returns:
        By set its metrics, on worker 0; None on the others.
    """
    sweep, evaluations = trial.config.sweep, dict(trial.judged_before)
    due = [name for name in sweep.judge if not trial.worker.agreed(partial(_is_judged, trial, name))]
    drawn_as, sets = trial.config.drawn_as, dict[str | None, list[str]]()
    for name in [drawn_as, *due]:
        sets.setdefault(trial.config.preset.data[name].quantization, []).append(name)
    for first, *others in sets.values():  # the sets of one base model together
        with ExitStack() as stack:
            with trial.observer.stage("load"):
                model = stack.enter_context(trial.drawing_model(first))
                judge = _load_judge(trial) if due else None
            if first == drawn_as and trial.worker.rank == 0 and not trial.judged_before:
                with trial.observer.stage("judge"):
                    generator = trial.generator(model, drawn_as)
                    write_samples(generator, sweep.sample_prompts, trial.paths.samples, trial.observer)
                    del generator
            for name in dict.fromkeys([first, *others]):
                if judge and name in due:
                    with trial.observer.stage("judge", evaluation_set=name):
                        evaluations[name] = _judge_set(trial, name, model, judge)
        del model  # before the next base model is loaded
    return evaluations


def _load_judge(trial: TrialWorker) -> Judge:
    evaluation, metrics = trial.config.preset.evaluation, metrics_of(trial.config.sweep.metrics)
    judge = trial.loaded.judge(evaluation, metrics, trial.worker.device)
    trial.observer.loaded("judge", judge.modules)
    return judge


def draw_with_others(trial: TrialWorker, work: str) -> None:
    """Draws and scores some of the pictures of a set, which another lane judges; `work`: set and first batch."""
    name, first = work.split(":")
    with trial.observer.stage("load"):
        judge = _load_judge(trial)
    with trial.drawing_model(name) as model:
        _draw(trial, name, model, judge, int(first))


def _draw(trial: TrialWorker, name: str, model: Model, judge: Judge, first: int) -> None:
    """Draws and scores what is for this worker of a set's pictures, from the batch `first` on."""
    captions = [record.caption for record in _judged(trial, name)]
    batch = trial.config.preset.generation.batch_size
    with trial.observer.stage("draw", data_set=name):
        judge_batches(
            trial.generator(model, name),
            judge,
            captions,
            trial.paths.judged(name),
            trial.batches(f"{name}:{first}", len(captions), batch, first),
            trial.observer,
        )
    model.finish_encoding()  # statistics of many images take memory, too


def _judged(trial: TrialWorker, name: str) -> list[Record]:
    return judged_records(trial.catalogue(name), trial.config.preset.generation.seed, trial.images(name))


def _is_judged(trial: TrialWorker, name: str) -> bool:
    images, looks = trial.images(name), trial.judged_before.get(name, {}).get("looks", {})
    return str(images) in looks and is_whole(trial.paths.estimates(name, images))


def _kept(trial: TrialWorker, name: str) -> dict[str, np.ndarray]:
    """Returns what is kept of the images of earlier looks, by name; empty where there are none."""
    path = trial.paths.features(name)
    return load_file(path) if name in trial.judged_before and is_whole(path) else {}


def _judge_set(trial: TrialWorker, name: str, model: Model, judge: Judge) -> dict[str, Any] | None:
    """Judges one evaluation set; returns its metrics on worker 0, None on the others."""
    evaluation, before = trial.config.preset.evaluation, trial.judged_before.get(name, {})
    catalogue, judged = trial.catalogue(name), _judged(trial, name)
    kept = _kept(trial, name)
    first = trial.worker.agreed(lambda: rows_in(kept)) // trial.config.preset.generation.batch_size
    _draw(trial, name, model, judge, first)
    if trial.worker.world_size > 1:
        distributed.barrier()
    if trial.worker.rank != 0:
        return None
    captions, prompts = [record.caption for record in judged], [record.name for record in judged]
    kept, at_once = _bring_together(trial, name, prompts, kept)
    metrics = metrics_of(trial.config.sweep.metrics_on(name))
    real = read_real_images(trial.run, trial.config, name, catalogue, trial.caches)
    estimates = trial.evaluate(metrics, kept, real, evaluation, prompt_groups(captions))
    write_estimates(trial.paths.estimates(name, len(judged)), estimates, prompts)
    found = as_result(metrics, estimates, real, evaluation)
    if "looks" in found:  # else metrics have said nothing, in a rehearsal
        found["looks"] = before.get("looks", {}) | found["looks"]
    if before.get("samples", 0) > len(judged):  # a look that was passed
        return found | before | {"looks": found["looks"]}
    found[AT_ONCE] = min(at_once, before.get(AT_ONCE, at_once))
    return before | found | ({} if before else _forgotten(trial, name, model))


def _bring_together(
    trial: TrialWorker, name: str, prompts: Sequence[str], kept: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], int]:
    """Puts what is kept of new images beside that of earlier ones, in one file.

    Returns:
        What is kept of the images of `prompts`, by name, and how many went through the model at once.
    """
    folder, count, batch = trial.paths.judged(name), len(prompts), trial.config.preset.generation.batch_size
    stage_inputs.fetch_made(folder)
    first = rows_in(kept)
    if first < count:
        new = collect_batches(folder, count, batch, first)
        kept = {key: np.concatenate([*([kept[key]] if kept else []), rows]) for key, rows in new.items()}
        write_tensors(trial.paths.features(name), kept, {"prompts": json.dumps(prompts)})
    return {key: rows[:count] for key, rows in kept.items()}, images_at_once(folder, count, batch, first)


def rows_in(kept: dict[str, np.ndarray]) -> int:
    return min(map(len, kept.values()), default=0)


def _forgotten(trial: TrialWorker, name: str, model: Model) -> dict[str, float]:
    """Returns the loss on images of a set that nothing was trained on, against the base model's; empty for the base."""
    cache = trial.caches.loss(name)
    if cache is None or trial.spec.is_base_model:
        return {}
    seed = trial.config.preset.generation.seed
    captions = [record.caption for record in judged_records(trial.catalogue(name), seed, cache.rows)]
    loss, base_loss = losses_beside_base(model, cache, captions, seed, trial.worker.alive)
    write_tensors(trial.paths.losses(name), {"loss": loss, "base_loss": base_loss})
    return loss_increase(loss, base_loss)
