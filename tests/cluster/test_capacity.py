from fashion_sweep.cluster.capacity import largest_nodes


def test_nodes_that_an_autoscaler_may_still_start_count() -> None:
    types = {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "small": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 3},
        "large": {"resources": {"CPU": 64, "GPU": 8}, "max_workers": 2},
    }
    nodes = largest_nodes({"head_node_type": "head", "available_node_types": types, "max_workers": 3})
    assert [node.get("GPU", 0) for node in nodes] == [0, 8, 8, 1]
