"""Judges a trial on evaluation sets: pictures of their captions become features, and these become metrics."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from torch import distributed

from fashion_sweep.data.catalogue import Record
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.encodings.real_images import read_real_images
from fashion_sweep.generation.drawing import write_samples
from fashion_sweep.generation.judging import AT_ONCE, collect_batches, images_at_once, judge_batches
from fashion_sweep.metrics.estimates_file import write_estimates
from fashion_sweep.metrics.evaluate import as_result
from fashion_sweep.metrics.halves import prompt_groups
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.models.model import Model
from fashion_sweep.run import stage_inputs
from fashion_sweep.storage.files import write_tensors
from fashion_sweep.tasks.trial_worker import TrialWorker
from fashion_sweep.training.denoising_loss import loss_increase, losses_beside_base


def judge_trial(trial: TrialWorker) -> dict[str, Any]:
    """Draws and judges every set of `sweep.judge`, then draws the sample prompts.

    Returns:
        By set its metrics, on worker 0; None on the others.
    """
    sweep = trial.config.sweep
    evaluations: dict[str, Any] = {}
    with ExitStack() as stack:
        with trial.observer.stage("load"):
            model = stack.enter_context(trial.drawing_model())
            judge = _load_judge(trial) if sweep.judge else None
        for name in sweep.judge:
            assert judge is not None
            with trial.observer.stage("judge", evaluation_set=name):
                evaluations[name] = _judge_set(trial, name, model, judge)
        with trial.observer.stage("judge"):
            if trial.worker.rank == 0:
                generator = trial.generator(model, trial.config.drawn_as)
                write_samples(generator, sweep.sample_prompts, trial.paths.samples, trial.observer)
    return evaluations


def _load_judge(trial: TrialWorker) -> Judge:
    evaluation, metrics = trial.config.preset.evaluation, metrics_of(trial.config.sweep.metrics)
    judge = trial.loaded.judge(evaluation, metrics, trial.worker.device)
    trial.observer.loaded("judge", judge.modules)
    return judge


def draw_with_others(trial: TrialWorker, name: str) -> None:
    """Draws and scores some of the pictures of a set, which another lane judges."""
    with trial.observer.stage("load"):
        judge = _load_judge(trial)
    with trial.drawing_model() as model:
        _draw(trial, name, model, judge)


def _draw(trial: TrialWorker, name: str, model: Model, judge: Judge) -> None:
    """Draws and scores what is for this worker of a set's pictures."""
    captions = [record.caption for record in _judged(trial, name)]
    with trial.observer.stage("draw", data_set=name):
        judge_batches(
            trial.generator(model, name),
            judge,
            captions,
            trial.paths.judged(name),
            trial.batches(name, len(captions), trial.config.preset.generation.batch_size),
            trial.observer,
        )


def _judged(trial: TrialWorker, name: str) -> list[Record]:
    return _order(trial, name)[: trial.config.preset.evaluation.samples]


def _order(trial: TrialWorker, name: str) -> list[Record]:
    return evaluation_order(trial.catalogue(name), trial.config.preset.generation.seed)


def _judge_set(trial: TrialWorker, name: str, model: Model, judge: Judge) -> dict[str, Any] | None:
    """Judges one evaluation set; returns its metrics on worker 0, None on the others."""
    evaluation, generation = trial.config.preset.evaluation, trial.config.preset.generation
    catalogue, folder = trial.catalogue(name), trial.paths.judged(name)
    _draw(trial, name, model, judge)
    if trial.worker.world_size > 1:
        distributed.barrier()
    if trial.worker.rank != 0:
        return None
    stage_inputs.fetch_made(folder)
    order, judged = _order(trial, name), _judged(trial, name)
    captions = [record.caption for record in judged]
    kept, prompts = collect_batches(folder, len(captions), generation.batch_size), [record.name for record in judged]
    write_tensors(trial.paths.features(name), kept, {"prompts": json.dumps(prompts)})
    metrics = metrics_of(trial.config.sweep.metrics_on(name))
    real = read_real_images(trial.run, trial.config, name, catalogue, trial.caches)
    estimates = trial.evaluate(metrics, kept, real, evaluation, prompt_groups(captions))
    write_estimates(trial.paths.estimates(name), estimates, prompts)
    at_once = {AT_ONCE: images_at_once(folder, len(captions), generation.batch_size)}
    return as_result(metrics, estimates, real, evaluation) | at_once | _forgotten(trial, name, model, order)


def _forgotten(trial: TrialWorker, name: str, model: Model, order: Sequence[Record]) -> dict[str, float]:
    """Returns the loss on images of a set that nothing was trained on, against the base model's; empty for the base."""
    cache = trial.caches.loss(name)
    if cache is None or trial.spec.is_base_model:
        return {}
    judged, seed = [record.caption for record in order[: cache.rows]], trial.config.preset.generation.seed
    loss, base_loss = losses_beside_base(model, cache, judged, seed, trial.worker.alive)
    write_tensors(trial.paths.losses(name), {"loss": loss, "base_loss": base_loss})
    return loss_increase(loss, base_loss)
