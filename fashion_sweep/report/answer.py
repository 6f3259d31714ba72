"""The answer of a single run in one sentence: point estimates only, and it says so."""

from fashion_sweep.report.results import Judgement, Results, TrialResult


def sentence(results: Results) -> str:
    """Who has the lowest FID and what the smallest adapter loses against it; a sentence an evaluation set."""
    said = [_about(results, name) for name in results.config.sweep.judge]
    return " ".join(said)


def _about(results: Results, name: str) -> str:
    judged = [trial for trial in results.trials if trial.judged(name).fid is not None]
    where = f" on {name}" if len(results.config.sweep.judge) > 1 else ""
    gaps = _gaps(results)
    if not judged:
        return f"No trial has a FID{where}, so there is no answer{gaps}."
    best = min(judged, key=lambda trial: _fid(trial, name))
    if len(judged) == 1:
        reached = f"FID {_fid(best, name):.2f}{_clip(best.judged(name))}{where}"
        comparison = f"{best.title} reaches {reached}, with nothing to compare it to"
    elif one := _one_against_the_base(judged):
        comparison = _brought(*one, name)
    else:
        comparison = (
            f"{best.title} has the lowest FID{where} ({_fid(best, name):.2f}{_clip(best.judged(name))})"
            + _others(judged, best, name)
        )
    return f"{comparison}; {_caveat([trial.judged(name) for trial in judged])}{gaps}."


def _one_against_the_base(judged: list[TrialResult]) -> tuple[TrialResult, TrialResult] | None:
    """The only adapter and the base model, where these two are all."""
    adapted = [trial for trial in judged if not trial.spec.is_base_model]
    base = [trial for trial in judged if trial.spec.is_base_model]
    return (adapted[0], base[0]) if len(adapted) == len(base) == 1 else None


def _brought(adapted: TrialResult, base: TrialResult, name: str) -> str:
    """What the adapter did to each number of the base model."""
    ours, theirs = adapted.judged(name).clip_score, base.judged(name).clip_score
    moved = [_moved("the FID", _fid(base, name), _fid(adapted, name))]
    moved += [] if ours is None or theirs is None else [_moved("the CLIP score", theirs, ours)]
    where = f" on {name}" if len(base.evaluations) > 1 else ""
    return f"Against the base model, {adapted.title} {' and '.join(moved)}{where}"


def _moved(what: str, before: float, after: float) -> str:
    if abs(after - before) < 0.005:
        return f"leaves {what} at {after:.2f}"
    return f"{'raises' if after > before else 'lowers'} {what} from {before:.2f} to {after:.2f}"


def _others(judged: list[TrialResult], best: TrialResult, name: str) -> str:
    """What the smallest adapter and the base model are against the best."""
    sized = [trial for trial in judged if trial.parameters]
    smallest = min(sized, key=lambda trial: trial.parameters or 0, default=None)
    clauses = []
    if smallest is best:
        clauses.append(f"and is also the smallest adapter ({best.parameters:,} parameters)")
    elif smallest is not None:
        clauses.append(f"{smallest.title}, the smallest adapter, has {_against(smallest, best, name)}")
    base = next((trial for trial in judged if trial.spec.is_base_model and trial is not best), None)
    if base is not None:
        clauses.append(f"the base model without an adapter has {_against(base, best, name, size=False)}")
    first = " " if smallest is best else "; "
    return first + "; ".join(clauses) if clauses else ""


def _against(trial: TrialResult, best: TrialResult, name: str, size: bool = True) -> str:
    parts = [_change(_fid(trial, name) - _fid(best, name), "FID")]
    ours, theirs = trial.judged(name).clip_score, best.judged(name).clip_score
    parts.append(
        "no known CLIP score difference" if ours is None or theirs is None else _change(ours - theirs, "CLIP score")
    )
    text = " and ".join(parts)
    if size and trial.parameters is not None and best.parameters is not None:
        text += f", with {trial.parameters:,} parameters against {best.parameters:,}"
    return text


def _change(difference: float, what: str) -> str:
    if abs(difference) < 0.005:
        return f"the same {what}"
    return f"a {what} {abs(difference):.2f} {'higher' if difference > 0 else 'lower'}"


def _caveat(judged: list[Judgement]) -> str:
    """How far the numbers carry."""
    counts = sorted({f"{judgement.samples:,}" if judgement.samples else "an unknown number of" for judgement in judged})
    text = f"these are point estimates on {' or '.join(counts)} images from a single run, FID without an interval"
    if len(counts) > 1:
        text += ", and FIDs at different image counts are not comparable"
    elif any(judgement.too_few_samples for judgement in judged):
        text += f", too few for FID with {judged[0].feature_dim} features"
    return text


def _gaps(results: Results) -> str:
    parts = []
    for state in ("failed", "unfinished"):
        titles = [trial.title for trial in results.trials if trial.state == state]
        if titles:
            parts.append(f"{len(titles)} of {len(results.trials)} trials {state} ({'; '.join(titles)})")
    if stopped := sum(trial.state == "stopped" for trial in results.trials):
        parts.append(f"{stopped} of {len(results.trials)} trials were stopped early")
    return f"; {', '.join(parts)}" if parts else ""


def _fid(trial: TrialResult, name: str) -> float:
    fid = trial.judged(name).fid
    assert fid is not None  # only trials with a FID are compared
    return fid


def _clip(judgement: Judgement) -> str:
    return "" if judgement.clip_score is None else f", CLIP score {judgement.clip_score:.2f}"
