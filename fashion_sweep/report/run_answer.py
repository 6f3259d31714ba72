"""The answer of a run: the verdict of each evaluation set, and what is missing for a better one."""

from collections.abc import Sequence
from dataclasses import dataclass

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.planning.plan import trials_wanted
from fashion_sweep.report.forgotten import forgotten
from fashion_sweep.report.results import Evaluation, Results
from fashion_sweep.report.verdict import Verdicts
from fashion_sweep.report.words import listed


@dataclass(frozen=True)
class Answer:
    """The answer of a run: what it allows one to conclude."""

    headline: str
    """One short sentence for each evaluation set."""
    paragraph: str
    """The headline at length, with what is shown, what is not, what it rests on, and what is missing."""


def answer_of(results: Results, verdicts: Verdicts) -> Answer:
    """Words the verdicts on all evaluation sets, to be read before any number."""
    names = list(results.config.sweep.judge)
    if not names:
        nothing = "Nothing was judged, as the sweep wants it: samples and losses are all there is to go by."
        return Answer(nothing, " ".join(_gaps(results)))
    missing = {name: _without_verdict(results, name) for name in names if name not in verdicts}
    headlines = [
        missing[name].headline if name in missing else f"{_on(name, names)}{verdicts[name].headline}" for name in names
    ]
    sentences = [missing[name].paragraph if name in missing else verdicts[name].sentence for name in names]
    bases = dict.fromkeys(verdicts[name].basis for name in names if name in verdicts)
    paragraph = [*filter(None, sentences), *_forgotten(results), *bases, *_gaps(results)]
    races_are_over = all(verdict.end for verdict in verdicts.values())
    return Answer(_so_far(results, races_are_over, " ".join(headlines)), " ".join(paragraph))


def _so_far(results: Results, races_are_over: bool, headline: str) -> str:
    """Words a headline as preliminary while the run goes on."""
    if results.over < results.wanted:
        return f"So far, with {results.over} of {results.wanted} trials: {headline}"
    return headline if races_are_over else f"So far, while the race goes on: {headline}"


def _on(name: str, judge: Sequence[str]) -> str:
    """Says which set a headline is about, where there are several."""
    return f"{name.capitalize()}: " if len(judge) > 1 else ""


def _without_verdict(results: Results, name: str) -> Answer:
    metrics = results.deciding(name)
    judged = [trial for trial in results.trials if trial.on(name).value(metrics[0]) is not None]
    if not judged:
        return Answer(f"No trial has a {metrics[0].title} on {name}, so there is no answer.", "")
    evaluation = results.config.preset.evaluation
    numbers = [f"{trial.title}: {_numbers(trial.on(name), metrics, evaluation)}" for trial in judged]
    text = f"On {name}, {', '.join(numbers)}"
    if len(judged) == 1:
        alone = f"There is nothing to compare {judged[0].title} to on {name}."
        return Answer(alone, f"{text}.")
    missing = "the images' estimates are missing"
    return Answer(f"No verdict on {name}: {missing}.", f"{text}; point estimates, for {missing}.")


def _numbers(judged: Evaluation, metrics: Sequence[Metric], evaluation: EvaluationConfig) -> str:
    measured = [(metric, value) for metric in metrics if (value := judged.value(metric)) is not None]
    parts = [f"{metric.title} {metric.shown(value)}" for metric, value in measured]
    few = [one.title for one, _ in measured if judged.samples and one.shortage(judged.samples, evaluation)]
    return ", ".join([*parts, *(f"too few images for a {title}" for title in few)])


def _forgotten(results: Results) -> list[str]:
    """Says which adapters are shown to have got worse at what they were not trained on."""
    sentences = []
    for name in results.config.sweep.judge:
        if losses := forgotten(results, name):
            worse = [f"{one.title} ({one.increase / one.base_loss:+.1%})" for one in losses if one.is_shown]
            who = listed(worse) if worse else "no adapter"
            sentences.append(
                f"By the denoising loss on real {name} images, {who} is shown to have forgotten something."
            )
    return sentences


def _gaps(results: Results) -> list[str]:
    sentences = []
    for state in ("failed", "unfinished"):
        titles = [trial.title for trial in results.trials if trial.state == state]
        if titles:
            sentences.append(f"{len(titles)} of {len(results.trials)} trials {state} ({'; '.join(titles)}).")
    if stopped := sum(trial.state == "stopped" for trial in results.trials):
        sentences.append(f"{stopped} of {len(results.trials)} trials were stopped early.")
    if len(results.trials) < (wanted := trials_wanted(results.config)):
        sentences.append(f"The search has begun {len(results.trials)} of {wanted} trials.")
    return sentences
