"""A run that is ready for its trials, without Ray."""

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.encodings.prepare import make_shard, missing_shards
from fashion_sweep.encodings.real_images import write_real_statistics
from fashion_sweep.models.loaded import forget_models
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.report.page import write_report
from fashion_sweep.run.claim import claimed
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.tasks.sweep import _write_inputs, run_trial
from fashion_sweep.tasks.task import task_of


def prepared_run(name: str, config: RunConfig) -> RunPaths:
    """Its data are opened, and its caches filled."""
    run = RunPaths(runs_root() / name)
    with claimed(run, config):
        task = task_of(config)
        _write_inputs(run, config, {name: task.open(name, config, run) for name in config.data_sets})
    for shard in missing_shards(run, specs_of(config)):
        make_shard(shard)
    write_real_statistics(run)
    forget_models()
    return run


def finished_run(name: str, config: RunConfig) -> RunPaths:
    """Every trial is trained and judged, one after the other, and the report written."""
    run = prepared_run(name, config)
    for spec in specs_of(config):
        run_trial(run, spec.trial_id, Worker(0, 1, "cpu", lambda: None, lambda values: None))
    write_report(run)
    return run
