"""What each worker of a trial does: train the adapter, judge it, and write down what came out.

Facts go to the trial's folder first. What is already there (adapter, judged batches) is used, not made again.
"""

import gc
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed

from fashion_sweep.adapters.formats import count_saved
from fashion_sweep.adapters.fusing import fuse
from fashion_sweep.adapters.metadata import own_keys
from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Record, read_catalogue
from fashion_sweep.data.split import evaluation_order, training_steps
from fashion_sweep.encodings.caches import Caches, read_caches
from fashion_sweep.generation.generator import (
    AT_ONCE,
    Generator,
    collect_batches,
    images_at_once,
    judge_batches,
    write_preview,
    write_samples,
)
from fashion_sweep.metrics.evaluate import evaluate, flat
from fashion_sweep.metrics.extractors import Judge, Scores
from fashion_sweep.models.model import Model
from fashion_sweep.models.registry import load_model
from fashion_sweep.planning.plan import parameters_of
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.specs import run_specs
from fashion_sweep.run.status import Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import (
    is_whole,
    read_json,
    read_json_lines,
    write_json,
    write_json_lines,
    write_tensors,
)
from fashion_sweep.training.adapt import Adaptation
from fashion_sweep.training.denoising_loss import loss_increase, losses_beside_base

logger = logging.getLogger(__name__)


def run_trial(run: RunPaths, trial_id: str, worker: Worker, kind: "type[Trial] | None" = None) -> None:
    """Trains and judges trial `trial_id` of `run` as one of its workers; worker 0 writes `result.json` at the end.

    `kind`: where its trials are judged otherwise than by data sets.
    """
    config = read_run_config(run.config)
    spec = next(spec for spec in run_specs(run, config) if spec.trial_id == trial_id)
    paths = run.trial(trial_id)
    trial = (kind or Trial)(run, paths, config, spec, worker, Status(paths, worker.rank == 0, alive=worker.alive))
    try:
        if not spec.is_base_model and not worker.agreed(lambda: is_whole(paths.adapter)):
            trial.train()
        evaluations = trial.judge()
        if worker.rank == 0:
            trial.finish(evaluations)
        worker.report({"step": trial.steps, **flat(evaluations)})
    except Exception as error:
        trial.status.fail(f"{type(error).__name__}: {error}")
        raise


@dataclass(frozen=True)
class Trial:
    run: RunPaths
    paths: TrialPaths
    config: RunConfig
    spec: TrialSpec
    worker: Worker
    status: Status

    @property
    def steps(self) -> int:
        """Optimizer steps that the trial makes in all."""
        if self.spec.is_base_model:
            return 0
        catalogue = read_catalogue(self.run.catalogue(self.config.preset.training_set))
        return training_steps(self.config.training_of(self.spec), catalogue)

    def original_size(self, name: str) -> tuple[int, int]:
        """(height, width) that pictures are conditioned on."""
        return read_catalogue(self.run.catalogue(name)).original_size

    @property
    def trigger_words(self) -> Sequence[str]:
        """That call up what was learnt, and nothing else does."""
        return ()

    def trained_on(self, caches: Caches) -> dict[str, Any]:
        """What of `Adaptation` says which images, where that is not the training split."""
        return {}

    def load_judge(self) -> Judge:
        return Judge(self.config.preset.evaluation, self.worker.device)

    def train(self) -> None:
        caches = read_caches(self.run)
        training = caches.training(self.config.training_of(self.spec))
        remote.remove(self.paths.adapter_source)  # of a copy that was damaged
        catalogue = read_catalogue(self.run.catalogue(data_set := self.config.preset.training_set))
        with self.status.stage("load", step=0, steps=self.steps):
            model = load_model(self.config.preset.model, self.worker.device)
        adaptation = Adaptation(
            spec=self.spec,
            config=training,
            seed=training.seed + self.spec.replicate,
            catalogue=catalogue,
            images=caches.images,
            captions=caches.captions,
            rank=self.worker.rank,
            workers=self.worker.world_size,
            **self.trained_on(caches),
            agreed=self.worker.agreed,
            about=own_keys(self.config, self.spec, self.run.name, self.original_size(data_set), self.trigger_words),
        )
        with self.status.stage("train"):
            adaptation.run(model, self.paths, partial(self._report_and_draw, model), self._progress, self.status.note)
        del model, adaptation
        gc.collect()
        torch.cuda.empty_cache()

    def _progress(self, values: dict[str, float]) -> None:
        micro_batch_size = int(values["micro_batch_size"])
        self.status.update(step=int(values["step"]), loss=values["train_loss"], micro_batch_size=micro_batch_size)

    def _report_and_draw(self, model: Model, values: dict[str, float]) -> None:
        """The first to be validated draws, so that there is something to look at before any trial is judged."""
        self._report(values)
        is_first = 0 < values["step"] <= self.config.training_of(self.spec).validation_every
        if is_first and self.worker.rank == 0 and not any(self.paths.root.parent.glob("*/samples/preview.png")):
            generator = self.generator(model, self.config.drawn_as)
            write_preview(generator, self.config.sweep.sample_prompts, self.paths.preview, self.worker.alive)

    def _report(self, values: dict[str, float]) -> None:
        """Into the trial's folder first, then to Ray Tune. Lines of steps that are made again are dropped."""
        if self.worker.rank == 0:
            logger.info(_said(values))
            known = read_json_lines(self.paths.metrics, self.status.note)
            earlier = [line for line in known if line["step"] < values["step"]]
            write_json_lines(self.paths.metrics, [*earlier, values | {"time": time.time_ns() // 1_000_000}])
        self.worker.report(values)

    def judge(self) -> dict[str, Any]:
        sweep = self.config.sweep
        with self.status.stage("load"):
            model, judge = self.load_for_pictures(), self.load_judge() if sweep.judge else None
        evaluations: dict[str, Any] = {}
        for name in sweep.judge:
            assert judge is not None
            with self.status.stage("judge", evaluation_set=name):
                evaluations[name] = self._judge_set(name, model, judge)
        with self.status.stage("judge"):
            if self.worker.rank == 0:
                write_samples(self.generator(model, self.config.drawn_as), sweep.sample_prompts, self.paths.samples)
        return evaluations

    def load_for_pictures(self) -> Model:
        """With the refiner, and the trial's adapter."""
        model = load_model(self.config.preset.model, self.worker.device, with_refiner=True)
        if not self.spec.is_base_model:
            remote.fetch_file(self.paths.adapter)
            fuse(self.paths.adapter, self.config.architecture, model.components)
        return model

    def generator(self, model: Model, name: str) -> Generator:
        generation = self.config.preset.generation
        return Generator(
            model=model,
            config=generation,
            size=self.config.preset.picture_size(name),
            original_size=self.original_size(name),
            negative_prompt=generation.base_negative_prompt if self.spec.is_base_model else None,
        )

    def _judge_set(self, name: str, model: Model, judge: Judge) -> dict[str, Any] | None:
        """The metrics, on worker 0; None on the others."""
        evaluation, generation = self.config.preset.evaluation, self.config.preset.generation
        catalogue = read_catalogue(self.run.catalogue(name))
        order = evaluation_order(catalogue, generation.seed)
        judged = order[: evaluation.samples]
        captions = [record.caption for record in judged]
        rank, world_size = self.worker.rank, self.worker.world_size
        judge_batches(
            self.generator(model, name),
            judge,
            captions,
            self.paths.judged(name),
            slice(rank, None, world_size),
            lambda images: self.status.update(images=images * world_size, images_total=len(captions)),
        )
        if world_size > 1:
            distributed.barrier()
            remote.fetch(self.paths.judged(name))  # from workers on other nodes
        if rank != 0:
            return None
        scores = collect_batches(self.paths.judged(name), len(captions), generation.batch_size)
        scores.save(self.paths.features(name), {"prompts": json.dumps([record.name for record in judged])})
        row = {record.name: index for index, record in enumerate(catalogue.records)}
        reference = read_caches(self.run).reference(name).all("features")[[row[record.name] for record in order]]
        at_once = {AT_ONCE: images_at_once(self.paths.judged(name), len(captions), generation.batch_size)}
        return self.evaluate(scores, reference) | at_once | self._forgotten(name, model, order)

    def evaluate(self, scores: Scores, reference: Tensor) -> dict[str, Any]:
        """The metrics of one evaluation set; `reference` has the features of the real images in judging's order."""
        features, clip_scores = scores.features.numpy(), scores.clip_scores.numpy()
        return evaluate(features, clip_scores, reference.numpy(), self.config.preset.evaluation)

    def _forgotten(self, name: str, model: Model, order: Sequence[Record]) -> dict[str, float]:
        """Loss on images of a set that nothing was trained on, against the base model's; nothing of the base itself."""
        cache = read_caches(self.run).loss(name)
        if cache is None or self.spec.is_base_model:
            return {}
        judged, seed = [record.caption for record in order[: cache.rows]], self.config.preset.generation.seed
        loss, base_loss = losses_beside_base(model, cache, judged, seed, self.worker.alive)
        write_tensors(self.paths.losses(name), {"loss": loss, "base_loss": base_loss})
        return loss_increase(loss, base_loss)

    def summary(self) -> dict[str, Any]:
        """What else the result says."""
        return {}

    def finish(self, evaluations: dict[str, Any]) -> None:
        metrics = read_json_lines(self.paths.metrics, self.status.note)
        last = metrics[-1] if metrics else {}
        adapter = None if self.spec.is_base_model else self.paths.adapter
        parameters = count_saved(adapter) if adapter else 0
        assert parameters == parameters_of(self.config, self.spec), "the adapter file is not what was planned"
        result = {
            "trial_id": self.spec.trial_id,
            "title": self.spec.title,
            "ranks": self.spec.adapter_values,
            "parameters": parameters,
            "adapter_bytes": adapter.stat().st_size if adapter else 0,
            "steps": self.steps,
            "evaluations": evaluations,
            "seconds": self.status.seconds,
        }
        result |= self.summary()
        if source := read_json(self.paths.adapter_source):
            result["adapter_from"] = source["run"]
        result |= {name: last[name] for name in ("train_loss", "val_loss", "micro_batch_size") if name in last}
        for name, metrics in evaluations.items():
            logger.info("%s: %s", name, _said(metrics))
        write_json(self.paths.result, result)
        self.status.update(now=True, state="done")


def _said(values: Mapping[str, Any]) -> str:
    """Values for a line of the log."""
    return ", ".join(f"{name} {format(v, '.6g') if isinstance(v, float) else v}" for name, v in values.items())
