"""Says beforehand how a sweep will be judged."""

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.judging.looks import entrants, looks_of, race_shares


def race_sentences(config: RunConfig) -> list[str]:
    """Returns what there is to say of judging: its images, its looks, and what a race is likely to save."""
    looks = {name: looks_of(config, name) for name in config.sweep.judge}
    if not looks:
        return []
    trainings = entrants(config) * config.sweep.seeds
    total = sum(one[-1] for one in looks.values()) * trainings
    each = " and ".join(f"{one[-1]:,} on {name}" for name, one in looks.items())
    said = f"Judging: {trainings} × {each} = {total:,} images"
    if (shares := race_shares(config)) is None:
        return [f"{said}."]
    low, high = shares
    at = [f"after {', '.join(f'{images:,}' for images in one)} on {name}" for name, one in looks.items()]
    budget = config.sweep.choose.budget
    most = [
        *([f"{budget.images:,} images of a data set"] if budget.images else []),
        *([f"{budget.hours:g} hours of lanes"] if budget.hours else []),
    ]
    limit = f", and at most {' or '.join(most)} (sweep.choose.budget)" if most else ""
    return [
        f"{said} with sweep.choose.race=false. A race looks at a trial's images {'; '.join(at)}, and is likely to take "
        f"{low:.0%} to {high:.0%} of all, by replays of the tiny preset{limit}; rehearse says it in hours."
    ]
