import pytest

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.early_stopping import rung_table, rungs
from fashion_sweep.report.page import write_report
from fashion_sweep.report.results import collect
from fashion_sweep.run.specs import Suggestion
from fashion_sweep.storage.files import write_json, write_json_lines
from tests.report.synthetic_run import finish_trial, judgement, log_losses, make_run

LOSSES = (0.5, 0.4, 0.3, 0.2, 0.1)


@pytest.fixture
def searched(tmp_path):
    """Six trials of a search; the lower a loss at step 100, the lower the FID; the last one was stopped."""
    run = make_run(tmp_path / "searched", "search")
    for number, loss in enumerate(LOSSES):
        finish(run, number, loss, fid=10 * loss)
    stopped = suggest(run, len(LOSSES))
    log_losses(run, stopped, 1, 100)
    write_json(run.trial(stopped.trial_id).stopped, {"step": 100, "val_loss": 0.61, "time": 1.7e9})
    return run


def suggest(run, number) -> TrialSpec:
    spec = TrialSpec.of({"unet": 1, "learning_rate": 0.001 * (number + 1)})
    Suggestion(number, spec, 17184).write(run)
    return spec


def finish(run, number, loss, fid) -> None:
    spec = suggest(run, number)
    finish_trial(run, spec, 17184, {"fashion": judgement(fid)})
    write_json_lines(run.trial(spec.trial_id).metrics, [{"step": 0, "val_loss": 1.0}, {"step": 100, "val_loss": loss}])


def test_correlation_is_that_of_the_loss_at_the_rung_with_the_objective(searched):
    (rung,) = rungs(searched, collect(searched))
    assert (rung.step, rung.trials, rung.correlation) == (100, 5, pytest.approx(1.0))
    table = rung_table(searched, collect(searched))
    assert table.rows == (("step 100", "5", "1.00"),)
    assert "Warning" not in table.caption


def test_of_a_clip_score_more_is_better(tmp_path):
    run = make_run(tmp_path / "run", "search", ["sweep.search.objectives=[clip_score]"])
    for number, loss in enumerate(LOSSES):
        spec = suggest(run, number)
        finish_trial(run, spec, 17184, {"fashion": judgement(16.0, 30 - 10 * loss)})
        write_json_lines(run.trial(spec.trial_id).metrics, [{"step": 100, "val_loss": loss}])
    (rung,) = rungs(run, collect(run))
    assert rung.correlation == pytest.approx(1.0)


def test_a_loss_that_does_not_foretell_the_objective_is_warned_of(searched):
    for number, loss in enumerate(LOSSES):
        finish(searched, number, loss, fid=1 - loss)
    (rung,) = rungs(searched, collect(searched))
    assert rung.correlation == pytest.approx(-1.0)
    assert "val_loss does not foretell FID" in rung_table(searched, collect(searched)).caption


def test_few_trials_are_warned_of(searched):
    for number in (0, 1):
        searched.trial(TrialSpec.of({"unet": 1, "learning_rate": 0.001 * (number + 1)}).trial_id).result.unlink()
    assert "fewer than 5 trials" in rung_table(searched, collect(searched)).caption


def test_a_stopped_trial_is_shown_with_what_it_reached(searched):
    write_report(searched)
    page = searched.report.read_text()
    assert "UNet rank 1, lr 0.006 (stopped at step 100 with val_loss 0.6100) | 17,184 |" in page
    assert "1 of 6 trials were stopped early" in page
    assert "unfinished" not in page
    assert "## Rank correlation of early val_loss with final FID" in page
