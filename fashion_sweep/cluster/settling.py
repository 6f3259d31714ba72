"""Has a lane settle what a run's configuration leaves open, once for all its trials."""

import logging
from typing import Any

from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.shards import map_shards
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.stage_inputs import fetch_for_encoding
from fashion_sweep.run.status import Alive
from fashion_sweep.storage.files import read_json, write_json
from fashion_sweep.training.settled import FACT, is_unsettled, sentence

logger = logging.getLogger(__name__)


def settle(lanes: Lanes, config: RunConfig) -> str | None:
    """Writes down what fits and what is fastest, unless that is known or nothing is left open.

    Returns:
        What was settled, in a sentence; None where nothing was.
    """
    facts = read_json(lanes.run.facts, {})
    if FACT in facts or not is_unsettled(config):
        return None
    (found,) = map_shards(_probe, [lanes.run], lanes, lambda _: None)
    for row in found["tried"]:
        logger.info("tried: %s", row)
    write_json(lanes.run.facts, facts | {FACT: found})
    return sentence(found)


def _probe(run: RunPaths, alive: Alive) -> dict[str, Any]:
    from fashion_sweep.training.probe import probe

    fetch_for_encoding(run)
    return probe(run, alive)
