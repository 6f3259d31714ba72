"""The benchmarks run, at a size that says nothing."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.metric import RealImages

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
    assert 0 < abs(scores["clip_score"]) < 100  # noise after one step may point away from its captions


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


def test_stated_errors_are_held_against_repetition(benchmark):
    module = benchmark("errors")
    ratios, covered, (computed, less_bias, shown) = module.repeated(module.Case(256, 8), repetitions=30)
    assert all(0.5 < ratio < 2 for ratio in ratios)
    assert min(covered) > 0.7
    assert computed > less_bias > 1
    assert shown == pytest.approx(1.5, abs=0.2)


def test_a_race_whose_truth_is_known_is_run_by_three_rules(benchmark):
    module = benchmark("race_errors")
    found = module.simulated(module.Case("far apart", [9.0, 0.0], [9.0, 0.0]), repetitions=3)
    assert list(found) == ["race", "all at once", "in sequence"]
    wrong, chose, right, decided, images = found["race"]
    assert (wrong, chose, right, decided) == (0, 1, 1, 1)
    assert images == module.LOOKS[0] / module.LOOKS[-1]
    assert found["all at once"][-1] == 1


def test_a_replay_takes_the_images_of_a_run_in_another_order(benchmark):
    module, rng = benchmark("replay_race"), np.random.default_rng(0)
    config = load_run_config("exp2", "tiny", ["sweep.judge={fashion: [clip_score]}", "evaluation.samples=512"])
    shared, captions = rng.standard_normal(512), np.array([f"A shirt, {i % 300}." for i in range(512)], dtype=object)
    kept = {f"rank {k}": [{"clip_scores": 70 + 9 * k + shared + rng.standard_normal(512)}] for k in range(2)}
    sample = module.Sample(config, "fashion", kept, {"rank 0": 1, "rank 1": 2}, captions, RealImages({}, {}))
    order = module.shuffled(sample, rng)
    assert sorted(order) == list(range(512))
    assert len(set(captions[order[:300]])) == 300  # each caption once before any comes again
    found = module.replayed(sample, module.rules_of(config, "fashion"), replays=4)
    assert (found["decided"], found["same"], found["wrong"]) == (1, 1, 0)
    assert found["share"] == 0.5
    assert found["choices"] == {"rank 1": 4}


def test_what_plan_counts_is_counted_again_in_files(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["recount.py", "exp8", "--preset", "tiny"])
    benchmark("recount").main()
    told = capsys.readouterr().out
    assert "35,648" in told
    assert told.endswith("all counts agree\n")
