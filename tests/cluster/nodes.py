"""A Ray cluster of several nodes on this machine, as a process of its own: a line on its input says which to
lose; another one comes for it."""

import os
import signal
import sys

import psutil
from ray.cluster_utils import Cluster

HEAD = {"num_cpus": 0, "dashboard_port": 0, "env_vars": {"RAY_worker_maximum_startup_concurrency": "4"}}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    nodes = {}
    for _ in range(int(sys.argv[1])):
        node = cluster.add_node(num_cpus=1)
        nodes[node.all_processes["raylet"][0].process.pid] = node
    print(cluster.address, flush=True)
    for line in sys.stdin:  # the id of a process: the node that runs it goes, as a machine goes, and another one comes
        (raylet,) = {process.pid for process in psutil.Process(int(line)).parents()} & nodes.keys()
        cluster.remove_node(nodes.pop(raylet), allow_graceful=False)
        print(f"lost {os.getpid()}", flush=True)
        cluster.add_node(num_cpus=1)
    cluster.shutdown()
