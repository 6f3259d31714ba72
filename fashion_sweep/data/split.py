"""Which records train, for how long, which validate, and which are judged: seeded shuffles of the catalogue's order."""

from fashion_sweep.config import TrainingConfig
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.draws import permutation


def split(catalogue: Catalogue, validation_fraction: float, seed: int) -> tuple[list[Record], list[Record]]:
    """(training, validation) records; at least one of each."""
    order = permutation(seed, "data/split", length=len(catalogue.records))
    shuffled = [catalogue.records[i] for i in order]
    held_out = max(1, round(validation_fraction * len(shuffled)))
    return shuffled[held_out:], shuffled[:held_out]


def training_steps(config: TrainingConfig, catalogue: Catalogue) -> int:
    """Optimizer steps of a trial: as given, or epochs over the training split (a last short batch is filled up)."""
    if config.steps is not None:
        return config.steps
    assert config.epochs is not None
    training, _ = split(catalogue, config.validation_fraction, config.seed)
    return -(-config.epochs * len(training) // config.batch_size)


def evaluation_order(catalogue: Catalogue, seed: int) -> list[Record]:
    """All records in a fixed random order: the first n are the evaluation samples, whatever n is."""
    order = permutation(seed, "evaluation/order", length=len(catalogue.records))
    return [catalogue.records[i] for i in order]
