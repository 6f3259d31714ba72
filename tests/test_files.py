import pytest

from fashion_sweep.files import read_json, read_json_lines, replacing, write_json, write_json_lines


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
