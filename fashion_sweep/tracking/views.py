"""Saves views in MLflow's UI: the trials of an experiment's newest run as a table, and as charts.

MLflow's UI opens on traces, and lists runs without metrics or children. What it shows can be prepared: a saved view
is a tag of the experiment, offered under "Saved views" and opened by an address that names it. Its format is that of
MLflow 3.17's own "Save view"; an MLflow that does not know it shows its plain list of runs.
"""

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.tracking.runs import PARENT
from fashion_sweep.tracking.tracked import Columns, tracked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "mlflow.sharedViewState."
TABLE, CHARTS = "newest-run-table", "newest-run-charts"


def prepare_views(client: "MlflowClient", parent: "Run", config: RunConfig) -> None:
    """Makes the experiment's saved views show the trials of `parent`, unless they show those of a newer run.

    Nothing is written where they do already. The description of the experiment, where it has none, tells of them.
    """
    experiment_id = parent.info.experiment_id
    tags = client.get_experiment(experiment_id).tags
    views = _views(config, parent.info.run_id)
    made = int(parent.info.start_time)
    for key, (name, state) in views.items():
        shown = _made(tags.get(TAG + key))
        wanted = json.dumps({"name": name, "createdAt": made, "updatedAt": made, "state": _packed(state)})
        if shown < made:
            client.set_experiment_tag(experiment_id, TAG + key, wanted)
    if not tags.get("mlflow.note.content"):
        links = " and ".join(f"[{shown}]({link})" for shown, link in views_of(experiment_id))
        client.set_experiment_tag(experiment_id, "mlflow.note.content", f"The newest run's {links}.{_meaning(config)}")


def newest_views(client: "MlflowClient") -> list[tuple[str, str]]:
    """Returns the views of the run that began last of all, as `views_of` does; empty where none was mirrored yet."""
    began = {one.experiment_id: _made(one.tags.get(TAG + TABLE)) for one in client.search_experiments()}
    newest = max(began, key=lambda experiment_id: began[experiment_id], default=None)
    return [] if newest is None or began[newest] < 0 else views_of(newest)


def views_of(experiment_id: str) -> list[tuple[str, str]]:
    """Returns the views of an experiment: what each shows, and its address after that of the UI."""
    runs = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey="
    return [("trials", runs + TABLE), ("charts", f"{runs}{CHARTS}&compareRunsMode=CHART")]


def _made(envelope: str | None) -> int:
    """Returns when the run of a view began, in milliseconds; -1 where there is no view, or not one of ours."""
    try:
        return int(json.loads(envelope or "")["createdAt"])
    except (ValueError, KeyError, TypeError):
        return -1


def _packed(state: dict[str, Any]) -> str:
    """Packs the state of a view as the UI does, since tags are short."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _views(config: RunConfig, run_id: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns the name and state of each view, by key."""
    shown = tracked(config).columns(config)
    best_first = {"orderByKey": f"metrics.`{shown.metrics[0]}`", "orderByAsc": shown.ascends}
    trials = {"searchFilter": f"tags.`{PARENT}` = '{run_id}'", **best_first}
    columns = [f"params.`{name}`" for name in shown.params] + [f"metrics.`{name}`" for name in shown.metrics]
    table = {"selectedColumns": columns, "columnOrder": columns}
    charts = {"runsHiddenMode": "SHOW_ALL", "isAccordionReordered": True, **_charts(shown)}
    return {
        TABLE: ("Newest run: table", trials | table),
        CHARTS: ("Newest run: charts", trials | table | charts),
    }


def _meaning(config: RunConfig) -> str:
    biased = [metric for metric in metrics_of(config.sweep.metrics) if metric.is_biased]
    return "".join(f" {one.name}_corrected is {one.title} less its bias, by which the verdict goes." for one in biased)


def _charts(shown: Columns) -> dict[str, Any]:
    """Returns the cards of the chart view, in two sections."""
    cards: list[dict[str, Any]] = []
    quality = list(shown.quality)

    def card(section: str, **values: Any) -> None:
        fixed = {"uuid": f"card-{len(cards)}", "deleted": False, "isGenerated": False, "runsCountToCompare": 100}
        cards.append(fixed | {"metricSectionId": section} | values)

    if shown.sizes_differ:
        for name in quality:
            card("quality", type="SCATTER", xaxis=_param("parameters"), yaxis=_metric(name))
        for first, second in zip(quality[::2], quality[1::2], strict=False):
            card("quality", type="SCATTER", xaxis=_metric(first), yaxis=_metric(second))
        params = list(shown.params)
        card("quality", type="PARALLEL", selectedParams=params, selectedMetrics=quality, showAllRuns=False)
    else:
        for name in quality:
            card("quality", type="BAR", metricKey=name, displayName=name)
    for name in ("val_loss", "train_loss"):
        as_measured = {"xAxisKey": "step", "scaleType": "linear", "lineSmoothness": 0, "useGlobalLineSmoothing": False}
        card("losses", type="LINE", metricKey=name, selectedMetricKeys=[name], displayName=name, **as_measured)
    titles = {"quality": shown.section, "losses": "Losses"}
    section: dict[str, Any] = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    section |= {"columns": 2, "cardHeight": 320}
    sections = [section | {"uuid": uuid, "name": name} for uuid, name in titles.items()]
    return {"compareRunCharts": cards, "compareRunSections": sections}


def _param(name: str) -> dict[str, str]:
    return {"key": name, "type": "PARAM"}


def _metric(name: str) -> dict[str, str]:
    return {"key": name, "type": "METRIC"}
