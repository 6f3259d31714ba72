"""A run that waits for its Ctrl-C; started as a process of its own by `test_session.py`."""

import sys
from pathlib import Path

from cluster_jobs import wait_for_ever, wait_in_a_shard

from fashion_sweep.cluster.lanes import lanes
from fashion_sweep.cluster.session import ray_session
from fashion_sweep.cluster.shards import map_shards
from fashion_sweep.cluster.tune import run_trials
from fashion_sweep.config.preset import Resources
from fashion_sweep.run.paths import RunPaths

if __name__ == "__main__":
    run, resources = RunPaths(Path(sys.argv[1])), Resources()
    try:
        with ray_session(run, resources), lanes(run, resources) as kept:
            if sys.argv[2] == "shards":
                map_shards(wait_in_a_shard, [run.root] * 5, kept, lambda _: None)
            run_trials(kept, ["waits"], wait_for_ever)
    except KeyboardInterrupt:
        print("interrupted")
