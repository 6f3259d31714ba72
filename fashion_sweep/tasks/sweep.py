"""Takes a run all its way: check → prepare → train and judge → report. What is already done is not done again."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data.catalogue import Catalogue, read_catalogue, write_catalogue
from fashion_sweep.data.listing import problems_csv
from fashion_sweep.data.sets import rendered_sets
from fashion_sweep.judging.looks import looks_of
from fashion_sweep.planning.plan import specs_of, trials_wanted
from fashion_sweep.report.progress import busy, progress
from fashion_sweep.run import environment
from fashion_sweep.run.claim import claimed
from fashion_sweep.run.paths import RunPaths, by_name
from fashion_sweep.run.retries import clear_away, queue
from fashion_sweep.run.run_id import identity
from fashion_sweep.run.specs import run_specs, suggestions
from fashion_sweep.run.stage_inputs import fetch_run
from fashion_sweep.run.status import Status
from fashion_sweep.run.timing import Clock
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_json, write_json, write_text
from fashion_sweep.storage.sync import in_step
from fashion_sweep.tasks.order import put_longest_first
from fashion_sweep.tasks.preflight import check_config
from fashion_sweep.tasks.reuse import check_trained_alike, take_adapters
from fashion_sweep.tasks.task import task_of

if TYPE_CHECKING:
    from fashion_sweep.cluster.lanes import Lanes

Catalogues = Mapping[str, Catalogue]


def run_sweep(config: RunConfig, run: RunPaths, console: Console, adapters_from: RunPaths | None = None) -> bool:
    """Runs the sweep in `run`, from wherever it stands, with the adapters that another run has.

    Returns:
        True when every trial is done.

    Raises:
        FashionSweepError: a mistake in configuration, data or run folder.
    """
    clock = Clock()
    check_config(config)
    if adapters_from:
        check_trained_alike(config, run, adapters_from)
    task, rendered = task_of(config), rendered_sets(config)
    early = {name: task.open(name, config, run) for name in config.data_sets if name not in rendered}
    with claimed(run, config):
        console.print(f"preset [bold]{config.preset.name}[/], sweep [bold]{config.sweep.name}[/]", markup=True)
        console.print(config.sweep.question, markup=False)
        console.print(f"run folder {remote.where(run.root)}", soft_wrap=True)
        if adapters_from:
            write_json(run.facts, {**read_json(run.facts, {}), "adapters_from": by_name(adapters_from.root)})
        waiting = [spec.trial_id for spec in run_specs(run, config) if not run.trial(spec.trial_id).is_over]
        begins = bool(waiting) or len(suggestions(run)) < trials_wanted(config)
        further = 0 if begins else _judged_further(run, config)
        worked, well = begins or further > 0, True
        with ExitStack() as session:
            # First, so that the lanes' processes start while the data are opened.
            lanes = _start_lanes(config, run, len(waiting) + further, session, console) if worked else None
            _open_inputs(config, run, early, clock, console)
            if adapters_from:
                take_adapters(config, run, adapters_from, lambda line: console.print(line, markup=False))
            from fashion_sweep.tracking.mirror import Mirror

            with Mirror(run), in_step(run.root, run.log):
                with session.pop_all():  # Ray ends before the report is written
                    if lanes:
                        well = _run_trials(config, lanes, waiting, clock, console)
                for trial in (run.trial(spec.trial_id) for spec in run_specs(run, config)):
                    if trial.is_over:  # also what a run that was killed has left
                        clear_away(trial)
                with busy(run, console, "writing the report"):
                    task.write_report(run, clock.breakdown(_stages(run, config)) if worked else None)
        task.show(run, console)
    return well and all(run.trial(spec.trial_id).is_over for spec in run_specs(run, config))


def _judged_further(run: RunPaths, config: RunConfig) -> int:
    """Returns how many trials of a run whose trainings are over are to be judged further."""
    from fashion_sweep.judging.race import races_of
    from fashion_sweep.tasks.racing import due_of

    return len(due_of(run, config, races_of(run, config)))


def run_trial(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Trains and judges a trial in one of its workers, which find this by name; only they need its late imports."""
    from fashion_sweep.tasks.trial_worker import TrialWorker

    trial = TrialWorker.open(run, trial_id, worker)
    trial.help(worker.helps) if worker.helps else trial.work()


def _start_lanes(config: RunConfig, run: RunPaths, trials: int, session: ExitStack, console: Console) -> "Lanes":
    """Starts Ray, and lanes for so many trials, until `session` is closed."""
    with busy(run, console, "starting Ray"):
        from fashion_sweep.cluster.lanes import lanes
        from fashion_sweep.cluster.session import ray_session

        where = session.enter_context(ray_session(run, config.preset.resources))
        kept = session.enter_context(lanes(run, config.preset.resources, "fashion_sweep.tasks.trial_worker"))
        kept.start(trials or trials_wanted(config))
    console.print(where, markup=False, soft_wrap=True)
    return kept


def _open_inputs(config: RunConfig, run: RunPaths, early: Catalogues, clock: Clock, console: Console) -> None:
    """Opens the data that are not open yet, keeps what the run needs of them, and says what that is."""
    task = task_of(config)
    opening = "opening the data" if early else "opening the data (the embedded world is rendered the first time)"
    with clock.preparing(), busy(run, console, opening):
        opened = {name: early.get(name) or task.open(name, config, run) for name in config.data_sets}
        catalogues = {name: task.keep(catalogue, run) for name, catalogue in opened.items()}
        _write_inputs(run, config, catalogues)
    _say_what_was_kept(run, catalogues, console)
    _say_what_is_judged(config, catalogues, console)
    _say_what_is_not_cached(config, run, console)


def _write_inputs(run: RunPaths, config: RunConfig, catalogues: Catalogues) -> None:
    """Writes down what the run works on, once; a run goes on with the very same data and weights or not at all."""
    from fashion_sweep.encodings.caches import plan_caches, write_caches

    write_caches(run, plan_caches(config, dict(catalogues)))
    for name, catalogue in catalogues.items():
        write_catalogue(run.catalogue(name), catalogue)
    write_text(run.data_problems, problems_csv({name: c.problems for name, c in catalogues.items()}))
    earlier = read_json(run.facts, {})
    write_json(
        run.facts,
        {
            **earlier,
            "run": run.name,
            "preset": config.preset.name,
            "sweep": config.sweep.name,
            "started": earlier.get("started") or datetime.now(UTC).isoformat(timespec="seconds"),
            "git_commit": environment.git_commit(),
            "versions": environment.versions(),
            "hardware": environment.hardware(),
            "data": {name: catalogue.summary() for name, catalogue in catalogues.items()},
        },
    )
    identity(run)


def _say_what_was_kept(run: RunPaths, catalogues: Catalogues, console: Console) -> None:
    for name, catalogue in catalogues.items():
        counts = catalogue.summary()
        dropped = "".join(f", {count} {reason}" for reason, count in counts["dropped"].items())
        listed = f" (listed in {run.data_problems.name})" if catalogue.problems else ""
        console.print(f"{name} data: {counts['kept']} of {counts['images']} images kept{dropped}{listed}")


def _say_what_is_judged(config: RunConfig, catalogues: Catalogues, console: Console) -> None:
    samples = config.preset.evaluation.samples
    for name in config.sweep.judge:
        if (first := looks_of(config, name)[0]) < samples:
            console.print(f"{name} data: trials are judged on {first:,} images, and on more where the answer needs it")
        if (count := len(catalogues[name].records)) < samples:
            console.print(f"{name} data: captions come again from picture {count + 1:,} on, each time from new noise")


def _say_what_is_not_cached(config: RunConfig, run: RunPaths, console: Console) -> None:
    from fashion_sweep.encodings.caches import read_caches
    from fashion_sweep.encodings.size import left_out

    caches = read_caches(run)
    for sentence in left_out(config, caches.captions is None, caches.views):
        console.print(sentence, markup=False)


def _run_trials(config: RunConfig, lanes: "Lanes", waiting: list[str], clock: Clock, console: Console) -> bool:
    """Prepares the cache and runs the trials that are not done; what makes one fail is in its status.

    Returns:
        False where a trial could not be judged as far as the verdict needs.
    """
    run = lanes.run
    for trial_id in waiting:
        queue(run.trial(trial_id))
    fails_unread, data_set = task_of(config).fails_unread, config.preset.training_set
    for problem in read_catalogue(run.catalogue(data_set)).problems if fails_unread else ():
        Status(run.trial(problem.file)).fail(problem.reason)
        waiting.remove(problem.file)
    if not waiting and not config.sweep.search and not config.sweep.judge:
        return True
    put_longest_first(config, run, waiting)
    with clock.preparing():
        _settle(config, lanes, console)
        _fill_cache(config, lanes, console)
    from fashion_sweep.report.live import LiveTable
    from fashion_sweep.tasks.racing import race_beside

    def titles() -> dict[str, str]:
        return {spec.trial_id: spec.title for spec in run_specs(run, config)}

    shown = LiveTable(run, list(titles()), titles(), console, titles if config.sweep.search else None)
    with shown, race_beside(lanes, config, run_trial) as race:
        errors = _tuned(config, lanes, waiting)
        fetch_run(run)
        for trial_id, error in errors.items():
            if error:
                Status(run.trial(trial_id)).fail(error)
        failed = race.finish()
    for trial_id, error in failed.items():
        console.print(f"{titles()[trial_id]} could not be judged further: {error}", markup=False, soft_wrap=True)
    return not failed


def _tuned(config: RunConfig, lanes: "Lanes", waiting: Sequence[str]) -> dict[str, str | None]:
    """Has Tune run the trials; returns what made each fail, or None."""
    if config.sweep.search:
        from fashion_sweep.cluster.search import run_search

        return run_search(lanes, config, run_trial)
    from fashion_sweep.cluster.tune import run_trials

    return run_trials(lanes, waiting, run_trial)


def _settle(config: RunConfig, lanes: "Lanes", console: Console) -> None:
    """Has a GPU tried, where the configuration leaves it open how it is best used."""
    from fashion_sweep.training.settled import is_unsettled

    if not is_unsettled(config):
        return
    from fashion_sweep.cluster.settling import settle

    with busy(lanes.run, console, "trying what fits into memory and what is fastest"):
        found = settle(lanes, config)
    if found:
        console.print(found, markup=False)


def _fill_cache(config: RunConfig, lanes: "Lanes", console: Console) -> None:
    from fashion_sweep.cluster.shards import map_shards
    from fashion_sweep.encodings.prepare import check_room, make_shard, missing_shards, write_rates
    from fashion_sweep.encodings.real_images import write_real_statistics

    run, specs = lanes.run, specs_of(config)
    shards = missing_shards(run, specs)
    coming = [spec for spec in specs if not run.trial(spec.trial_id).is_over]
    check_room(run, shards, coming[: trials_wanted(config) or None])
    if shards:
        with progress(run, console, "encoding images and captions", len(shards)) as advance:
            made = map_shards(make_shard, shards, lanes, advance)
        write_rates(run, made)
    write_real_statistics(run)


def _stages(run: RunPaths, config: RunConfig) -> list[tuple[str, float, float]]:
    """Returns the stages of all trials; one that did not end was last heard of when its status was written."""
    return [
        (name, start, end)
        for spec in run_specs(run, config)
        for name, start, end in Status(run.trial(spec.trial_id)).values["stages"]
    ]
