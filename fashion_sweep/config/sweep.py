"""The contents of a sweep file: the question, the trials or their space, what is judged, how to choose."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveInt, model_validator
from pydantic import NonNegativeInt as Count

from fashion_sweep.config.frozen import Frozen
from fashion_sweep.config.judging import BySet, Choice, MetricName, Metrics, Published, in_order, with_show
from fashion_sweep.config.search_space import Search, Space, trial_values
from fashion_sweep.config.training_axes import TRAINING_AXES
from fashion_sweep.config.trial_spec import TrialSpec, placement_error

NAME = r"^\w[\w.-]*$"
PHRASE = r"^\w[\w' -]*$"
LONGEST_NAME = 60
"""The most characters of a name."""
Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
"""A name that also becomes a folder's name: letters, digits, `_`, `-` and `.`."""
TAKEN = "caches"


def not_taken(name: str) -> str:
    """Returns a data set's name, unless a run has a file of that name beside those of the data sets."""
    if name == TAKEN:
        raise ValueError(f"a run keeps a file called {name}; give the data set another name")
    return name


SetName = Annotated[str, Field(pattern=r"^\w[\w-]*$", max_length=LONGEST_NAME), AfterValidator(not_taken)]
"""The name of a data set: letters, digits, `_` and `-`."""


class SamplePrompt(Frozen):
    prompt: str
    seed: Count


class Claim(Frozen):
    """A published claim that a sweep tests, shown beside its answer."""

    says: str = Field(min_length=1)
    source: str = Field(min_length=1)


class Garment(Frozen):
    """A garment that is known from one photo."""

    name: Name
    photo: str = Field(min_length=1)
    """The photo, a file or a URL that fsspec knows."""
    kind: str = Field(pattern=PHRASE, max_length=60)
    """The kind as a caption has it, for instance `sweater`."""
    attribute: str = Field("pattern", pattern=PHRASE, max_length=60)
    """What is special about the garment: `pattern` or `colour`."""
    digest: str = Field("", pattern="[0-9a-f]{0,32}")
    """The digest of the photo's bytes; empty where they could not be read."""


class Sweep(Frozen):
    name: Name
    question: str
    claims: list[Claim] = Field([])
    """What others have found of the question."""
    trials: list[Annotated[dict[str, Any], AfterValidator(trial_values)]] = Field([])
    """The trials: a mapping each from placement to adapter (the rank of a LoRA, or a mapping of `kind` and options).
    Beside, a trial may set some of `TRAINING_AXES` for itself. Rank 0 everywhere is the base model."""
    space: Space | None = None
    """The space that trials come from, instead of `trials`."""
    search: Search | None = None
    """The search in the space; null: all of the space is run."""
    task: str = "catalogue"
    """The task, which says what trials learn and are judged by: an entry of `doors.TASKS`."""
    garments: list[Garment] = Field([])
    """The garments; each is a trial: the one adapter of `trials`, trained on that garment's photo alone."""
    seeds: PositiveInt = 1
    """How often each configuration is trained, each time with another seed."""
    judge: Annotated[dict[SetName, Metrics], BySet]
    """The metrics of the verdict, by data set to judge on; `[fashion]` is short for `{fashion: [fid, clip_score]}`.
    A sweep file that says nothing judges on the set that is trained on. Empty: adapters are trained and draw the sample
    prompts, and nothing is measured."""
    show: dict[SetName, list[MetricName]] = Field({})
    """The metrics that are measured and shown without a say in the verdict, by data set; `[kid]` is short for that of
    all sets. A sweep file that says nothing shows KID where FID decides, and what the preset's data set has."""
    choose: Choice = Field(default_factory=lambda: Choice.model_validate({}))
    sample_prompts: list[SamplePrompt] = Field([])
    """The prompts that are the columns of the sample grid."""
    published: dict[SetName, list[Published]] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _show_is_written_out(cls, values: Any) -> Any:
        return with_show(values)

    @model_validator(mode="after")
    def _its_parts_go_together(self) -> "Sweep":
        if bool(self.trials) == bool(self.space):
            raise ValueError("exactly one of trials and space must be given")
        self._check_search()
        self._check_garments()
        if unused := set(self.choose.margins) - {name for names in self.judge.values() for name in names}:
            raise ValueError(f"choose.margins.{min(unused)}: is of no verdict; name it in judge: {{SET: [METRIC]}}")
        return self

    def _check_search(self) -> None:
        ranges = self.space.ranges if self.space else {}
        if self.search is None:
            if ranges:
                raise ValueError(f"space.training.{next(iter(ranges))}: a range needs a search; list the values")
            return
        if self.space is None:
            raise ValueError("search: there is no space to search")
        if not self.judge:
            raise ValueError("search: needs numbers to go by; name what to judge")
        if self.seeds > 1:
            raise ValueError("seeds: a search trains each of its trials once; leave it at 1")
        possible = ["parameters", *self.metrics_on(self.first_judged)]
        if unknown := [name for name in self.search.objectives if name not in possible]:
            raise ValueError(f"search.objectives: {unknown[0]!r} is not measured; one of {', '.join(possible)}")
        if self.search.stop_early and (lengths := {"steps", "epochs"} & set(self.space.training)):
            raise ValueError(f"search.stop_early: needs trials of one length, but space.training has {lengths.pop()}")

    def _check_garments(self) -> None:
        if bool(self.garments) != (self.task == "garment"):
            raise ValueError("garments: are what the task garment is about, and no other task")
        if not self.garments:
            return
        adapted = [values for values in self.trials if not TrialSpec.of(values).is_base_model]
        if len(adapted) != 1 or self.space or self.seeds > 1 or self.judge:
            raise ValueError("garments: go with one adapter in trials, and are not judged as data sets are")
        names = [garment.name.casefold() for garment in self.garments]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"garments: two are called {repeated!r}")

    @property
    def first_judged(self) -> str:
        """The evaluation set that a search goes by."""
        return next(iter(self.judge))

    def metrics_on(self, name: str) -> list[str]:
        """Returns the metrics measured on an evaluation set: those of its verdict, and those shown beside."""
        return in_order([*self.judge[name], *self.show[name]])

    @property
    def metrics(self) -> list[str]:
        """All metrics that are measured on any evaluation set."""
        return in_order(metric for name in self.judge for metric in self.metrics_on(name))

    @property
    def published_and_judged(self) -> dict[str, list[Published]]:
        """The study's rows on sets that this sweep judges."""
        return {name: rows for name, rows in self.published.items() if rows and name in self.judge}

    def misplaced(self, architecture: str) -> str | None:
        """Returns why the sweep cannot be run on base models of `architecture`, by its key; None where it can."""
        placed = {f"trials.{i}": [key for key in one if key not in TRAINING_AXES] for i, one in enumerate(self.trials)}
        if self.space:
            placed |= {f"space.placements.{i}": [name] for i, name in enumerate(self.space.placements)}
            placed["space.budget.equal_to"] = [*((self.space.budget and self.space.budget.equal_to) or ())]
        for key, names in placed.items():
            if error := placement_error(names, architecture):
                return f"{key}: {error}"
        ids = [spec.trial_id for spec in self.specs(architecture)]
        repeated = next((trial_id for trial_id in ids if ids.count(trial_id) > 1), None)
        return f"trials: trial {repeated!r} is listed twice" if repeated else None

    def specs(self, architecture: str) -> list[TrialSpec]:
        """Returns every training of every configuration; the base model, which is not trained, comes once.
        Of a search there are none: see `run.specs.run_specs`."""
        configurations = [TrialSpec.of(values, architecture) for values in self.trials]
        if self.garments:
            names = [garment.name for garment in self.garments]
            of_garments = [replace(s, item=name) for s in configurations if not s.is_base_model for name in names]
            return of_garments + [spec for spec in configurations if spec.is_base_model]
        return [
            replace(spec, replicate=replicate)
            for spec in configurations
            for replicate in range(1 if spec.is_base_model else self.seeds)
        ]
