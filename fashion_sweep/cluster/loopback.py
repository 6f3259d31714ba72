"""Keeps a Ray of one machine from being reached by any other: every server in it listens on 127.0.0.1.

Ray asks which address a node has, and binds its servers to loopback where the answer is loopback. By itself it
answers so on macOS and Windows alone.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray
from ray._private import ray_constants

HERE = "127.0.0.1"


def on_this_machine_only() -> bool:
    """Returns whether the Ray that this process belongs to can be reached from this machine only."""
    return bool(ray.util.get_node_ip_address() == HERE)


def address_of_its_own() -> dict[str, str]:
    """Returns the environment variables of a Ray on this machine only.

    Its address is chosen before it starts, so that its processes inherit it. Left to find it, they ask which Ray runs
    on this machine; beside a second one they get no answer, and the resources of every trial that is stopped are lost.
    """
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port = probe.getsockname()[1]
    interface = _interface()
    return {
        "RAY_GCS_SERVER_PORT": str(port),
        "RAY_ADDRESS": f"{HERE}:{port}",
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "GLOO_SOCKET_IFNAME": interface,
        "NCCL_SOCKET_IFNAME": interface,
    }


def private_token() -> None:
    """Makes Ray's password file private; makes one if there is none, for Ray's would be readable for all."""
    path = Path.home() / ".ray" / "auth_token"
    with suppress(OSError):  # another's to read, or nothing can be written here: Ray says so, if it needs it
        if path.exists():
            path.chmod(0o600)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))


@contextmanager
def no_cluster() -> Iterator[None]:
    """Disables Ray's clusters in this process too, where Ray has read its environment long ago."""
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _interface() -> str:
    """Returns the name of the loopback interface, `lo` unless this system calls it otherwise."""
    addresses = psutil.net_if_addrs().items()
    return next((name for name, assigned in addresses if any(one.address == HERE for one in assigned)), "lo")
