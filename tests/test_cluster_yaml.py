from pathlib import Path

import yaml

CLUSTER = Path(__file__).parent.parent / "cluster.yaml"


def test_ray_accepts_the_cluster_and_it_keeps_to_itself():
    from ray.autoscaler._private.util import prepare_config, validate_config

    text = CLUSTER.read_text(encoding="utf-8")
    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert "0.0.0.0" not in " ".join(starts)
    assert all("RAY_AUTH_MODE=token" in command for command in starts if "ray start" in command)
    assert "ray[default,train,tune]==" in " ".join(config["setup_commands"])
