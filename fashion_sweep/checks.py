"""What can be wrong with a run, found before anything is started. Imports no torch: a mistake is told in a second."""

import json
from pathlib import Path

from fashion_sweep.config import EvaluationConfig, ModelConfig, RunConfig, Size
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.data.sets import locate_data
from fashion_sweep.data.split import split
from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.evaluation.fid import SAMPLES_PER_DIMENSION, enough_samples
from fashion_sweep.models.attention import check_attention
from fashion_sweep.models.locate import EMBEDDED, locate
from fashion_sweep.models.schedule import check_schedules
from fashion_sweep.sweep_file import EvaluationSet

INCEPTION_DIMENSION = 2048


def check_config(config: RunConfig) -> None:
    """Raises:
    ConfigError: the first thing that cannot work together.
    """
    preset = config.preset
    check_model(preset.model)
    if preset.evaluation.clip_model.startswith(EMBEDDED):
        locate(preset.evaluation.clip_model, "evaluation.clip_model")
    if preset.evaluation.features == "tiny-clip" and not preset.evaluation.clip_model.startswith(EMBEDDED):
        raise ConfigError("evaluation.features: 'tiny-clip' needs evaluation.clip_model=embedded:clip")
    rendered_sets(config)
    _check_sizes(config)
    _check_batches(config)
    _check_samples(preset.evaluation)
    search, steps = config.sweep.search, preset.training.steps
    if search and search.stop_early and steps and not search.stop_early.rungs(steps):
        raise ConfigError(
            f"sweep.search.stop_early.grace_steps: {search.stop_early.grace_steps} leave nothing to stop of "
            f"{steps} training steps; set fewer, or stop_early: null"
        )


def check_catalogue(name: str, catalogue: Catalogue, config: RunConfig) -> None:
    """Raises:
    DataError: too few images for the split, or for the FID of the evaluation samples.
    """
    evaluation, records = config.preset.evaluation, len(catalogue.records)
    dropped = "".join(f"; {count} were {reason}" for reason, count in catalogue.summary()["dropped"].items())
    fraction = config.preset.training.validation_fraction
    if name == "fashion" and not all(split(catalogue, fraction, seed=0)):
        raise DataError(
            f"data.fashion: {records} images are too few to train and validate with a validation_fraction of "
            f"{fraction:g}{dropped}"
        )
    if name in config.sweep.judge and (problem := too_few_to_judge(name, records, evaluation)):
        raise DataError(f"{problem}{dropped}; sweep.judge=[] trains without judging")


def too_few_to_judge(name: str, records: int, evaluation: EvaluationConfig) -> str | None:
    """What keeps a set of so many images from being judged."""
    samples, dimension = min(evaluation.samples, records), feature_dimension(evaluation)
    if not enough_samples(samples, dimension):
        needed = f"{SAMPLES_PER_DIMENSION:g} x {dimension} = {round(SAMPLES_PER_DIMENSION * dimension)}"
        return f"data.{name}: {samples} images are too few for FID with {dimension} features; it needs {needed}"
    if samples < 2 * evaluation.kid_subset_size:
        return (
            f"data.{name}: {samples} images are too few for two KID subsets of {evaluation.kid_subset_size}; "
            "set a smaller evaluation.kid_subset_size"
        )
    return None


def check_model(model: ModelConfig) -> None:
    """Raises:
    ConfigError: a part of the model is nowhere, something else, or learnt what cannot be trained or drawn; or
        attention is asked for that is not installed.
    """
    for key, name in (("model.base", model.base), ("model.refiner", model.refiner), ("model.vae", model.vae)):
        if name is not None:
            locate(name, key)
    check_schedules(model)
    check_attention(model.attention)


def check_size(model: ModelConfig, key: str, size: Size) -> None:
    """Images must divide into latents; for a model that is not on this disk yet, SDXL's factor of 8."""
    folder = Path(locate(model.vae, "model.vae") if model.vae else locate(model.base, "model.base"))
    path = next((path for path in (folder / "vae" / "config.json", folder / "config.json") if path.is_file()), None)
    blocks = json.loads(path.read_text(encoding="utf-8"))["block_out_channels"] if path else range(4)
    factor = 2 ** (len(blocks) - 1)
    if size.height % factor or size.width % factor:
        raise ConfigError(f"{key}: {size.height}x{size.width} pixels do not divide by the autoencoder's {factor}")


def data_sets(config: RunConfig) -> list[EvaluationSet]:
    """The data sets that a run reads: fashion, which trains, and those it judges on."""
    names: list[EvaluationSet] = ["fashion", *config.sweep.judge]
    return list(dict.fromkeys(names))


def rendered_sets(config: RunConfig) -> list[EvaluationSet]:
    """Those that are made here, of the embedded world. A run over garments has photos in place of data sets.

    Raises:
        ConfigError: neither a folder nor a number of images to render is given.
    """
    names = [] if config.sweep.garments else data_sets(config)
    return [name for name in names if locate_data(name, config.preset.data.of(name))[1]]


def feature_dimension(config: EvaluationConfig) -> int:
    """d of the features, without loading weights."""
    if config.features != "tiny-clip":
        return INCEPTION_DIMENSION
    path = Path(locate(config.clip_model, "evaluation.clip_model")) / "open_clip_config.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])


def _check_sizes(config: RunConfig) -> None:
    data = config.preset.data
    sizes = {"training.image": config.preset.training.image}
    sizes |= {f"data.{name}.evaluation": data.of(name).evaluation for name in data_sets(config)}
    for key, size in sizes.items():
        check_size(config.preset.model, key, size)


def _check_batches(config: RunConfig) -> None:
    training, workers = config.preset.training, config.preset.resources.workers_per_trial
    own, rest = divmod(training.batch_size, workers)
    if rest:
        raise ConfigError(
            f"training.batch_size: {training.batch_size} does not divide among {workers} workers per trial"
        )
    if own % min(training.micro_batch_size or own, own):
        raise ConfigError(
            f"training.micro_batch_size: {training.micro_batch_size} does not divide a worker's share of {own} samples"
        )


def _check_samples(evaluation: EvaluationConfig) -> None:
    dimension = feature_dimension(evaluation)
    if not enough_samples(evaluation.samples, dimension):
        raise ConfigError(
            f"evaluation.samples: {evaluation.samples} images are too few for FID with the {dimension} features of "
            f"{evaluation.features}; it needs {round(SAMPLES_PER_DIMENSION * dimension)} or more"
        )
    if 2 * evaluation.kid_subset_size > evaluation.samples:
        raise ConfigError(
            f"evaluation.kid_subset_size: {evaluation.kid_subset_size} is more than half of the {evaluation.samples} "
            "samples; KID needs two subsets"
        )
