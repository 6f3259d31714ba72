"""Trains one trial's adapter on one of its workers: loads, attaches, restores, runs the loop, saves."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from accelerate import Accelerator

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.words import begun_with
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.split import split, training_steps
from fashion_sweep.doors import OPTIMIZERS
from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.models.emulated import autocast_on
from fashion_sweep.models.model import Model
from fashion_sweep.models.precision import tf32
from fashion_sweep.run.events import Observer
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.training.averaging import Average
from fashion_sweep.training.batches import (
    CachedCaptions,
    CaptionRows,
    EncodedCaptions,
    HeldCaptions,
    PriorPictures,
    TrainingSet,
)
from fashion_sweep.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_sound,
    save_checkpoint,
)
from fashion_sweep.training.loop import Report, Share, Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adaptation:
    """One worker's training of a trial's adapter: the settings, the data and the worker's rank."""

    spec: TrialSpec
    config: TrainingConfig
    """The training settings; their seed makes the split and the validation noise, which all trials share."""
    seed: int
    """The seed of this trial's own draws: initial weights, order, views, noise and timesteps."""
    catalogue: Catalogue
    images: ShardedCache
    captions: ShardedCache | None
    """The cache of encoded captions; None: captions are encoded while training."""
    rank: int
    workers: int
    only: str | None = None
    """The one record that is trained on and validated with; None: the two parts of the split."""
    prior: PriorPictures | None = None
    """The base model's pictures that are trained on beside the data."""
    agreed: Callable[[Callable[[], int]], int] = lambda find: find()
    """The function that gives all workers what the first of them finds."""
    about: Mapping[str, str] = field(default_factory=dict)
    """The metadata of the adapter file."""

    def run(self, model: Model, paths: TrialPaths, report: Report, observer: Observer) -> None:
        """Trains from the newest sound checkpoint to the end; worker 0 writes checkpoints and the adapter file.

        Afterwards the model is as it was before. `observer` is told of each step, and of damaged checkpoints.
        """

        def tokens(component: str, text: str) -> list[int]:
            return model.token_row(component, text)

        parameters = attaching.attach(model.components, self.spec, self.config, self.seed, tokens)
        try:
            self._train(model, parameters, paths, report, observer)
        finally:  # the model may serve other trials
            model.finish_training()
            attaching.detach(model.components, self.spec)

    def _train(
        self,
        model: Model,
        parameters: attaching.TrainedParameters,
        paths: TrialPaths,
        report: Report,
        observer: Observer,
    ) -> None:
        optimizer = OPTIMIZERS[self.config.optimizer].make(parameters.groups, self.config)
        average = Average(parameters, self.config.ema_decay) if self.config.ema_decay else None
        step = self.agreed(lambda: newest_sound(paths.checkpoints, observer.note))
        checkpoint = load_checkpoint(paths.checkpoints, step, parameters, optimizer, average)
        data = self._training_set(model)
        if self.captions and not self.spec.trains_conditioning:
            model.finish_encoding()
        model.prepare_training(self.spec.components, bool(self.config.gradient_checkpointing))
        autocast = autocast_on(model.device, self.config.autocast)
        accelerator = Accelerator(cpu=model.device.type == "cpu", mixed_precision=autocast)
        trainer = Trainer(
            model=model,
            parameters=parameters,
            optimizer=optimizer,
            data=data,
            config=self.config,
            steps=training_steps(self.config, self.catalogue),
            share=self._share(checkpoint.micro_batch_size),
            accelerator=accelerator,
            recent=deque(checkpoint.losses, maxlen=self.config.validation_every),
            average=average,
        )
        logger.info("trains from step %d of %d on", checkpoint.step, trainer.steps)
        with tf32(self.config.tf32):
            trainer.train(checkpoint.step, report, observer.step, self._saving(paths, trainer))
        if average:
            average.put()
        if self.rank == 0:
            attaching.save(paths.adapter, model.components, self.spec, self.about)
        accelerator.wait_for_everyone()

    def _saving(self, paths: TrialPaths, trainer: Trainer) -> Callable[[int], None]:
        def save(step: int) -> None:
            if self.rank == 0:
                at = Checkpoint(step, list(trainer.recent), trainer.share.micro_batch_size)
                save_checkpoint(paths.checkpoints, at, trainer.parameters, trainer.optimizer, trainer.average)

        return save

    def _share(self, reduced: int | None) -> Share:
        """Returns this worker's share; `reduced`: the micro-batch of an earlier attempt that may have lacked memory."""
        per_worker = self.config.batch_size // self.workers
        size = min(reduced or per_worker, self.config.samples_at_once(per_worker))
        return Share(self.rank, self.workers, self.config.batch_size, size)

    def _training_set(self, model: Model) -> TrainingSet:
        records = self.catalogue.records
        row = {record.name: index for index, record in enumerate(records)}
        training, validation = self._split()
        captions, trained_text = self.catalogue.distinct_captions, self.spec.trains_conditioning
        prior_caption = [self.prior.caption] if self.prior and trained_text else []
        caption_row = {caption: index for index, caption in enumerate(captions)}
        return TrainingSet(
            images=self.images,
            captions=self._captions(model, captions),
            names=[record.name for record in records],
            caption_rows=[caption_row[record.caption] for record in records],
            training_rows=[row[record.name] for record in training],
            validation_rows=[row[record.name] for record in validation],
            views=self.config.views,
            seed=self.seed,
            validation_seed=self.config.seed,
            num_train_timesteps=model.num_train_timesteps,
            prior=self.prior,
            prior_captions=HeldCaptions(model.tokenize(prior_caption)) if prior_caption else None,
            noise_offset=self.config.noise_offset,
            empty_caption=self._empty_caption(model) if self.config.proportion_empty_prompts else None,
            proportion_empty_prompts=self.config.proportion_empty_prompts,
        )

    def _captions(self, model: Model, captions: Sequence[str]) -> CaptionRows:
        if self.spec.trains_conditioning:
            return HeldCaptions(model.tokenize([begun_with(self.spec.prompt_prefix, one) for one in captions]))
        return CachedCaptions(self.captions) if self.captions else EncodedCaptions(model, captions)

    def _empty_caption(self, model: Model) -> CaptionRows:
        if self.spec.trains_conditioning:
            return HeldCaptions(model.tokenize([""]))
        return HeldCaptions(EncodedCaptions(model, [""]).conditioning([0]))

    def _split(self) -> tuple[list[Record], list[Record]]:
        if self.only is None:
            return split(self.catalogue, self.config.validation_fraction, self.config.seed)
        single = [record for record in self.catalogue.records if record.name == self.only]
        return single, single
