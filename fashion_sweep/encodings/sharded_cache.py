"""The cache of encodings: a folder of safetensors shards, named by the content it was made from, shared by all runs.

A shard holds `SHARD_SIZE` rows of one or more tensors, and their checksum, which is compared when a process first
reads one of the rows. It is written whole and renamed; what is missing, torn or of another number of rows is made again
by the next run, and so is what was found damaged in reading, for that is removed. Rows are read by memory mapping.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fashion_sweep.errors import DataError
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import CHECKSUM, checksum, write_tensors

SHARD_SIZE = 128


def content_key(parts: Mapping[str, Any]) -> str:
    """Returns sixteen hex digits that change when anything in `parts` does."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class ShardedCache:
    """A cache of `rows` rows in the folder `root`, in shards of `SHARD_SIZE`."""

    root: Path
    rows: int
    _open: dict[int, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shards(self) -> list[range]:
        """The rows of each shard."""
        return [range(start, min(start + SHARD_SIZE, self.rows)) for start in range(0, self.rows, SHARD_SIZE)]

    def path(self, shard: int) -> Path:
        return self.root / f"{shard:05d}.safetensors"

    def missing(self) -> list[int]:
        """Returns the shards that are missing or unsound."""
        if remote.current():  # there, a file is whole or not at all
            stored = remote.names(self.root)
            return [shard for shard in range(len(self.shards)) if self.path(shard).name not in stored]
        return [shard for shard in range(len(self.shards)) if not self._is_sound(shard)]

    def write(self, shard: int, tensors: Mapping[str, Tensor]) -> None:
        assert all(len(tensor) == len(self.shards[shard]) for tensor in tensors.values())
        write_tensors(self.path(shard), {name: tensor.cpu().numpy() for name, tensor in tensors.items()})

    def row(self, name: str, index: int) -> Tensor:
        """Returns row `index` of tensor `name`."""
        shard, offset = divmod(index, SHARD_SIZE)
        return self._opened(shard).get_slice(name)[offset]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the cache's tensors."""
        return tuple(self._opened(0).keys())

    def _opened(self, shard: int) -> Any:
        if shard not in self._open:
            self._open[shard] = self._checked(shard)
        return self._open[shard]

    def all(self, name: str) -> Tensor:
        """Returns all rows of tensor `name`, in memory."""
        return torch.cat([self._checked(shard).get_tensor(name) for shard in range(len(self.shards))])

    def _is_sound(self, shard: int) -> bool:
        try:
            self._map(shard)
        except DataError:
            return False
        return True

    def _checked(self, shard: int) -> Any:
        """Maps a shard and compares its checksum.

        Raises:
            DataError: as `_map`, or its content is not what was written; it is removed then.
        """
        file = self._map(shard)
        tensors = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
        if checksum(tensors, file.metadata()) != file.metadata()[CHECKSUM]:
            remote.remove(self.path(shard))
            raise self._damaged(shard, "its content is not what was written")
        return file

    def _map(self, shard: int) -> Any:
        """Maps a shard into memory.

        Raises:
            DataError: it is missing, torn, without checksum, or has another number of rows.
        """
        try:
            file = safe_open(self.path(shard), "pt")
        except FileNotFoundError as error:  # the copy's; what is in object storage may be sound
            raise DataError(f"{self.path(shard)}: cache shard is missing; run again to have it made again") from error
        except SafetensorError as error:
            raise self._damaged(shard, error) from error
        rows = {file.get_slice(name).get_shape()[0] for name in file.keys()}  # noqa: SIM118
        if rows != {len(self.shards[shard])}:
            raise self._damaged(shard, f"{rows} rows instead of {len(self.shards[shard])}")
        if CHECKSUM not in (file.metadata() or {}):
            raise self._damaged(shard, "it has no checksum")
        return file

    def _damaged(self, shard: int, why: object) -> DataError:
        if remote.current():
            remote.remove(self.path(shard))  # a listing, by which the next run goes, does not show what is damaged
        return DataError(f"{self.path(shard)}: cache shard cannot be read ({why}); run again to have it made again")
