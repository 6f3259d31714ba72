"""Compares what a trial needs with what the cluster has, or would have once its autoscaler has started all it may."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import PlacementGroupID
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.util.placement_group import PlacementGroup, remove_placement_group

from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import ConfigError

NOBODY = b"\xff"
"""Each byte of the identity of an actor that there is none of."""
LAUNCHED_FROM = "~/ray_bootstrap_config.yaml"
"""Where `ray up` leaves the cluster's configuration on the head node."""


def ray_address() -> str:
    """Returns `$RAY_ADDRESS`, or `local` (this machine) where it is empty or not set."""
    return os.environ.get("RAY_ADDRESS") or "local"


def worker_resources(resources: Resources) -> dict[str, float]:
    """Returns the resources of one worker, in Ray's spelling."""
    gpus = {"GPU": float(resources.gpus_per_worker)} if resources.gpus_per_worker else {}
    return {"CPU": float(resources.cpus_per_worker)} | gpus


def thread_counts(resources: Resources) -> dict[str, str]:
    """Returns the environment variables that keep a worker from using more threads than CPUs."""
    threads = str(resources.cpus_per_worker)
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}


def workers_that_fit(resources: Resources) -> int:
    """Returns how many workers the cluster has room for, with all nodes that it may have."""
    return max(sum(_workers_on(node, resources) for node in nodes) for nodes in (_nodes_now(), _nodes_at_most()))


def give_back_left_behind() -> None:
    """Removes the placement groups that actors of this session have made and not removed before they died.

    Ray would keep their place in the cluster, or their wish for one, as long as the session lasts.
    """
    session = ray.get_runtime_context().get_job_id()
    groups = ray._private.state.state._connect_and_get_accessor().get_placement_group_table()
    for group in map(PlacementGroupTableData.FromString, groups):
        is_ours = group.creator_job_id.hex() == session and group.creator_actor_id.strip(NOBODY)
        if is_ours and group.creator_actor_dead and group.state != PlacementGroupTableData.REMOVED:
            remove_placement_group(PlacementGroup(PlacementGroupID(group.placement_group_id)))


def trials_that_fit(resources: Resources) -> int:
    """Returns how many trials the cluster can train side by side."""
    return workers_that_fit(resources) // resources.workers_per_trial


def check_that_a_trial_fits(resources: Resources) -> None:
    """Checks that the cluster has room for one trial; raises ConfigError where Ray would wait for ever."""
    if trials_that_fit(resources):
        return
    workers, need, nodes = resources.workers_per_trial, worker_resources(resources), _nodes_at_most() or _nodes_now()
    wanted = " and ".join(f"{amount:g} {name}" for name, amount in need.items())
    offered = ", ".join(f"{sum(node.get(name, 0) for node in nodes):g} {name}" for name in need)
    raise ConfigError(
        f"resources: a trial needs {workers} worker{'s' * (workers > 1)} with {wanted} each, the cluster has {offered} "
        f"on {len(nodes)} node{'s' * (len(nodes) > 1)}; lower resources.workers_per_trial, "
        "resources.cpus_per_worker or resources.gpus_per_worker"
    )


def largest_nodes(config: Mapping[str, Any]) -> list[dict[str, float]]:
    """Returns the resources of all nodes that a launcher's `config` allows (`max_workers` does not count the head)."""
    head = config["head_node_type"]
    types = config["available_node_types"]
    workers = [node.get("resources", {}) for node in types.values() for _ in range(node.get("max_workers", 0))]
    workers.sort(key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), reverse=True)
    return [types[head].get("resources", {})] + workers[: config.get("max_workers", len(workers))]


def _nodes_now() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _nodes_at_most() -> list[dict[str, float]]:
    path = Path(os.path.expanduser(LAUNCHED_FROM))
    if ray_address() == "local" or not path.exists():
        return []
    return largest_nodes(yaml.safe_load(path.read_text(encoding="utf-8")))


def _workers_on(node: Mapping[str, float], resources: Resources) -> int:
    return int(min(node.get(name, 0) // amount for name, amount in worker_resources(resources).items()))
