"""cluster.yaml and its variants: accepted by Ray, alike but for what must differ, as safe and complete as they say."""

import os
import shlex
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
AWS = "cluster.yaml"
VARIANTS = ("clusters/gcp.yaml", "clusters/on-premises.yaml")
ALL = (AWS, *VARIANTS)
AUTOSCALED = (AWS, "clusters/gcp.yaml")
MAY_DIFFER = {
    "clusters/gcp.yaml": {"provider", "node_config", "resources", "runs", "packages"},
    "clusters/on-premises.yaml": {
        *("provider", "auth", "runs", "packages", "autoscaler"),
        *(
            "available_node_types",
            "head_node_type",
            "max_workers",
            "idle_timeout_minutes",
        ),  # machines do not come and go
    },
}
GUARD = "case $- in *i*) ;; *) return;; esac\n"
"""With which Ubuntu's ~/.bashrc begins."""


def read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return config


def complete(name: str) -> dict[str, Any]:
    """As Ray works with it, its own defaults filled in."""
    from ray.autoscaler._private.util import prepare_config

    config: dict[str, Any] = prepare_config(read(name))
    return config


def commands(config: dict[str, Any]) -> list[str]:
    return [command for key, value in config.items() if key.endswith("_commands") for command in value]


def installs(config: dict[str, Any]) -> list[list[str]]:
    return [shlex.split(command)[2:] for command in commands(config) if "/pip install" in command]


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """Every leaf under its dotted key. The URL of the runs and packages besides our own have keys of their own."""
    if isinstance(value, dict):
        return {dotted: leaf for name, part in value.items() for dotted, leaf in flat(part, f"{key}.{name}").items()}
    if isinstance(value, list):
        return {dotted: leaf for i, part in enumerate(value) for dotted, leaf in flat(part, f"{key}.{i}").items()}
    if isinstance(value, str) and "FASHION_SWEEP_RUNS=" in value:
        before, _, after = value.partition("FASHION_SWEEP_RUNS=")
        runs, _, after = after.partition("\n")
        return {key: before + after, f"{key}.runs": runs}
    if isinstance(value, str) and value.startswith("export RAY_enable_autoscaler_v2="):
        autoscaler, _, after = value.partition("; ")
        return {key: after, f"{key}.autoscaler": autoscaler}
    if isinstance(value, str) and "/pip install" in value:
        words = value.split()
        ours = [word for word in words if not word.isidentifier() and "-api-" not in word]
        return {key: ours, f"{key}.packages": [word for word in words if word not in ours]}
    return {key: value}


@pytest.mark.parametrize("name", ALL)
def test_ray_accepts_it(name: str) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(complete(name))


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_differ_only_where_they_must(name: str) -> None:
    ours, theirs = flat(read(AWS)), flat(read(name))
    differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert {key for key in differing if not set(key.split(".")) & MAY_DIFFER[name]} == set()
    assert {allowed for allowed in MAY_DIFFER[name] if not any(allowed in key.split(".") for key in differing)} == set()


@pytest.mark.parametrize("name", ALL)
def test_every_node_installs_the_ray_of_this_package_by_its_full_version(name: str) -> None:
    (asked,) = [r for r in map(Requirement, metadata.requires("fashion-sweep") or ()) if r.name == "ray"]
    head, worker = installs(read(name))
    for words in (head, worker):
        (ray,) = [Requirement(word) for word in words if word.startswith("ray[")]
        (version,) = ray.specifier
        assert version.operator == "=="
        assert version.version in asked.specifier
        assert ray.extras == asked.extras
        assert "~/fashion_sweep" in words
    assert set(worker) - set(head) == {"-c", "~/versions.txt"}  # what the head froze
    assert read(name)["cluster_synced_files"] == ["~/versions.txt"]


@pytest.mark.parametrize("name", ALL)
def test_nothing_listens_publicly(name: str) -> None:
    config = complete(name)
    said = "\n".join(commands(config))
    assert "0.0.0.0" not in said
    (head,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in head
    assert "--host 127.0.0.1" in (ROOT / "clusters/mlflow_server.sh").read_text()
    assert "security_group" not in config["provider"]  # Ray's own lets in ssh, and the cluster's nodes to each other
    assert "~/.ray/auth_token" in config["file_mounts"]


@pytest.mark.parametrize("name", AUTOSCALED)
def test_gpu_nodes_come_with_demand_spot_first_and_go_when_idle(name: str) -> None:
    config = complete(name)
    types = config["available_node_types"]
    assert config["idle_timeout_minutes"] <= 10
    assert {types[name]["min_workers"] for name in types} == {0}
    assert types["gpu_spot"]["priority"] > types["gpu_on_demand"]["priority"]
    spot, on_demand = (types[name]["node_config"] for name in ("gpu_spot", "gpu_on_demand"))
    assert {key for key in spot if spot[key] != on_demand.get(key)} < {"InstanceMarketOptions", "scheduling"}
    assert on_demand.keys() <= spot.keys()


@pytest.mark.parametrize("name", AUTOSCALED)
def test_ray_asks_for_spot_first_and_for_on_demand_beyond_its_limit_or_in_its_place(name: str) -> None:
    """One worker of a trial a GPU, four to a node."""
    assert launched(name, workers=9) == {"gpu_spot": 3}
    assert launched(name, workers=32) == {"gpu_spot": 6, "gpu_on_demand": 2}
    assert launched(name, workers=9, spot_at_most=0) == {"gpu_on_demand": 3}


def launched(name: str, workers: int, spot_at_most: int | None = None) -> dict[str, int]:
    """Nodes of each type that Ray's autoscaler would start for so many waiting workers."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    config = read(name)
    types = config["available_node_types"]
    for node in ("gpu_spot", "gpu_on_demand"):
        types[node]["resources"] = {"CPU": 48, "GPU": 4}  # on AWS, as `ray up` finds out
    if spot_at_most is not None:
        types["gpu_spot"]["max_workers"] = spot_at_most
    scaling = AutoscalingConfig(config, skip_content_hash=True)
    demand = [ResourceRequestUtil.make({"CPU": 6, "GPU": 1})] * workers
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=scaling.get_node_type_configs(),
        max_num_nodes=scaling.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count(demand),
    )
    reply = ResourceDemandScheduler(None).schedule(request)
    return {launch.instance_type: launch.count for launch in reply.to_launch}


def test_no_node_gets_rays_default_image() -> None:
    assert all(node["node_config"]["ImageId"] for node in read(AWS)["available_node_types"].values())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a new machine, where `ray` and `mlflow` only write down the environment that they are started with."""
    (tmp_path / ".bashrc").write_text(GUARD)
    (tmp_path / ".profile").write_text('. "$HOME/.bashrc"\n')
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    for program in ("ray", "sh"):
        (programs / program).write_text(f"#!/bin/bash\nenv > $HOME/{program}-${{1##*/}}.env\n")
        (programs / program).chmod(0o755)
    return tmp_path


def shell(home: Path, *arguments: str, **environment: str) -> str:
    variables = {"HOME": str(home), "PATH": os.defpath, "TERM": "dumb"} | environment
    return subprocess.run(["bash", *arguments], env=variables, capture_output=True, text=True, check=True).stdout


def through_ray(home: Path, command: str) -> str:
    """As Ray's launcher has a node run a command: `ray up`, and `ray exec` and `ray attach` alike."""
    from ray.autoscaler._private.command_runner import _with_interactive

    *options, quoted = _with_interactive(command)
    return shell(home, *options[1:], *shlex.split(quoted))


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("name", ALL)
def test_whatever_way_a_command_comes_to_the_head_it_has_preset_runs_and_token(
    name: str, home: Path, again: bool
) -> None:
    config = complete(name)
    written = [*config["setup_commands"], *config["head_setup_commands"]]
    written = [command for command in written if "venv/bin/pi" not in command]
    for command in [*written * (1 + again), *config["head_start_ray_commands"]]:
        through_ray(home, command)
    ask = 'printf "%s\\n" $FASHION_SWEEP_PRESET $RAY_AUTH_MODE $RAY_ADDRESS $MLFLOW_TRACKING_URI $FASHION_SWEEP_RUNS'
    expected = ["sdxl", "token", "auto", "http://127.0.0.1:5000", flat(config)[".setup_commands.0.runs"]]
    assert through_ray(home, ask).split() == expected
    assert shell(home, "-c", ask, SSH_CLIENT="10.0.0.1 1 22").split() == expected  # `ssh HEAD COMMAND`
    assert shell(home, "--login", "-c", ask).split() == expected
    started = (home / "ray-start.env").read_text().splitlines()  # which jobs inherit
    assert {"FASHION_SWEEP_PRESET=sdxl", "RAY_AUTH_MODE=token"} <= set(started)
    assert (home / ".bashrc").read_text().count("fashion_sweep") == 1


def test_a_worker_knows_preset_runs_and_token_and_leaves_the_address_to_ray(home: Path) -> None:
    config = complete(AWS)
    for command in [*config["setup_commands"][:2], *config["worker_start_ray_commands"]]:
        through_ray(home, command)
    started = (home / "ray-start.env").read_text()
    assert "FASHION_SWEEP_PRESET=sdxl\n" in started
    assert "RAY_AUTH_MODE=token\n" in started
    assert "RAY_ADDRESS" not in started
