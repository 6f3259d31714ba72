"""Kinds of adapters in sweeps: how they are written, named, counted and chosen, whatever options they have."""

from collections.abc import Mapping

import optuna
import pytest
from pydantic import PositiveInt

from fashion_sweep.adapters.kind import AdapterKind
from fashion_sweep.cluster.suggestions import Choices
from fashion_sweep.config.adapter_columns import adapter_columns
from fashion_sweep.config.loading import load_run_config, read_run_config
from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.errors import ConfigError
from fashion_sweep.planning.plan import plan, resolved
from fashion_sweep.planning.space import feasible
from fashion_sweep.tracking.values import trial_params

WITHOUT_RANKS = "{unet: {kind: shifts, per_layer: 3}}"


class ShiftOptions(AdapterOptions):
    per_layer: PositiveInt


class Shifts(AdapterKind):
    """A kind that has no rank."""

    name, title, family, spellings, formats = "shifts", "shifts", "shifts", {}, {}
    options, axes = ShiftOptions, ("per_layer",)

    def tag(self, options: ShiftOptions) -> str:
        return f"shifts{options.per_layer}"

    def label(self, options: ShiftOptions) -> str:
        return f"{options.per_layer} shifts"

    def count(self, layers: Mapping[str, tuple[int, int]], options: ShiftOptions) -> int:
        return options.per_layer * len(layers)


SHIFTS = Shifts()


@pytest.fixture
def shifts(monkeypatch):
    monkeypatch.setitem(ADAPTER_KINDS.places, "shifts", f"{__name__}:SHIFTS")


def sweep_of(*settings, name="exp2"):
    return load_run_config(name, "tiny", settings)


def test_a_rank_alone_is_a_lora():
    plain, whole = (TrialSpec.of({"unet": value}) for value in (4, {"kind": "lora", "rank": 4}))
    assert plain == whole
    assert (plain.values, plain.trial_id, plain.title) == ({"unet": 4}, "unet-r4", "UNet rank 4")


def test_a_trial_may_have_adapters_of_several_kinds():
    config = sweep_of("sweep.trials=[{unet: {kind: dora, rank: 4}, text_encoders: 2}]")
    (spec,) = config.specs
    assert (spec.trial_id, spec.title) == (
        "unet-dora-r4-text_encoders-r2",
        "UNet DoRA rank 4, text encoders rank 2",
    )
    assert adapter_columns(config) == ["rank", "kind"]


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ("{unet: {kind: drora, rank: 4}}", "unet.kind: unknown adapter kind 'drora'; did you mean 'dora'?"),
        ("{unet: {kind: dora}}", "unet.rank: Field required"),
        ("{unet: {kind: dora, rank: 0}}", "unet.rank: Input should be greater than or equal to 1 (not 0)"),
        ("{unet: {kind: dora, rnk: 4}}", "unet.rnk: is no option of a dora; those are: rank"),
        ("{unt: {kind: dora, rank: 4}}", "sweep.trials.0: 'unt' is no part of this model; did you mean 'unet'?"),
    ],
)
def test_a_mistake_in_an_adapter_is_one_line(trial, said):
    with pytest.raises(ConfigError) as raised:
        sweep_of(f"sweep.trials=[{trial}]")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{placements: [unet], ranks: [1], kinds: [drora]}", "'drora' is no kind of adapter; did you mean 'dora'?"),
        ("{placements: [unet], ranks: [1], kinds: [dora, dora]}", "kinds: dora is listed twice"),
        ("{placements: [unet]}", "lora: rank: Field required"),
        ("{placements: [unet], ranks: [1], options: {tokens: [2]}}", "tokens: is no option of lora"),
        ("{placements: [unet, unt], ranks: [1]}", "sweep.space.placements.1: 'unt' is no part of this model"),
        ("{placements: [unet], ranks: [1], budget: {equal_to: {unt: 1}}}", "sweep.space.budget.equal_to: 'unt' is no"),
    ],
)
def test_a_mistake_in_a_space_of_kinds_is_one_line(space, said):
    with pytest.raises(ConfigError) as raised:
        sweep_of(f"sweep.space={space}", name="exp1")
    assert said in str(raised.value)


def test_a_space_tries_each_kind_and_a_trial_of_it_has_one():
    config = resolved(
        sweep_of(
            "sweep.space={placements: [unet, text_encoders], ranks: [2], kinds: [lora, dora]}".replace(
                " kinds", " kinds"
            ),
            name="exp1",
        )
    )
    assert sorted(spec.trial_id for spec in config.specs) == [
        "text_encoders-dora-r2",
        "text_encoders-r2",
        "unet-dora-r2",
        "unet-dora-r2-text_encoders-dora-r2",
        "unet-r2",
        "unet-r2-text_encoders-r2",
    ]


def test_a_search_chooses_among_kinds(shifts):
    space = (
        "{placements: [unet, text_encoders], ranks: [1, 2], kinds: [lora, dora, shifts], options: {per_layer: [3, 5]}}"
    )
    config = sweep_of(f"sweep.space={space}", "sweep.search={trials: 4}", name="search")
    choices = Choices(config.sweep.space, feasible(config, config.sweep.space))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    specs = [choices.suggest(study.ask()) for _ in range(40)]
    assert {spec.adapters[0].kind for spec in specs} == {"lora", "dora", "shifts"}
    assert all(len({one.kind for one in spec.adapters}) == 1 for spec in specs)


def test_a_kind_without_ranks_is_planned_named_and_told_as_its_options_are(shifts, tmp_path):
    config = sweep_of(f"sweep.trials=[{WITHOUT_RANKS}, {{unet: 2}}, {{}}]")
    first = plan(config)[0]
    assert (first.trial_id, first.title, first.parameters) == ("unet-shifts3", "UNet 3 shifts", 3 * 88)
    assert first.adapters == {"unet": {"kind": "shifts", "per_layer": 3}}
    told = [{k: v for k, v in trial_params(config, spec, {}).items() if k.startswith("unet")} for spec in config.specs]
    assert told == [
        {"unet_per_layer": 3, "unet_rank": 0, "unet_kind": "shifts"},
        {"unet_per_layer": 0, "unet_rank": 2, "unet_kind": "lora"},
        {"unet_per_layer": 0, "unet_rank": 0, "unet_kind": "none"},
    ]
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert read_run_config(path) == config
