"""The numbers of a trial in a line, as soon as it was judged; nothing of what is damaged."""

from collections.abc import Mapping, Sequence
from typing import Any

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.errors import DataError
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.report.results import number
from fashion_sweep.report.tables import duration
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json


def result_words(run: RunPaths, trial_id: str) -> list[str]:
    """Returns the metrics of a judged trial that are known, on how many images, and the time that it took."""
    try:
        result = read_json(run.trial(trial_id).result, {})
        sets, judge = result.get("evaluations") or {}, read_run_config(run.config).sweep.judge
        seconds = [value for value in map(number, (result.get("seconds") or {}).values()) if value is not None]
    except (OSError, DataError, AttributeError):
        return []
    said = [_on(name, judged, judge.get(name, ()), len(sets) > 1) for name, judged in sets.items()]
    return [*filter(None, said), *([duration(sum(seconds))] if seconds else [])]


def _on(name: str, judged: Mapping[str, Any], metrics: Sequence[str], of_several: bool) -> str:
    """Writes what a trial came to on a set; metrics are less their bias, where the look is known that they are from."""
    images = judged.get("samples")
    look = (judged.get("looks") or {}).get(str(images), {})
    numbers = ", ".join(
        f"{metric.title}{'∞' * (metric.is_biased and metric.name in look)} {metric.shown(metric.scale * value)}"
        for metric in metrics_of(metrics)
        if (value := number(look.get(metric.name, judged.get(metric.name)))) is not None
    )
    heading = [f"{images:,} images"] * bool(images) + [f"of {name}"] * of_several
    return f"{' '.join(heading)}: {numbers}" if heading and numbers else numbers
