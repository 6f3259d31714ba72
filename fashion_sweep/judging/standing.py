"""How each configuration stands in a race, in a few words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.statistics.bounds import Bound
from fashion_sweep.statistics.race import Race
from fashion_sweep.storage.files import read_what_may_be_lost, write_json


@dataclass(frozen=True)
class RaceStanding:
    """How a configuration stands in a race."""

    images: int
    """The images by which it counts."""
    state: str
    """`chosen` (at the end of the race; before it, the same is `ahead`), `good`, `out`, `goes on` (more of it is
    needed), `open` (nothing more of it will come) or `rests`."""
    why: str
    worse_by: tuple[float, float, float] | None = None
    """By how much it is worse than its strongest rival, with the bounds that its state goes by; None: it has none."""
    metric: str = ""
    """The metric that this is in."""
    rival: str = ""
    on: int = 0
    """The images that both were judged on."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "RaceStanding":
        """Returns what `asdict` and JSON have made of one."""
        worse_by = values["worse_by"]
        numbers = None if worse_by is None else tuple(map(float, worse_by))
        return cls(**{**values, "images": int(values["images"]), "worse_by": numbers})

    @property
    def distance(self) -> str:
        """The distance from the strongest rival in few characters; empty where there is none."""
        if self.worse_by is None:
            return ""
        (metric,) = metrics_of([self.metric])
        value, low, high = map(metric.shown, self.worse_by)
        return f", {metric.short} worse by {value} ({low} to {high})"


def standings(race: Race, is_over: bool) -> dict[str, RaceStanding]:
    """Returns how each configuration stands, by title; is_over: whether no further trial is to join the race."""
    return {one.name: _standing(race, one.name, is_over and race.end is not None) for one in race.measured}


def _standing(race: Race, name: str, is_over: bool) -> RaceStanding:
    bounds = race.bounds_of[name]
    if not bounds.bounds:
        return RaceStanding(race.images[name], "rests", "nothing to compare it to")
    out = bounds.shown_worse_by
    bound = out or bounds.worst
    state, why = _state(race, name, is_over)
    if out:
        why = f"{_than(bound, 'is')} by {bound.metric.shown(bound.at_least)} or more"
    elif not why:
        why = f"{_than(bound, 'may be')} by up to {bound.metric.shown(bound.no_more_than)}"
    interval = (bound.worse_by.value, bound.at_least, bound.no_more_than)
    return RaceStanding(race.images[name], state, why, interval, bound.metric.name, bound.rival, bound.images)


def _than(bound: Bound, verb: str) -> str:
    return f"its {bound.metric.title} {verb} {bound.metric.worse} than that of {bound.rival}"


def _state(race: Race, name: str, is_over: bool) -> tuple[str, str]:
    """Returns the state, and why it is so; empty where a bound says it."""
    bounds, sizes = race.bounds_of[name], {one.name: one.parameters for one in race.measured}
    if bounds.shown_worse_by:
        return "out", ""
    if name == race.chosen:
        why = "shown to be as good as the best"
        return ("chosen", f"the smallest {why}") if is_over else ("ahead", f"the smallest so far that is {why}")
    if bounds.is_good:
        return "good", "as good as the best"
    if race.chosen and sizes[name] >= sizes[race.chosen]:
        return "rests", f"no smaller than {race.chosen}, which is as good as the best"
    if name in race.wanted:
        return "goes on", ""
    return ("rests" if race.end is None else "open"), ""


def write_standings(run: RunPaths, races: Mapping[str, Race], is_over: bool) -> None:
    """Writes how the races of a run stand, for those who look at it while it runs; is_over: as of `standings`."""
    by_set = {name: standings(race, is_over) for name, race in races.items()}
    write_json(run.race, {name: {title: asdict(one) for title, one in by.items()} for name, by in by_set.items()})


def read_standings(run: RunPaths) -> dict[str, dict[str, RaceStanding]]:
    """Returns how the races stood after the last round, by evaluation set and title; empty where there was none."""
    try:
        return {
            name: {title: RaceStanding.read(one) for title, one in by_title.items()}
            for name, by_title in read_what_may_be_lost(run.race).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
