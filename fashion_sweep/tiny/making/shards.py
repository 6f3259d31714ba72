"""Renders pictures in shards of a thousand: files that are each written once, by several processes."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

SHARD = 1000
Paint = Callable[[str, range], dict[str, Any]]
"""The type of what renders the pictures of a domain with these numbers, as arrays to be kept."""


def render(work: Path, shards: Mapping[str, int], paint: Paint, workers: int) -> None:
    """Writes the shards that are missing, of so many of each domain."""
    missing = [
        (domain, shard)
        for domain, count in shards.items()
        for shard in range(count)
        if not _path(work, domain, shard).exists()
    ]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in pool.map(partial(_render_one, work, paint), missing):
            print(f"rendered {name}", flush=True)


def load(work: Path, domain: str, shards: Iterable[int]) -> Iterator[dict[str, np.ndarray]]:
    """Loads the arrays of these shards, one after the other."""
    for shard in shards:
        with np.load(_path(work, domain, shard), allow_pickle=False) as arrays:
            yield dict(arrays)


def are_rendered(work: Path, shards: Mapping[str, int]) -> bool:
    return all(_path(work, domain, shard).exists() for domain, count in shards.items() for shard in range(count))


def _render_one(work: Path, paint: Paint, which: tuple[str, int]) -> str:
    domain, shard = which
    arrays = paint(domain, range(shard * SHARD, (shard + 1) * SHARD))
    path = _path(work, domain, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    np.savez(temporary, **arrays)
    temporary.rename(path)
    return path.stem


def _path(work: Path, domain: str, shard: int) -> Path:
    return work / "pictures" / f"{domain}-{shard:03d}.npz"
