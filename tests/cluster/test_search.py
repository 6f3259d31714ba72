"""What a search suggests, stops, and still knows when it goes on; without Ray's processes."""

from types import SimpleNamespace

import pytest

from fashion_sweep.cluster.search import Rungs, StudySearcher, open_study
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.search_space import StopEarly
from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.specs import Suggestion, run_specs, suggestions
from fashion_sweep.storage.files import write_json, write_json_lines

SMALL = [
    "sweep.space={placements: [unet, text_encoders], ranks: [1, 2], budget: {at_most: 30000}}",
    "sweep.search={trials: 12, objectives: [fid]}",
]


@pytest.fixture
def run(tmp_path) -> RunPaths:
    paths = RunPaths(tmp_path / "run")
    paths.root.mkdir()
    return paths


def begin(searcher: StudySearcher, count: int) -> list[str]:
    """Ids of the trials suggested."""
    answers = [searcher.suggest(f"tune-{index}") for index in range(count)]
    return [answer["trial_id"] for answer in answers if isinstance(answer, dict)]


def finish(run: RunPaths, trial_id: str, fid: float = 5.0) -> None:
    judged = {"fid": fid, "clip_score": 70.0, "kid": 0.2}
    write_json(run.trial(trial_id).result, {"evaluations": {"fashion": judged}, "parameters": 1})


def state(run: RunPaths, config, trial_id: str):
    """Of the trial in the study, as a searcher that goes on finds it."""
    StudySearcher(run, config)
    number = next(suggestion.number for suggestion in suggestions(run) if suggestion.trial_id == trial_id)
    return open_study(run, config.sweep.search).trials[number]


def test_every_suggestion_is_within_the_budget_and_on_disk_before_it_runs(run):
    config = load_run_config("search", "tiny")
    ids = begin(StudySearcher(run, config), 30)
    assert len(set(ids)) == 30
    assert [spec.trial_id for spec in run_specs(run, config)] == ids
    assert all(parameters_of(config, spec) <= 140_000 for spec in run_specs(run, config))
    assert {spec.trains_conditioning for spec in run_specs(run, config)} == {True, False}
    rates = [dict(spec.training)["learning_rate"] for spec in run_specs(run, config)]
    assert all(2e-3 <= rate <= 5e-2 for rate in rates)
    assert len(set(rates)) > 20


def test_a_space_that_is_smaller_than_the_search_is_run_once_each_and_then_over(run):
    config = load_run_config("search", "tiny", SMALL)
    searcher = StudySearcher(run, config)
    ids = begin(searcher, 12)
    assert searcher.remaining == 5
    assert sorted(ids) == sorted(
        ["text_encoders-r1", "text_encoders-r2", "unet-r1", "unet-r1-text_encoders-r1", "unet-r1-text_encoders-r2"]
    )


def test_a_search_that_goes_on_finishes_what_it_began_and_knows_what_it_found(run):
    config = load_run_config("search", "tiny", [*SMALL, "sweep.search.objectives=[fid, clip_score]"])
    first, second, third = begin(StudySearcher(run, config), 3)
    finish(run, first, fid=4.5)
    write_json(run.trial(second).stopped, {"step": 10, "val_loss": 0.5})
    assert len(suggestions(run)) == 3
    again = StudySearcher(run, config)
    assert begin(again, 1) == [third]
    assert state(run, config, first).values == [4.5, 70.0]
    assert state(run, config, second).state.name == "PRUNED"
    assert state(run, config, third).state.name == "RUNNING"


def test_a_search_suggests_the_same_whether_or_not_it_was_killed_between(tmp_path):
    config = load_run_config("search", "tiny")
    ids = []
    for name, killed in (("undisturbed", False), ("killed", True)):
        run = RunPaths(tmp_path / name)
        run.root.mkdir()
        searcher = StudySearcher(run, config)
        for index in range(14):  # past those that are drawn blindly
            searcher = StudySearcher(run, config) if killed else searcher
            trial_id = searcher.suggest(f"tune-{index}")["trial_id"]
            finish(run, trial_id, fid=5 + len(trial_id) % 7)
            searcher.on_trial_complete(f"tune-{index}")
        ids.append([suggestion.trial_id for suggestion in suggestions(run)])
    assert ids[0] == ids[1]


def test_a_trial_that_ends_is_told_to_the_study(run):
    config = load_run_config("search", "tiny", SMALL)
    searcher = StudySearcher(run, config)
    (trial_id,) = begin(searcher, 1)
    finish(run, trial_id, fid=3.25)
    searcher.on_trial_complete("tune-0")
    assert open_study(run, config.sweep.search).best_value == 3.25


def test_a_suggestion_that_was_lost_before_it_was_written_is_given_up(run):
    config = load_run_config("search", "tiny", SMALL)
    open_study(run, config.sweep.search).ask()
    StudySearcher(run, config)
    assert open_study(run, config.sweep.search).trials[0].state.name == "FAIL"


def report(scheduler: Rungs, trial_id: str, step: int, loss: float) -> str:
    trial = SimpleNamespace(config={"trial_id": trial_id})
    scheduler.on_trial_add(None, trial)
    return scheduler.on_trial_result(None, trial, {"step": step, "val_loss": loss})


def test_a_trial_that_falls_behind_at_a_rung_is_stopped_and_what_it_reached_is_kept(run):
    scheduler = Rungs(run, StopEarly(grace_steps=10), steps=30)
    assert [report(scheduler, name, 10, loss) for name, loss in [("a", 0.3), ("b", 0.2), ("c", 0.9)]] == [
        "CONTINUE",
        "CONTINUE",
        "STOP",
    ]
    assert run.trial("c").is_over
    assert '"step": 10' in run.trial("c").stopped.read_text()
    assert not run.trial("a").stopped.exists()


def test_a_trial_at_its_last_step_is_judged_whatever_its_loss(run):
    scheduler = Rungs(run, StopEarly(grace_steps=10), steps=30)
    for name, loss in [("a", 0.3), ("b", 0.2)]:
        report(scheduler, name, 10, loss)
    assert report(scheduler, "a", 30, 0.1) == "CONTINUE"
    assert report(scheduler, "b", 30, 0.9) == "CONTINUE"


def test_early_stopping_remember_what_an_earlier_invocation_reached(run):
    config = load_run_config("search", "tiny")
    spec = next(iter(load_run_config("exp2", "tiny").specs))
    Suggestion(0, spec, parameters_of(config, spec)).write(run)
    write_json_lines(run.trial(spec.trial_id).metrics, [{"step": 0, "val_loss": 1.0}, {"step": 10, "val_loss": 0.2}])
    scheduler = Rungs(run, StopEarly(grace_steps=10), steps=30)
    assert report(scheduler, "late", 10, 0.3) == "STOP"
    assert report(scheduler, spec.trial_id, 20, 0.9) == "CONTINUE"  # its rung is behind it


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["sweep.search.stop_early.metric=fid"], "'val_loss'"),
        (["sweep.search.objectives=[fid, fid]"], "an objective is listed twice"),
        (["sweep.search=null"], "space.training.learning_rate: a range needs a search"),
        (["sweep.seeds=2"], "seeds: a search trains each of its trials once"),
        (["sweep.space.training={learning_rate: {low: 1, high: 0.1}}"], "low 1 must be smaller than high 0.1"),
        (["sweep.space.training={steps: {low: 1, high: 2}}"], "steps: may not be a range, as may learning_rate,"),
        (["sweep.space.training={steps: [100, 200]}"], "needs trials of one length"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(settings, said):
    with pytest.raises(ConfigError) as raised:
        load_run_config("search", "tiny", settings)
    assert said in str(raised.value)


def test_a_damaged_study_is_one_line(run):
    config = load_run_config("search", "tiny", SMALL)
    run.study.write_text("no database")
    with pytest.raises(RunError, match="is damaged; remove it to go on"):
        StudySearcher(run, config)
