import errno
import fcntl
import os
import subprocess
import sys

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.data.listing import Problem, problems_csv
from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.run.claim import claimed, is_claimed, new_run
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.tracking.mirror import _alone

HOLD = """
import sys
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.run.claim import claimed, new_run
with claimed(new_run(load_run_config("exp2"), "mine"), load_run_config("exp2")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_in_use_is_refused_and_free_once_its_process_is_killed(config):
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=-1, stdout=-1) as holder:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunError, match="mine is in use by another process"),
            claimed(new_run(config, "mine"), config),
        ):
            pass
        holder.kill()
        holder.wait()
    with claimed(new_run(config, "mine"), config):
        pass


@pytest.mark.parametrize(
    "name", ["..", "a/b", "", "x" * 300, "é" * 51, "a b", "a\nb", "a\x1b[31m", "a\0b", "a\u202eb", "a'b", "a%2fb", "~"]
)
def test_a_name_that_is_no_folders_is_refused(config, name):
    with pytest.raises(RunError, match="becomes a folder"):
        new_run(config, name)


def test_what_is_there_and_is_no_run_is_left_alone(config, runs_root):
    (runs_root / "photos" / "images").mkdir(parents=True)
    (runs_root / "notes.txt").write_text("mine")
    for name in ("photos", "notes.txt"):
        with pytest.raises(RunError, match="is no run folder"), claimed(new_run(config, name), config):
            pass
    assert {path.name for path in runs_root.rglob("*")} == {"photos", "images", "notes.txt"}


def test_a_folder_of_another_configuration_is_refused(config):
    with claimed(new_run(config, "mine"), config):
        pass
    other = load_run_config("exp2", "tiny", ["training.steps=7"])
    with (
        pytest.raises(RunError, match=r"another configuration \(training.steps\)"),
        claimed(new_run(other, "mine"), other),
    ):
        pass


def test_a_file_system_without_locks_is_named_with_the_way_out(config, runs_root, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    said = r"mine/.lock: its file system has no locks \(No locks available\); .* with FASHION_SWEEP_RUNS$"
    with pytest.raises(RunError, match=said), claimed(new_run(config, "mine"), config):
        pass
    with pytest.raises(RunError, match=said):
        is_claimed(RunPaths(runs_root / "mine"))
    with (
        pytest.raises(RunError, match=r"mine/.mlflow.lock: its file system has no locks"),
        _alone(new_run(config, "mine")),
    ):
        pass


@pytest.mark.parametrize("name", ["../out", "a/b", "..", "", "-x"])
def test_a_run_cannot_be_named_outside_the_runs_folder(config, name):
    with pytest.raises(RunError, match="becomes a folder"):
        new_run(config, name)


def test_a_run_cannot_take_the_place_of_what_lies_beside_the_runs(config):
    with pytest.raises(RunError, match="lies beside the runs already"):
        new_run(config, "cache")


def test_left_out_files_are_listed_whatever_their_names():
    text = problems_csv({"fashion": (Problem('a,"b".jpg', "unreadable or truncated"),)})
    assert text == 'data_set,file,reason\nfashion,"a,""b"".jpg",unreadable or truncated\n'


def test_a_run_does_not_go_on_with_other_data_or_weights(tmp_path):
    from fashion_sweep.encodings.caches import Caches, read_caches, write_caches
    from fashion_sweep.encodings.sharded_cache import ShardedCache

    def caches(images: str, models=("a", "b", "c")) -> Caches:
        parts = {"images": ShardedCache(tmp_path / images, 5), "captions": ShardedCache(tmp_path / "captions", 3)}
        return Caches(parts, models, 4)

    run = RunPaths(tmp_path / "run")
    write_caches(run, caches("images-1"))
    write_caches(run, caches("images-1"))
    assert read_caches(run) == caches("images-1")
    for changed, name in [(caches("images-2"), "images"), (caches("images-1", ("a", "x", "c")), "models")]:
        with pytest.raises(RunError, match=rf"changed since this run began \({name}\)"):
            write_caches(run, changed)


def test_the_runs_folder_of_a_variable_may_lie_in_the_home_and_has_a_path_that_is_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FASHION_SWEEP_RUNS", "~/runs")
    assert runs_root() == tmp_path / "runs"
    monkeypatch.setenv("FASHION_SWEEP_RUNS", os.fsdecode(b"/tmp/\xe9"))
    with pytest.raises(ConfigError, match="has characters in its path that are none"):
        runs_root()
