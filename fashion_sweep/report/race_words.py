"""Says beforehand how a sweep will be judged."""

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.judging.looks import entrants, looks_of, race_shares


def race_sentences(config: RunConfig) -> list[str]:
    """Returns what there is to say of the race: its looks, and what it is likely to save."""
    shares = race_shares(config)
    if shares is None:
        return []
    looks = {name: looks_of(config, name) for name in config.sweep.judge}
    said = [f"after {', '.join(f'{images:,}' for images in one)} on {name}" for name, one in looks.items()]
    total = sum(one[-1] for one in looks.values()) * entrants(config) * config.sweep.seeds
    low, high = shares
    return [
        f"Judging: looks at a trial's images {'; '.join(said)}. A race is likely to take {low:.0%} to {high:.0%} of "
        f"{total:,} images; sweep.choose.race=false takes all."
    ]
