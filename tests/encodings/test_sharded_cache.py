from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fashion_sweep.encodings.sharded_cache import SHARD_SIZE, ShardedCache, content_key
from fashion_sweep.errors import DataError


def test_rows_are_found_across_shards(tmp_path):
    rows = torch.arange(SHARD_SIZE + 10).float()[:, None].repeat(1, 3)
    cache = ShardedCache(tmp_path, len(rows))
    assert cache.missing() == [0, 1]
    for shard, span in enumerate(cache.shards):
        cache.write(shard, {"x": rows[span.start : span.stop]})
    assert cache.missing() == []
    assert torch.equal(cache.row("x", SHARD_SIZE + 4), rows[SHARD_SIZE + 4])
    assert torch.equal(cache.all("x"), rows)


def test_a_torn_shard_is_an_error_that_names_it(tmp_path):
    cache = ShardedCache(tmp_path, 2)
    cache.write(0, {"x": torch.zeros(2, 3)})
    cache.path(0).write_bytes(cache.path(0).read_bytes()[:-8])
    with pytest.raises(DataError, match=r"00000.safetensors: cache shard cannot be read"):
        cache.row("x", 0)


def tear(path):
    path.write_bytes(path.read_bytes()[:-8])


def strip(path):
    save_file({"x": torch.zeros(SHARD_SIZE, 3)}, path)


def shorten(path):
    save_file({"x": torch.zeros(SHARD_SIZE - 1, 3)}, path)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [tear, shorten, strip, empty, Path.unlink])
def test_a_shard_that_is_not_as_it_should_be_is_made_again(tmp_path, damage):
    cache = ShardedCache(tmp_path, 2 * SHARD_SIZE)
    for shard in range(2):
        cache.write(shard, {"x": torch.full((SHARD_SIZE, 3), float(shard))})
    damage(cache.path(1))
    assert cache.missing() == [1]
    with pytest.raises(DataError, match="run again to have it made again"):
        cache.all("x")
    cache.write(1, {"x": torch.ones(SHARD_SIZE, 3)})
    assert cache.missing() == []


def test_a_shard_whose_content_was_damaged_is_found_out_in_reading_and_made_again(tmp_path):
    written = ShardedCache(tmp_path, 4)
    written.write(0, {"x": torch.ones(4, 300), "y": torch.zeros(4)})
    damaged = bytearray(written.path(0).read_bytes())
    damaged[-200:-100] = bytes(100)
    written.path(0).write_bytes(damaged)
    for read in (lambda cache: cache.row("x", 0), lambda cache: cache.all("y")):
        written.path(0).write_bytes(damaged)
        with pytest.raises(DataError, match=r"its content is not what was written.*run again to have it made again"):
            read(ShardedCache(tmp_path, 4))
        assert written.missing() == [0]


def test_the_key_changes_with_any_part():
    parts = {"base": "abc", "seed": 0, "size": [1, 2]}
    assert content_key(parts) == content_key(dict(reversed(parts.items())))
    assert len({content_key(parts | change) for change in [{}, {"seed": 1}, {"size": [2, 1]}, {"base": "abd"}]}) == 4
