"""Finds what is wrong with a run before anything is started. Imports no torch: a mistake is told in a second."""

from typing import Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.data.split import split, training_steps
from fashion_sweep.doors import ADAPTER_KINDS, OPTIMIZERS
from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.judging.looks import entrants, looks_of
from fashion_sweep.metrics.extractors import FEATURES, extractor
from fashion_sweep.metrics.metric import metrics_of, too_few
from fashion_sweep.models.checks import check_model, check_quantization, check_size
from fashion_sweep.models.sources import EMBEDDED, locate
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.tasks.task import task_of


def check_config(config: RunConfig) -> None:
    """Checks a run's configuration, without reading its data.

    Raises:
        ConfigError: the first thing that cannot work together.
    """
    preset = config.preset
    check_model(preset.model)
    if preset.evaluation.clip_model.startswith(EMBEDDED):
        locate(preset.evaluation.clip_model, "evaluation.clip_model")
    for name in sorted({FEATURES, *(one for metric in metrics_of(config.sweep.metrics) for one in metric.extractors)}):
        extractor(name, preset.evaluation).check(preset.evaluation)
    task_of(config).check(config)
    _check_packages(config)
    check_trials(config)
    _check_sizes(config)
    _check_batches(config)
    check_judging(config)
    search, steps = config.sweep.search, preset.training.steps
    if search and search.stop_early and steps and not search.stop_early.rungs(steps):
        raise ConfigError(
            f"sweep.search.stop_early.grace_steps: {search.stop_early.grace_steps} leave nothing to stop of "
            f"{steps} training steps; set fewer, or stop_early: null"
        )


def check_catalogue(name: str, catalogue: Catalogue, config: RunConfig) -> None:
    """Checks that a data set has enough images.

    Raises:
        DataError: too few images for the split, or for the FID of the evaluation samples.
    """
    evaluation, records = config.preset.evaluation, len(catalogue.records)
    dropped = "".join(f"; {count} were {reason}" for reason, count in catalogue.summary()["dropped"].items())
    fraction = config.preset.training.validation_fraction
    if name == config.preset.training_set and not all(split(catalogue, fraction, seed=0)):
        raise DataError(
            f"data.{name}: {records} images are too few to train and validate with a validation_fraction of "
            f"{fraction:g}{dropped}"
        )
    for spec in specs_of(config) if name == config.preset.training_set else ():
        training = config.training_of(spec)
        _check_warm_up(spec, training, training_steps(training, catalogue))
    metrics = metrics_of(config.sweep.metrics_on(name) if name in config.sweep.judge else ())
    if problem := too_few(metrics, min(evaluation.samples, records), evaluation):
        raise DataError(f"data.{name}: {problem}{dropped}; sweep.judge=[] trains without judging")


def check_judging(config: RunConfig) -> None:
    """Checks on how many images trials are to be judged.

    Raises:
        ConfigError: too few for a metric, more than there will be, or more than the race may cost.
    """
    evaluation = config.preset.evaluation
    if problem := too_few(metrics_of(config.sweep.metrics), evaluation.samples, evaluation):
        raise ConfigError(f"evaluation.samples: {problem}")
    looks, samples = config.sweep.choose.looks or [], evaluation.samples
    if looks and looks[-1] > samples:
        raise ConfigError(f"sweep.choose.looks: {looks[-1]} images are more than the evaluation.samples, {samples}")
    for name in config.sweep.judge if looks else ():
        if problem := too_few(metrics_of(config.sweep.metrics_on(name)), looks[0], evaluation):
            raise ConfigError(f"sweep.choose.looks: {problem}")
    for name in config.sweep.judge if config.sweep.choose.budget.images else ():
        first, trainings = looks_of(config, name)[0], entrants(config) * config.sweep.seeds
        budget = config.sweep.choose.budget.images or 0
        if first * trainings > budget:
            raise ConfigError(
                f"sweep.choose.budget.images: {budget} are fewer than the {first * trainings} that the first look at "
                f"{name} takes, {first} of each of {trainings} trainings"
            )


def _check_packages(config: RunConfig) -> None:
    for name in sorted(_values(config, "optimizer")):
        OPTIMIZERS[name].check(name)
    rounded = {config.preset.data[name].quantization for name in config.data_sets} | _values(config, "quantization")
    if rounded != {None}:
        check_quantization()


def check_trials(config: RunConfig) -> None:
    """Checks what trials ask for, whatever is installed.

    Raises:
        ConfigError: the base model, the kind of adapter, or the length of the training does not allow it.
    """
    if _values(config, "snr_gamma") != {None} and not config.architecture.has_snr:
        raise ConfigError(
            f"training.snr_gamma: {config.architecture.name} has no signal-to-noise ratio; set it to null"
        )
    for spec in specs_of(config):
        bits, training = config.model_of(spec).quantization, config.training_of(spec)
        for one in spec.adapters if bits else ():
            if reason := ADAPTER_KINDS[one.kind].needs_plain_weights(one.options, bits):
                raise ConfigError(f"{spec.title}: cannot be trained on a base model in {bits}, {reason}")
        own = [one for one in spec.adapters if ADAPTER_KINDS[one.kind].has_own_rate(one.options, training)]
        if own and OPTIMIZERS[training.optimizer].has_one_rate:
            raise ConfigError(
                f"{spec.title}: {own[0].placement} learns at a rate of its own, and training.optimizer "
                f"{training.optimizer} has one for all"
            )
        if training.steps:
            _check_warm_up(spec, training, training.steps)


def _check_warm_up(spec: TrialSpec, training: TrainingConfig, steps: int) -> None:
    if training.warmup_steps >= steps:
        raise ConfigError(
            f"training.warmup_steps: {training.warmup_steps} are all of the {steps} steps of {spec.title}"
        )


def _values(config: RunConfig, name: str) -> set[Any]:
    """Returns the values that an axis has in any trial."""
    space = config.sweep.space
    preset, trials = config.spec_of({}), [config.axes_of(spec)[name] for spec in config.specs]
    return {config.axes_of(preset)[name], *trials, *(space.listed.get(name, []) if space else [])}


def _check_sizes(config: RunConfig) -> None:
    sizes = {"training.image": config.preset.training.image}
    sizes |= {f"data.{name}.evaluation": config.preset.picture_size(name) for name in config.data_sets}
    for key, size in sizes.items():
        check_size(config.preset.model, key, size)


def _check_batches(config: RunConfig) -> None:
    training, workers = config.preset.training, config.preset.resources.workers_per_trial
    part, rest = divmod(training.batch_size, workers)
    if rest:
        raise ConfigError(
            f"training.batch_size: {training.batch_size} does not divide among {workers} workers per trial"
        )
    if part % training.samples_at_once(part):
        raise ConfigError(
            f"training.micro_batch_size: {training.micro_batch_size} does not divide a worker's share of {part} samples"
        )
