"""The benchmarks run, at a size that says nothing."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_the_benchmark_of_a_gpu_runs_on_a_cpu_too(benchmark, tmp_path, monkeypatch, capsys):
    rows = tmp_path / "rows.json"
    small = ["--preset=tiny", "--device=cpu", "--micro-batches", "1", "2", "--batches", "2", "--denoising-steps=2"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *small, "--json", str(rows)])
    benchmark("gpu").main()
    measured = json.loads(rows.read_text())["rows"]
    assert {row["what"] for row in measured} == {
        "training step",
        "picture",
        "autoencoder, encoding",
        "extractors and scores",
    }
    assert all(row["seconds"] > 0 for row in measured)
    assert "2 samples at once, checkpointing, sdpa" in [row["how"] for row in measured]
    assert "s a sample" in capsys.readouterr().out


def test_the_loop_of_usual_scripts_trains_draws_and_scores(benchmark, tmp_path):
    peer_loop = benchmark("peer_loop")
    photos, adapter = tmp_path / "train", tmp_path / "rank-1"
    adapter.mkdir()
    photos.mkdir()
    lines, captions = ["file_name,text"], [f"A shirt, number {number}." for number in range(4)]
    for number, caption in enumerate(captions):
        Image.effect_noise((60, 90), 40 + number).convert("RGB").save(photos / f"{number}.jpg")
        lines.append(f'{number}.jpg,"{caption}"')
    (photos / "metadata.csv").write_text("\n".join(lines))
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    peer_loop.train(adapter, rank=1, steps=1)
    peer_loop.draw(adapter, images=4)
    peer_loop.score(adapter, images=4)
    scores = json.loads((adapter / "scores.json").read_text())
    assert scores["fid"] > 0
    assert 0 < scores["clip_score"] < 100


@pytest.mark.parametrize("what", ["step", "first", "second"])
def test_passes_of_the_bare_unet_are_counted_by_the_second(benchmark, what):
    assert benchmark("floor").measure(what, threads=1, seconds=0.01) > 0


def test_cpu_time_goes_to_whom_a_command_line_names(benchmark):
    kinds = benchmark("platform_cost").kind_of
    assert kinds("ray::RayTrainWorker.execute") == "trials' workers"
    assert kinds("ray::ResourceTrainable.train") == "Tune's trials"
    assert kinds("python -m fashion_sweep run exp2") == "driver"
    agents = "--dashboard_agent_command=python dashboard/agent.py --runtime_env_agent_command=python main.py"
    assert kinds(f"site-packages/ray/core/src/ray/raylet/raylet --raylet_socket_name=s {agents}") == "raylet and GCS"
    assert kinds("ray::DashboardAgent") == "dashboard"
