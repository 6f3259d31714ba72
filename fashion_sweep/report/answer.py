"""The answer of a run: the verdict of each evaluation set, and what is missing for a better one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fashion_sweep.planning.plan import trials_wanted
from fashion_sweep.report.conclusion import Conclusion
from fashion_sweep.report.forgotten import forgotten
from fashion_sweep.report.results import Judgement, Results
from fashion_sweep.report.wording import listed


@dataclass(frozen=True)
class Answer:
    """What a run allows one to conclude."""

    headline: str
    """One short sentence for each evaluation set."""
    paragraph: str
    """The same with what is shown, what is not, what it rests on, and what is missing."""


def answer(results: Results, conclusions: Mapping[str, Conclusion]) -> Answer:
    """The verdicts of all evaluation sets, to be read before any number."""
    judge = results.config.sweep.judge
    if not judge:
        nothing = "Nothing was judged, as the sweep wants it: samples and losses are all there is to go by."
        return Answer(nothing, " ".join(_gaps(results)))
    told = {name: _without_comparison(results, name) for name in judge if name not in conclusions}
    headlines = [
        told[name].headline if name in told else f"{_on(name, judge)}{conclusions[name].headline}" for name in judge
    ]
    sentences = [told[name].paragraph if name in told else conclusions[name].sentence for name in judge]
    bases = dict.fromkeys(conclusions[name].basis for name in judge if name in conclusions)
    paragraph = [*filter(None, sentences), *_forgotten(results), *bases, *_gaps(results)]
    return Answer(_so_far(results, " ".join(headlines)), " ".join(paragraph))


def _so_far(results: Results, headline: str) -> str:
    """A run that goes on does not tell anybody what to take."""
    begun, wanted = len(results.trials), max(len(results.trials), trials_wanted(results.config))
    over = sum(trial.state != "unfinished" for trial in results.trials)
    if over == begun == wanted:
        return headline
    said = re.sub(r"\bTake (.+?): as good", r"\1 is as good", headline)
    return f"So far, with {over} of {wanted} trials: {said}"


def _on(name: str, judge: Sequence[str]) -> str:
    """Of which set a headline speaks, where there are several."""
    return f"{name.capitalize()}: " if len(judge) > 1 else ""


def _without_comparison(results: Results, name: str) -> Answer:
    judged = [trial for trial in results.trials if trial.judged(name).fid is not None]
    if not judged:
        return Answer(f"No trial has a FID on {name}, so there is no answer.", "")
    numbers = f"On {name}, " + ", ".join(f"{trial.title}: {_numbers(trial.judged(name))}" for trial in judged)
    if len(judged) == 1:
        alone = f"{judged[0].title} is alone on {name}: there is nothing to compare it to."
        return Answer(alone, f"{numbers}.")
    missing = "the images' features are missing"
    return Answer(f"No verdict on {name}: {missing}.", f"{numbers}; point estimates, for {missing}.")


def _numbers(judgement: Judgement) -> str:
    clip = "" if judgement.clip_score is None else f", CLIP score {judgement.clip_score:.2f}"
    few = ", too few images for a FID" if judgement.too_few_samples else ""
    return f"FID {judgement.fid:.2f}{clip}{few}"


def _forgotten(results: Results) -> list[str]:
    """Who is shown to have got worse at what it was not trained on."""
    found = []
    for name in results.config.sweep.judge:
        if told := forgotten(results, name):
            worse = [f"{one.title} ({one.increase / one.base_loss:+.1%})" for one in told if one.is_shown]
            who = listed(worse) if worse else "no adapter"
            found.append(f"By the denoising loss on real {name} images, {who} is shown to have forgotten something.")
    return found


def _gaps(results: Results) -> list[str]:
    found = []
    for state in ("failed", "unfinished"):
        titles = [trial.title for trial in results.trials if trial.state == state]
        if titles:
            found.append(f"{len(titles)} of {len(results.trials)} trials {state} ({'; '.join(titles)}).")
    if stopped := sum(trial.state == "stopped" for trial in results.trials):
        found.append(f"{stopped} of {len(results.trials)} trials were stopped early.")
    if len(results.trials) < (wanted := trials_wanted(results.config)):
        found.append(f"The search has begun {len(results.trials)} of {wanted} trials.")
    return found
