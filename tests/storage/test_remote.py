"""A runs folder behind a URL, here `file://`, as two nodes see it that share nothing else."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file

from fashion_sweep.cli.options import existing_run
from fashion_sweep.data.catalogue import Catalogue, Record, read_catalogue, write_catalogue
from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.errors import ConfigError, DataError, RunError
from fashion_sweep.handover.adapters import find_adapter
from fashion_sweep.run.claim import claimed, new_run
from fashion_sweep.run.paths import RunPaths, cache_root, runs_root
from fashion_sweep.run.stage_inputs import fetch_caches, fetch_for_encoding
from fashion_sweep.storage import bucket, lease, remote
from fashion_sweep.storage.files import replacing, write_json, write_text
from fashion_sweep.storage.sync import appended, in_step


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The folder behind the URL."""
    monkeypatch.setenv("FASHION_SWEEP_RUNS", f"file://{tmp_path}/bucket/runs")
    monkeypatch.setenv("FASHION_SWEEP_SCRATCH", str(tmp_path / "a"))
    monkeypatch.setattr(bucket, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    remote.current().bucket.check()
    return tmp_path / "bucket" / "runs"


@pytest.fixture
def on(tmp_path, monkeypatch):
    @contextmanager
    def on(node):
        with monkeypatch.context() as environment:
            environment.setenv("FASHION_SWEEP_SCRATCH", str(tmp_path / node))
            yield runs_root()

    return on


def test_what_is_written_is_behind_the_url_and_reaches_another_node_when_it_fetches(there, on):
    with on("a") as root:
        write_text(root / "run" / "config.yaml", "one")
    assert (there / "run" / "config.yaml").read_text() == "one"
    with on("b") as root:
        assert not (root / "run").exists()
        remote.fetch(root / "run")
        assert (root / "run" / "config.yaml").read_text() == "one"
        write_text(root / "run" / "config.yaml", "two")
    with on("a") as root:
        remote.fetch(root / "run")
        assert (root / "run" / "config.yaml").read_text() == "two"


def test_what_was_removed_is_removed_on_other_nodes(there, on):
    with on("a") as root:
        write_text(root / "run" / "source.json", "{}")
        write_text(root / "run" / "other.json", "{}")
    with on("b") as root:
        remote.fetch(root / "run")
        remote.remove(root / "run" / "source.json")
    assert not (there / "run" / "source.json").exists()
    with on("a") as root:
        remote.fetch(root / "run")
        assert [path.name for path in (root / "run").iterdir()] == ["other.json"]


def test_a_bucket_that_was_emptied_does_not_empty_the_copy(there, on):
    write_text(runs_root() / "run" / "config.yaml", "one")
    shutil.rmtree(there)
    with pytest.raises(RunError, match="is not there any more"):
        remote.fetch(runs_root() / "run")
    assert (runs_root() / "run" / "config.yaml").read_text() == "one"


def test_what_could_not_be_put_is_put_later_unless_another_node_was_first(there, on, monkeypatch):
    monkeypatch.setattr(bucket, "PATIENCE_S", 0.05)
    with on("a") as root:
        write_text(root / "run" / "metrics.jsonl", "old")
        write_text(root / "run" / "status.json", "old")
        with monkeypatch.context() as broken:
            broken.setattr(bucket, "_write_locally", _fails)
            for name in ("metrics.jsonl", "status.json"):
                with pytest.raises(RunError, match=r"bucket/runs/run/.*: ConnectionError: no route"):
                    write_text(root / "run" / name, "newer")
    with on("b") as root:
        remote.fetch(root / "run")
        write_text(root / "run" / "status.json", "newest")
    with on("a") as root:
        remote.fetch(root / "run")  # looks on only
        assert (root / "run" / "metrics.jsonl").read_text() == "newer"
        assert (there / "run" / "metrics.jsonl").read_text() == "old"
        remote.fetch(root / "run", send=True)
    assert (there / "run" / "metrics.jsonl").read_text() == "newer"
    assert (there / "run" / "status.json").read_text() == (root / "run" / "status.json").read_text() == "newest"


def _fails(*_, **__):
    raise ConnectionError("no route")


def test_a_storage_that_fails_for_a_moment_is_asked_again(there, on, monkeypatch):
    write, answers = bucket._write_locally, [_fails, _fails]
    monkeypatch.setattr(bucket, "_write_locally", lambda *given: (answers.pop() if answers else write)(*given))
    with on("a") as root:
        write_text(root / "run" / "config.yaml", "one")
    assert (there / "run" / "config.yaml").read_text() == "one"


def test_a_fetch_leaves_what_only_workers_need(there, on):
    with on("a") as root:
        trial = RunPaths(root / "run").trial("unet-r1")
        for path in (
            trial.status,
            trial.checkpoints / "00000006.safetensors",
            trial.judged("fashion") / "000000.safetensors",
        ):
            write_text(path, "{}")
    with on("b") as root:
        remote.fetch(root / "run", remote.FOR_TRAINING)
        assert [path.name for path in (root / "run").rglob("*") if path.is_file()] == ["status.json"]
        remote.fetch(RunPaths(root / "run").trial("unet-r1").root)
        assert RunPaths(root / "run").trial("unet-r1").checkpoints.is_dir()


def test_a_fetch_brings_a_result_only_with_all_that_it_rests_on(there, on, monkeypatch):
    with on("a") as root:
        trial = RunPaths(root / "run").trial("unet-r1")
        write_text(trial.status, "{}")
    versions = bucket.Bucket.versions

    def cut_in(self, folder):
        listed = versions(self, folder)
        if not trial.result.exists():  # between two pages of one listing, a trial ends
            with on("a"):
                write_text(trial.adapter, "weights")
                write_json(trial.result, {})
            listed |= {name: version for name, version in versions(self, folder).items() if "result" in name}
        return listed

    monkeypatch.setattr(bucket.Bucket, "versions", cut_in)
    with on("b") as root:
        remote.fetch(root / "run")
        there = RunPaths(root / "run").trial("unet-r1")
        assert (there.result.is_file(), there.adapter.is_file()) == (True, True)


def test_a_log_that_grows_is_put_and_the_same_on_other_nodes(there, on, monkeypatch):
    monkeypatch.setattr("fashion_sweep.storage.sync.PUT_EVERY_S", 0.02)
    log = runs_root() / "run" / "log.txt"
    log.parent.mkdir(parents=True)
    with appended(log), log.open("a") as file:
        print("first", file=file, flush=True)
        _wait_for(lambda: (there / "run" / "log.txt").exists())
        remote.fetch(log.parent)  # must not take the file from under the one who writes
        print("second", file=file, flush=True)
    assert (there / "run" / "log.txt").read_text() == log.read_text() == "first\nsecond\n"


def test_a_run_is_in_step_with_its_workers(there, on, monkeypatch):
    monkeypatch.setattr("fashion_sweep.storage.sync.FETCH_EVERY_S", 0.02)
    with on("b") as root:
        worker = RunPaths(root / "run").trial("unet-r1")
    run = RunPaths(runs_root() / "run")
    with in_step(run.root, run.log):
        with on("b"):  # what it writes lies there, whichever node this process is said to be
            (there / "run" / "trials" / "unet-r1").mkdir(parents=True)
            (there / "run" / "trials" / "unet-r1" / "status.json").write_text("{}")
        _wait_for(lambda: run.trial("unet-r1").status.exists())
    assert worker.status != run.trial("unet-r1").status


def _wait_for(what):
    import time

    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_shards_of_the_cache_are_known_by_the_listing_and_fetched_before_they_are_read(there, on):
    rows = torch.arange(200.0)[:, None]
    with on("a"):
        cache = ShardedCache(cache_root() / "images-1", 200)
        assert cache.missing() == [0, 1]
        cache.write(0, {"x": rows[:128]})
    with on("b"):
        theirs = ShardedCache(cache_root() / "images-1", 200)
        assert theirs.missing() == [1]
        assert not theirs.root.exists()
        with pytest.raises(DataError, match="cache shard is missing"):
            theirs.row("x", 5)
        fetch_caches([theirs.root])
        assert theirs.row("x", 5).item() == 5
        theirs.write(1, {"x": rows[128:]})
    with on("a"):
        assert cache.missing() == []
        fetch_caches([cache.root])
        assert torch.equal(cache.all("x"), rows)
    with on("c"):
        damaged = ShardedCache(cache_root() / "images-1", 200)
        shard = there / "cache" / "images-1" / "00001.safetensors"
        shard.write_bytes(shard.read_bytes()[:-4] + b"abcd")
        fetch_caches([damaged.root])
        with pytest.raises(DataError, match="not what was written"):
            damaged.row("x", 130)
        assert damaged.missing() == [1]
        shard.with_name("00000.safetensors").write_bytes(b"torn")
        assert damaged.row("x", 0).item() == 0
        assert damaged.missing() == [1]  # the copy here was sound
    with on("d"):
        torn = ShardedCache(cache_root() / "images-1", 200)
        fetch_caches([torn.root])
        with pytest.raises(DataError, match="cannot be read"):
            torn.row("x", 0)
        assert torn.missing() == [0, 1]


def test_a_run_and_its_data_are_found_by_name_on_a_node_that_has_them_elsewhere(there, on):
    with on("a") as root:
        run = RunPaths(root / "run")
        sent = pickle.dumps(run)
        records = [Record(name, path, "A shirt.", 2, 3) for name, path in _paths(root)]
        write_catalogue(run.catalogue("fashion"), Catalogue(tuple(records), 0, ()))
    with on("b") as root:
        run = pickle.loads(sent)
        assert run.root == root / "run"
        fetch_for_encoding(run)
        assert [(r.name, r.path) for r in read_catalogue(run.catalogue("fashion")).records] == _paths(root)


def _paths(root):
    return [("1.jpg", f"{root}/cache/world/1.jpg"), ("2.jpg", "/data/2.jpg"), ("3.jpg", "s3://shop/3.jpg")]


def test_a_run_is_fetched_when_a_command_opens_it_and_known_ones_are_named(there, on, config):
    with on("a"), claimed(new_run(config, "mine"), config):
        pass
    with on("b") as root:
        assert existing_run("mine").config.is_file()
        assert existing_run(str(root / "mine")).root == root / "mine"
        with pytest.raises(RunError, match=r"no run 'yours' here or in file://.*/runs; known: mine$"):
            existing_run("yours")


def test_an_adapter_of_a_run_is_fetched_when_it_is_drawn_with(there, on, config, tmp_path):
    with on("a") as root:
        run = RunPaths(root / "mine")
        write_text(run.config, config.to_yaml())
        write_catalogue(run.catalogue("fashion"), Catalogue((Record("1.jpg", "/1.jpg", "A shirt.", 2, 3),), 0, ()))
        with replacing(run.trial("unet-r1").adapter) as temporary:
            save_file({"x": torch.zeros(1)}, temporary)
    with on("b"):
        adapter = find_adapter("mine/trials/unet-r1", tmp_path)
        assert (adapter.label, adapter.original_size) == ("mine: unet-r1", (3, 2))
        with pytest.raises(ConfigError, match="there is no such file"):
            find_adapter("mine/trials/unet-r2", tmp_path)


def test_a_run_goes_on_from_a_fresh_copy_with_its_own_configuration_only(there, on, config):
    with on("a"), claimed(new_run(config, "mine"), config):
        pass
    with on("b"):
        other = config.model_copy(update={"sweep": config.sweep.model_copy(update={"seeds": 2})})
        with pytest.raises(RunError, match="another configuration"), claimed(new_run(other, "mine"), other):
            pass
        with claimed(new_run(config, "mine"), config):
            pass


def test_two_nodes_do_not_work_in_one_run(there, on, config):
    with on("a"), claimed(new_run(config, "mine"), config):
        taken = json.loads((there / "mine" / ".lock").read_text())
        (there / "mine" / ".lock").write_text(json.dumps(taken | {"host": "gpu-7", "pid": 12}))
        with (
            on("b"),
            pytest.raises(RunError, match=r"runs/mine is in use by process 12 on gpu-7, heard of 0 s ago"),
            claimed(new_run(config, "mine"), config),
        ):
            pass
    assert not (there / "mine" / ".lock").exists()


@pytest.fixture
def interruptible():
    """A shell has what it starts in the background ignore Ctrl-C; a run takes it anyhow."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_lease_that_nobody_renews_is_taken_and_its_holder_stops_when_it_comes_back(there, on, config, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    monkeypatch.setattr(lease, "AGAIN_S", 2.0)
    other = json.dumps({"host": "gpu-7", "pid": 12, "id": "x"})
    (there / "mine").mkdir()
    (there / "mine" / ".lock").write_text(other)
    os.utime(there / "mine" / ".lock", (1, 1))
    with (
        pytest.raises(RunError, match="was taken over by process 12 on gpu-7"),
        claimed(new_run(config, "mine"), config),
    ):
        _wait_for(lambda: (there / "mine" / ".lock").write_text(other) == 0)
    assert (there / "mine" / ".lock").read_text() == other


def test_the_lease_of_a_process_that_died_on_this_machine_is_free_at_once(there, config):
    hold = """
import os, signal
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.run.claim import claimed, new_run
with claimed(new_run(load_run_config("exp2"), "mine"), load_run_config("exp2")):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", hold], check=False)
    assert (there / "mine" / ".lock").exists()
    with claimed(new_run(config, "mine"), config):
        pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "'s3://' names no folder"),
        ("nowhere://bucket/runs", "nowhere://bucket/runs: Protocol not known: nowhere"),
        ("file:///proc/runs", "file:///proc/runs: cannot be written to"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_before_anything_starts(there, config, monkeypatch, url, said):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", url)
    with pytest.raises((ConfigError, DataError), match=said), claimed(new_run(config, "mine"), config):
        pass
