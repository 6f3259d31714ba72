"""Seeded shuffles of the catalogue's order: which records train, for how long, which validate, which are judged."""

from itertools import cycle, islice

from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.rng import permutation


def split(catalogue: Catalogue, validation_fraction: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Returns the training and the validation records; at least one of each."""
    order = permutation(seed, "data/split", length=len(catalogue.records))
    shuffled = [catalogue.records[i] for i in order]
    held_out = held_out_count(len(shuffled), validation_fraction)
    return shuffled[held_out:], shuffled[:held_out]


def held_out_count(records: int, validation_fraction: float) -> int:
    return max(1, round(validation_fraction * records))


def training_steps(config: TrainingConfig, catalogue: Catalogue) -> int:
    """Returns the optimizer steps of a trial: as given, or epochs over the training split.
    A last short batch is filled up."""
    return steps_for(config, len(catalogue.records))


def steps_for(config: TrainingConfig, records: int) -> int:
    """Returns the same as `training_steps`, for a data set of that many records."""
    if config.steps is not None:
        return config.steps
    assert config.epochs is not None
    training = records - held_out_count(records, config.validation_fraction)
    return -(-config.epochs * training // config.batch_size)


def judged_records(catalogue: Catalogue, seed: int, images: int) -> list[Record]:
    """Returns the record whose caption each of so many pictures shows; beyond the last record they begin anew."""
    return list(islice(cycle(evaluation_order(catalogue, seed)), images))


def evaluation_order(catalogue: Catalogue, seed: int) -> list[Record]:
    """Returns all records in a fixed random order: the first n are the evaluation samples, whatever n is."""
    order = permutation(seed, "evaluation/order", length=len(catalogue.records))
    return [catalogue.records[i] for i in order]
