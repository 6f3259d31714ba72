from pathlib import Path

import numpy as np
import pytest
import sqlalchemy
from safetensors.numpy import load_file, save_file

from fashion_sweep.storage.files import (
    is_whole,
    read_json,
    read_json_lines,
    replacing,
    sqlite_address,
    sqlite_file,
    write_json,
    write_json_lines,
    write_tensors,
)


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "fact.json"
    write_json(path, {"n": 1})

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert read_json(path) == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "fact.json", {"fid": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_lines_survive_their_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_json_lines(path) == []
    write_json_lines(path, [{"step": 1}, {"step": 2}])
    assert read_json_lines(path) == [{"step": 1}, {"step": 2}]


def test_a_bit_flipped_anywhere_in_a_file_is_found(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"losses": np.arange(3.0), "b": np.ones(2, np.float32)}, {"micro_batch_size": "16"})
    good = path.read_bytes()
    assert is_whole(path)
    header = 8 + int.from_bytes(good[:8], "little")
    same = [byte for byte in range(8, header) if good[byte : byte + 1] == b" "]  # padding, which says nothing
    for byte in range(len(good)):
        for bit in range(8):
            flipped = bytearray(good)
            flipped[byte] ^= 1 << bit
            path.write_bytes(flipped)
            if byte not in same:
                assert not is_whole(path), (byte, bit, bytes(flipped[max(0, byte - 9) : byte + 9]))


def test_a_number_is_written_as_one_and_not_as_a_list_of_one(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"alpha": np.array(3.0, np.float32), "turned": np.arange(6.0).reshape(2, 3).T})
    assert load_file(path)["alpha"].shape == ()
    assert np.array_equal(load_file(path)["turned"], np.arange(6.0).reshape(2, 3).T)
    assert is_whole(path)


def test_a_file_without_checksum_is_none_of_ours(tmp_path):
    save_file({"a": np.ones(2)}, tmp_path / "a.safetensors")
    assert not is_whole(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "name", ["runs", "a?b", "?mode=memory", "a ?uri=true#b%41%3f", "é猫?", "file:?", "50%", "a&b;c@d:e"]
)
def test_the_file_of_a_database_comes_back_out_of_its_address(name, tmp_path):
    path = tmp_path / name / "a.db"
    path.parent.mkdir()
    assert sqlite_file(sqlite_address(path)) == path
    with sqlalchemy.create_engine(sqlite_address(path)).begin() as connection:
        connection.execute(sqlalchemy.text("create table a (b int)"))
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_an_address_of_no_file_has_none():
    assert sqlite_file("sqlite:///my%20runs.db?timeout=5") == Path("my runs.db")
    assert [sqlite_file(address) for address in ("sqlite://", "sqlite:///:memory:", "http://host/a.db")] == [None] * 3
