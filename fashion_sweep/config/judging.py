"""The settings of judging in a sweep file: the metrics of each evaluation set, their margins, and published numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic import NonNegativeInt as Count

from fashion_sweep.config.frozen import Frozen
from fashion_sweep.doors import METRICS
from fashion_sweep.errors import did_you_mean

DECIDING = ("fid", "clip_score")
"""The metrics of the verdict, where a sweep names evaluation sets alone."""
SHOWN_BESIDE = {"fid": "kid"}
"""The metric shown with one of the verdict, where a sweep does not say: it needs the same features."""


def _known(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}{did_you_mean(name, METRICS.names)}")
    return name


def in_order(names: Iterable[str]) -> list[str]:
    """Returns the metrics once each, in the order in which tables list them."""
    wanted = set(names)
    return [name for name in METRICS.names if name in wanted]


def _with_metrics(judge: Any) -> Any:
    """Writes out `[fashion]`, which is short for `{fashion: [fid, clip_score]}`."""
    if not isinstance(judge, list):
        return judge
    if any(judge.count(name) > 1 for name in judge):
        raise ValueError("an evaluation set is listed twice")
    return {name: list(DECIDING) for name in judge}


def _increasing(looks: list[int]) -> list[int]:
    if sorted(set(looks)) != looks:
        raise ValueError("each look has more images than the one before")
    return looks


def beside(deciding: Iterable[str]) -> list[str]:
    """Returns the metrics that are shown beside those of a verdict, where nothing is said."""
    return [SHOWN_BESIDE[name] for name in deciding if name in SHOWN_BESIDE]


def with_show(values: Any) -> Any:
    """Writes out a sweep's `show` for each set that it judges: a list is for all, and KID goes with FID where it is
    silent."""
    judge = values.get("judge") if isinstance(values, Mapping) else None
    if isinstance(judge, list):
        judge = dict.fromkeys(map(str, judge), DECIDING)
    if not isinstance(judge, Mapping) or not all(isinstance(metrics, Sequence) for metrics in judge.values()):
        return values  # which is told of it by its own name
    usual = {name: beside(metrics) for name, metrics in judge.items()}
    match values.get("show"):
        case None:
            shown: Any = usual
        case Mapping() as own:
            if unknown := next((name for name in own if name not in judge), None):
                raise ValueError(f"show.{unknown}: is no set that is judged{did_you_mean(str(unknown), judge)}")
            shown = {**usual, **own}
        case own:
            shown = dict.fromkeys(judge, own)
    return {**values, "show": shown}


MetricName = Annotated[str, AfterValidator(_known)]
Metrics = Annotated[list[MetricName], Field(min_length=1), AfterValidator(in_order)]
BySet = BeforeValidator(_with_metrics)


class Published(Frozen):
    """A row of the study's own table: another model and extractor, shown beside ours and never mixed in.

    Beside these keys it has the value of each metric, for instance `fid: 16.74`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FiniteFloat] = Field(init=False)
    configuration: str
    parameters: Count | None = None
    samples: PositiveInt | None = None
    """The number of generated images behind the row."""

    @model_validator(mode="after")
    def _metrics_are_known(self) -> "Published":
        for name in self.metrics:
            _known(name)
        return self

    @property
    def metrics(self) -> dict[str, float]:
        """The values of the row by metric."""
        return self.__pydantic_extra__


class RaceBudget(Frozen):
    """What a race may cost; where it is used up, the race ends with what it knows."""

    images: PositiveInt | None = None
    """The most images drawn for an evaluation set, those of all trials together."""
    hours: PositiveFloat | None = None
    """The hours of judging, those of all lanes together, after which no further round is begun."""


class Choice(Frozen):
    """The rule for choosing the best: margins below which a difference does not matter, fixed beforehand."""

    margins: dict[MetricName, PositiveFloat] = Field({})
    """The margins by metric, in the units of tables.
    A metric without one here has that of the preset (`margins`), else its own, for instance FID 0.5, or 3 %
    of the best FID where that is more."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """The confidence of all that the verdict claims together."""
    race: bool = True
    """Whether judging goes on only for what the verdict still needs; false: all trials on all images."""
    looks: Annotated[list[PositiveInt], AfterValidator(_increasing)] | None = Field(None, min_length=1)
    """The images of a trial at each look of a race; null: `evaluation.samples`, half of them, and so on down to
    what the metrics need."""
    indifference: float = Field(0.75, ge=0, lt=1)
    """The share of a margin, next to it, in which either answer is right: one that is shown to be worse by more than
    the rest is out."""
    budget: RaceBudget = RaceBudget()
    complete: Literal["winner", "front", "all"] | None = None
    """The trials that are judged on all images once the race is over, for numbers to be published."""

    @model_validator(mode="after")
    def _a_budget_is_of_a_race(self) -> "Choice":
        if not self.race and self.budget != RaceBudget():
            raise ValueError("budget: is what a race may cost; with race: false all images are judged")
        return self
