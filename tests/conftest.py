"""Small data sets on disk and the embedded models, shared by the tests."""

import gc
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from threadpoolctl import threadpool_limits

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.data.sets import WORLD_SEED
from fashion_sweep.tiny.world import write_fashion as write_fashion_world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `-n`: a file's tests go together, for what they share; those that start Ray follow each other, from the
    beginning on, since they take longest."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(item.config.rootpath).as_posix()))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group").args != ("ray",))


def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: the garbage collector need not go through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Two processes whose threads wait for each other on two cores take a hundred times as long for small matrices."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def _ray_is_as_urgent():
    """Ray gives way to everything else, and so its tests would wait for the other half of the suite."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def _runs_of_wider_fixtures(tmp_path_factory):
    """What fixtures of a module leave behind does not lie in the checkout."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FASHION_SWEEP_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(autouse=True)
def runs_root(tmp_path, monkeypatch) -> Path:
    """Runs and the cache of a test lie in its own temporary folder."""
    root = tmp_path / "runs"
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(root))
    monkeypatch.delenv("FASHION_SWEEP_PRESET", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture(scope="session")
def put_world(tmp_path_factory) -> Callable[[Path, int], None]:
    """Puts so many pictures of the embedded world's catalogue into the cache of a runs folder: rendered once."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "worlds"

    def put(runs: Path, count: int) -> None:
        name = f"world-fashion-{count}-seed{WORLD_SEED}"
        write_fashion_world(shared / name, count, WORLD_SEED, workers=1)
        (runs / "cache").mkdir(parents=True, exist_ok=True)
        (runs / "cache" / name).symlink_to(shared / name)

    return put


@pytest.fixture(scope="session")
def config():
    return load_run_config("exp2", "tiny")


@pytest.fixture(scope="session")
def model(config):
    """The embedded SDXL with its refiner. Tests that change its weights load their own."""
    from fashion_sweep.models.sdxl.model import SDXLModel

    return SDXLModel.load(config.preset.model, "cpu", for_pictures=True)


def noise_image(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth enough for JPEG to keep, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def write_fashion(root: Path, sizes: Mapping[str, tuple[int, int]]) -> Path:
    """A DeepFashion-MultiModal folder with an image of (width, height) and a caption for each name."""
    (root / "images").mkdir(parents=True)
    for seed, (name, size) in enumerate(sizes.items()):
        noise_image(*size, seed).save(root / "images" / name)
    captions = {name: f"The shirt number {seed % 7} is of cotton." for seed, name in enumerate(sizes)}
    (root / "captions.json").write_text(json.dumps(captions))
    return root


def write_folder(root: Path, sizes: Mapping[str, tuple[int, int]]) -> Path:
    """The same with a caption file beside each image."""
    root.mkdir(parents=True)
    for seed, (name, size) in enumerate(sizes.items()):
        noise_image(*size, seed).save(root / name)
        (root / name).with_suffix(".txt").write_text(f"The shirt number {seed % 7} is of cotton.", encoding="utf-8")
    return root


@pytest.fixture
def fashion_root(tmp_path) -> Path:
    """180 portrait images: the least that FID with the tiny preset's 64 features takes, and a few more."""
    return write_fashion(tmp_path / "fashion", {f"MEN-{i:03d}.jpg": (60, 90) for i in range(180)})
