"""The saved views that MLflow's UI is opened on."""

import base64
import json
import zlib

import pytest

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.storage.files import write_json
from fashion_sweep.tracking import mirror as tracking
from fashion_sweep.tracking.ui import open_ui
from fashion_sweep.tracking.views import CHARTS, TABLE, TAG, newest_views
from tests.report.synthetic_run import finish_trial, judgement, make_run
from tests.tracking.asked import client, runs

TRIALS = "sweep.trials=[{unet: 2}, {unet: 1}]"
WHOLE = "sweep.choose.race=false"


def mirrored(folder, started, sweep="exp2", settings=(TRIALS,), judge=("fashion",)):
    run = make_run(folder, sweep, settings)
    write_json(run.facts, {"started": started})
    for rank in (2, 1):
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, {name: judgement(5.0) for name in judge})
    tracking.mirror(run)
    return run


def view(key, experiment="exp2/tiny", asked=None):
    """Its name and state, unpacked as the UI unpacks it."""
    tags = (asked or client()).get_experiment_by_name(experiment).tags
    envelope = json.loads(tags[TAG + key])
    packed = envelope["state"].removeprefix("deflate;")
    return envelope["name"], json.loads(zlib.decompress(base64.b64decode(packed)))


def trials_shown(key):
    """Titles of the runs that the view's own search finds, in its order."""
    experiment, (_, state) = client().get_experiment_by_name("exp2/tiny"), view(key)
    order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    found = client().search_runs([experiment.experiment_id], state["searchFilter"], order_by=[order])
    return [run.info.run_name for run in found], {run.data.tags["mlflow.parentRunId"] for run in found}


def test_the_views_show_the_trials_of_the_newest_run_whichever_is_mirrored_last(store):
    assert newest_views(client()) == []
    mirrored(store / "newer", "2024-05-02T10:00:00+00:00")
    newest = runs()["parent"].info.run_id
    mirrored(store / "older", "2024-05-01T10:00:00+00:00")
    for key in (TABLE, CHARTS):
        titles, parents = trials_shown(key)
        assert sorted(titles) == ["UNet rank 1", "UNet rank 2"]
        assert parents == {newest}
    mirrored(store / "newest", "2024-05-03T10:00:00+00:00")
    assert trials_shown(TABLE)[1] != {newest}


def test_the_table_has_sizes_first_and_then_what_the_verdict_goes_by(store):
    mirrored(store / "run", "2024-05-02T10:00:00+00:00")
    _, state = view(TABLE)
    columns = ["params.`parameters`", "params.`unet_rank`"]
    columns += [
        f"metrics.`{name}`" for name in ("fid_corrected", "clip_score", "fid", "kid", "attributes", "whole_figures")
    ]
    assert state["selectedColumns"] == state["columnOrder"] == columns
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`fid_corrected`", True)
    mirrored(store / "whole", "2024-05-03T10:00:00+00:00", settings=[TRIALS, WHOLE])
    _, state = view(TABLE)
    assert state["orderByKey"] == "metrics.`fid`"  # of one number of images for all


def test_the_charts_draw_metrics_that_mlflow_has(store):
    mirrored(store / "run", "2024-05-02T10:00:00+00:00", settings=[TRIALS, WHOLE])
    trial, (_, state) = runs()["unet-r1"], view(CHARTS)
    known = {"METRIC": trial.data.metrics, "PARAM": trial.data.params}
    axes = [
        card[axis] for card in state["compareRunCharts"] if card["type"] == "SCATTER" for axis in ("xaxis", "yaxis")
    ]
    assert all(axis["key"] in known[axis["type"]] for axis in axes)
    assert [(axis["key"]) for axis in axes] == ["parameters", "fid", "parameters", "clip_score", "fid", "clip_score"]
    lines = [card["metricKey"] for card in state["compareRunCharts"] if card["type"] == "LINE"]
    assert lines == ["val_loss", "train_loss"]
    assert set(lines) <= set(trial.data.metrics)
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {card["metricSectionId"] for card in state["compareRunCharts"]} == sections


def test_each_evaluation_set_has_columns_and_charts_of_its_own(store):
    settings = [TRIALS, WHOLE, "sweep.judge=[fashion, general]"]
    mirrored(store / "run", "2024-05-02T10:00:00+00:00", settings=settings, judge=("fashion", "general"))
    _, state = view(CHARTS)
    assert {"metrics.`fid_fashion`", "metrics.`clip_score_general`"} <= set(state["selectedColumns"])
    yaxes = [card["yaxis"]["key"] for card in state["compareRunCharts"] if card["type"] == "SCATTER"]
    assert set(yaxes) == {f"{name}_{judged}" for name in ("fid", "clip_score") for judged in ("fashion", "general")}
    assert set(yaxes) <= set(runs()["unet-r1"].data.metrics)


def test_what_a_sweep_varies_beside_ranks_is_a_column(store):
    settings = ["sweep.trials=[{unet: 2, learning_rate: 0.1}, {unet: 1, learning_rate: 0.2}]"]
    run = make_run(store / "run", settings=settings)
    tracking.mirror(run)
    assert "params.`learning_rate`" in view(TABLE)[1]["selectedColumns"]


@pytest.mark.parametrize(("what", "tab"), [("trials", TABLE), ("charts", CHARTS)])
def test_the_addresses_open_the_views_in_the_training_mode(store, what, tab):
    mirrored(store / "run", "2024-05-02T10:00:00+00:00")
    experiment = client().get_experiment_by_name("exp2/tiny").experiment_id
    address = dict(newest_views(client()))[what]
    assert address.startswith(f"#/experiments/{experiment}/runs?workflowType=machine_learning&")
    assert f"viewStateShareKey={tab}" in address


def test_what_a_user_changed_is_left_alone_until_a_newer_run_is_shown(store):
    run = mirrored(store / "run", "2024-05-02T10:00:00+00:00")
    trial = runs()["unet-r1"].info
    saved = json.loads(client().get_experiment(trial.experiment_id).tags[TAG + TABLE])
    for key in (TABLE, "mine"):
        client().set_experiment_tag(trial.experiment_id, TAG + key, json.dumps(saved | {"name": "Mine"}))
    client().set_tag(trial.run_id, "mlflow.runColor", "#123456")
    client().set_experiment_tag(trial.experiment_id, "mlflow.note.content", "Mine.")
    tracking.mirror(run)
    assert runs()["unet-r1"].data.tags["mlflow.runColor"] == "#123456"
    assert client().get_experiment(trial.experiment_id).tags["mlflow.note.content"] == "Mine."
    assert view(TABLE)[0] == "Mine"
    mirrored(store / "newer", "2024-05-03T10:00:00+00:00")
    assert (view(TABLE)[0], view("mine")[0]) == ("Newest run: table", "Mine")


def test_ui_prints_where_a_server_shows_the_newest_run(server, tmp_path, capsys):
    mirrored(tmp_path / "run", "2024-05-02T10:00:00+00:00")
    open_ui(5000)
    trials, charts, all_of_it = capsys.readouterr().out.splitlines()
    assert trials.startswith(f"the newest run's trials: {server.uri}/#/experiments/")
    assert charts.startswith(f"the newest run's charts: {server.uri}/#/experiments/")
    assert (
        all_of_it
        == f"all of MLflow: {server.uri} (runs are under Model training; a server of its own, by MLFLOW_TRACKING_URI)"
    )
