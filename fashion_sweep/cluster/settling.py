"""Has a lane settle what a run's configuration leaves open, once for all its trials."""

import logging
from typing import Any

from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.shards import map_shards
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.status import Alive
from fashion_sweep.storage.files import read_json, write_json
from fashion_sweep.training.settled import FACT, is_unsettled

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


def sentence(found: dict[str, Any]) -> str:
    """Returns what a probe has settled, as a user reads it."""
    on = [name.replace("_", " ") for name in ("gradient_checkpointing", "channels_last", "compile") if found[name]]
    at_once = f"{found['micro_batch_size']} samples at once" if found["micro_batch_size"] else "all samples at once"
    return ", ".join([f"settled by a probe of this hardware: {at_once}", f"attention {found['attention']}", *on])


def _probe(run: RunPaths, alive: Alive) -> dict[str, Any]:
    from fashion_sweep.training.probe import probe

    return probe(run, alive)
