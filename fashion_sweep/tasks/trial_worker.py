"""Does each worker's part of a trial: trains the adapter, has the task judge it, and writes down what came out.

Facts go to the trial's folder first. What is already there (adapter, judged batches) is used, not made again.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from fashion_sweep.adapters.formats import count_saved
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.adapters.metadata import own_keys
from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import EvaluationConfig, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, read_catalogue
from fashion_sweep.data.split import training_steps
from fashion_sweep.doors import TASKS
from fashion_sweep.encodings.caches import Caches, read_caches
from fashion_sweep.generation.drawing import write_preview
from fashion_sweep.generation.generator import Generator
from fashion_sweep.judging.looks import looks_of
from fashion_sweep.metrics.evaluate import evaluate, for_tune
from fashion_sweep.metrics.metric import Estimate, Metric, RealImages, metrics_of
from fashion_sweep.models.loaded import Loaded, kept_models
from fashion_sweep.models.model import Model
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.report.words import in_words
from fashion_sweep.run import stage_inputs
from fashion_sweep.run.events import Observer, Observers
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.specs import run_specs
from fashion_sweep.run.status import Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import is_whole, read_json, read_json_lines, write_json, write_json_lines
from fashion_sweep.training.adapt import Adaptation
from fashion_sweep.training.settled import Settled

logger = logging.getLogger(__name__)
Evaluate = Callable[
    [Sequence[Metric], Mapping[str, np.ndarray], RealImages, EvaluationConfig, np.ndarray], dict[str, Estimate]
]
"""The type of `metrics.evaluate.evaluate`."""


@dataclass(frozen=True)
class TrialWorker:
    """Works on a trial as one of its processes; holds what it opens once: configuration, catalogues, caches."""

    run: RunPaths
    config: RunConfig
    spec: TrialSpec
    worker: Worker
    status: Status
    watchers: Sequence[Observer] = ()
    """Are told of all events, after the status."""
    loaded: Loaded = field(default_factory=Loaded)
    """The models that it uses, which may serve several trials."""
    evaluate: Evaluate = evaluate
    """The function that computes the metrics of an evaluation set."""
    draws_preview: bool = True
    """Whether the first trial to be validated draws something to look at."""

    @classmethod
    def open(cls, run: RunPaths, trial_id: str, worker: Worker, **options: Any) -> "TrialWorker":
        """Reads what the run folder says of the trial; `options` are the fields that have a default."""
        config = Settled.read(run).config(read_run_config(run.config))
        spec = next(spec for spec in run_specs(run, config) if spec.trial_id == trial_id)
        writes = worker.rank == 0 and worker.helps is None
        status = Status(run.trial(trial_id), writes, further=bool(worker.looks), alive=worker.alive)
        return cls(run, config, spec, worker, status, **({"loaded": kept_models()} if worker.stays else {}) | options)

    def watched_by(self, *watchers: Observer) -> "TrialWorker":
        """Returns the same worker, whose events `watchers` are told of."""
        return replace(self, watchers=watchers)

    @cached_property
    def paths(self) -> TrialPaths:
        return self.run.trial(self.spec.trial_id)

    @cached_property
    def observer(self) -> Observer:
        stops = self.config.sweep.search and self.config.sweep.search.stop_early
        return Observers([self.status, *self.watchers, *([_Checks(self.worker)] if stops else [])])

    @cached_property
    def task(self) -> Any:
        """Returns the trial's task, a `tasks.task.Task`, which knows of this class."""
        return TASKS[self.config.sweep.task]

    @cached_property
    def catalogue(self) -> Callable[[str], Catalogue]:
        """Returns a function from a data set's name to its catalogue, each read once."""
        return cache(lambda name: read_catalogue(self.run.catalogue(name)))

    @cached_property
    def caches(self) -> Caches:
        return read_caches(self.run)

    @cached_property
    def steps(self) -> int:
        """Returns the number of optimizer steps that the trial makes in all."""
        if self.spec.is_base_model:
            return 0
        return training_steps(self.config.training_of(self.spec), self.catalogue(self.config.preset.training_set))

    def original_size(self, name: str) -> tuple[int, int]:
        """Returns the (height, width) that pictures are conditioned on."""
        return self.task.original_size(self.config, name, self.catalogue(name))

    def work(self) -> None:
        """Trains and judges the trial, or takes it to its next look; worker 0 writes `result.json` at the end.

        Once it is trained it may make way for others; called again, it is judged.
        """
        try:
            if not self.spec.is_base_model and not self.worker.agreed(lambda: is_whole(self.paths.adapter)):
                stage_inputs.fetch_caches(self.caches.folders(self.config, for_training=True))
                self.train()
                if self.worker.makes_way():
                    return
            stage_inputs.fetch_for_judging(
                self.paths, [] if self.worker.rank else self.caches.folders(self.config, for_training=False)
            )
            evaluations = self.task.judge(self)
            if self.worker.rank == 0:
                self.finish(evaluations)
            self.worker.report({"step": self.steps, **for_tune(evaluations, metrics_of(self.config.sweep.metrics))})
        except Exception as error:
            self.status.fail(f"{type(error).__name__}: {error}")
            raise

    def help(self, name: str) -> None:
        """Takes part in work that another lane shares."""
        self.task.help(self, name)

    @cached_property
    def judged_before(self) -> dict[str, Any]:
        """The metrics by evaluation set that earlier looks brought; empty before the first is over."""
        return dict(read_json(self.paths.result, {}).get("evaluations", {})) if self.worker.looks else {}

    def images(self, name: str) -> int:
        """Returns the images of a set that the trial is judged on."""
        return self.worker.looks.get(name) or looks_of(self.config, name)[0]

    def batches(self, name: str, images: int, size: int, first: int = 0) -> Iterator[int]:
        """Yields the numbers of the batches that this worker draws, while other lanes may draw others.

        Args:
            name: of the work that is shared.
            images: of all batches together, those included that were drawn before.
            size: of a batch, in images.
            first: the first batch that is to be drawn.
        """
        rank, world_size = self.worker.rank, self.worker.world_size
        count = -(-images // size) - first
        for chunk, finished in self.worker.shared(name, -(-count // world_size)):
            drawn = first * size + finished * world_size * size
            self.observer.update(images=min(drawn, images), images_total=images)
            if (batch := chunk * world_size + rank) < count:
                yield first + batch
        self.observer.update(images=images, images_total=images)

    def train(self) -> None:
        """Trains from the newest checkpoint to the end, and saves the adapter."""
        training = self.caches.training(self.config.training_of(self.spec))
        remote.remove(self.paths.adapter_source)  # of a copy that was damaged
        with self.observer.stage("load", step=0, steps=self.steps):
            model = self.loaded.model(self.config.model_of(self.spec), self.worker.device)
        words, size = self.task.trigger_words(self.config), self.original_size(self.config.preset.training_set)
        adaptation = Adaptation(
            spec=self.spec,
            config=training,
            seed=training.seed + self.spec.replicate,
            catalogue=self.catalogue(self.config.preset.training_set),
            images=self.caches.images,
            captions=self.caches.captions,
            rank=self.worker.rank,
            workers=self.worker.world_size,
            **self.task.trained_on(self),
            agreed=self.worker.agreed,
            about=own_keys(self.config, self.spec, self.run.name, size, words),
        )
        with self.observer.stage("train"):
            adaptation.run(model, self.paths, partial(self._report_and_draw, model), self.observer)
        del model, adaptation
        self.loaded.release()

    def _report_and_draw(self, model: Model, values: dict[str, float]) -> None:
        """Reports a validation; the first trial to be validated draws, to show something before any trial is judged."""
        self.report(values)
        is_first = 0 < values["step"] <= self.config.training_of(self.spec).validation_every and self.draws_preview
        if is_first and self.worker.rank == 0 and not any(self.paths.root.parent.glob("*/samples/preview.png")):
            generator = self.generator(model, self.config.drawn_as)
            write_preview(generator, self.config.sweep.sample_prompts, self.paths.preview, self.worker.alive)

    def report(self, values: dict[str, float]) -> None:
        """Reports values to the trial's folder, then to Ray Tune. Lines of steps that are made again are dropped."""
        if self.worker.rank == 0:
            logger.info(in_words(values))
            lines = read_json_lines(self.paths.metrics, self.observer.note)
            earlier = [line for line in lines if line["step"] < values["step"]]
            write_json_lines(self.paths.metrics, [*earlier, values | {"time": time.time_ns() // 1_000_000}])
        self.worker.report(values)
        self.observer.report(values)

    @contextmanager
    def drawing_model(self, name: str | None = None) -> Iterator[Model]:
        """The model that draws for a data set, by default for any, and while the block runs the trial's adapter."""
        model = self.loaded.model(self.config.preset.drawing_model(name), self.worker.device, for_pictures=True)
        with ExitStack() as stack:
            if not self.spec.is_base_model:
                stack.enter_context(adapted(self.paths.adapter, self.config.architecture, model.components))
            self.observer.loaded("pipelines", model)
            yield model

    def generator(self, model: Model, name: str) -> Generator:
        """Returns a generator that draws pictures like those of the data set `name`."""
        return Generator(
            model=model,
            config=self.config.preset.generation,
            size=self.config.preset.picture_size(name),
            original_size=self.original_size(name),
            negative_prompt=self.task.negative_prompt(self.config, self.spec),
            prefix=self.spec.prompt_prefix,
        )

    def finish(self, evaluations: dict[str, Any]) -> None:
        """Writes `result.json`, with which the trial is done."""
        metrics = read_json_lines(self.paths.metrics, self.observer.note)
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
        if measured := self.task.summary(self):
            result[self.task.name] = measured
        if source := read_json(self.paths.adapter_source):
            result["adapter_from"] = source["run"]
        result |= {name: last[name] for name in ("train_loss", "val_loss", "micro_batch_size") if name in last}
        for name, metrics in evaluations.items():
            logger.info("%s: %s", name, in_words(metrics))
        write_json(self.paths.result, result)
        self.status.update(now=True, state="done")


class _Checks(Observer):
    """Leaves a trial at a step, where a search has stopped it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def step(self, values: Mapping[str, float]) -> None:
        self._worker.check()
