"""The trials of a space: the same as a look at every combination would find, and found where there are too many."""

from itertools import product

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.search_space import Space
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.planning.space import feasible, parameters_of

CONFIG = load_run_config("exp1", "sdxl")
BLOCKS = ["unet.down_blocks.1", "unet.down_blocks.2", "unet.mid_block", "unet.up_blocks.0", "unet.up_blocks.1"]


def space(**values):
    return Space.model_validate(values)


def ids(specs):
    return [spec.trial_id for spec in specs]


@pytest.mark.parametrize(
    "budget",
    [
        {"parameters": 3_000_000, "tolerance": 0.1},
        {"equal_to": {"unet": 2}, "tolerance": 0},
        {"at_most": 900_000},
    ],
)
def test_it_has_every_combination_that_meets_the_budget_and_no_other(budget):
    ranks = [4, 1, 2]
    found = feasible(CONFIG, space(placements=BLOCKS, ranks=ranks, budget=budget))
    target = budget.get("at_most") or budget.get("parameters") or 2_903_040
    low = 0 if "at_most" in budget else target * (1 - budget["tolerance"])
    high = target if "at_most" in budget else target * (1 + budget["tolerance"])
    every = [
        TrialSpec.of(dict(zip(BLOCKS, chosen, strict=True)))
        for chosen in product([0, *ranks], repeat=len(BLOCKS))
        if any(chosen)
    ]
    assert sorted(ids(found)) == sorted(ids(spec for spec in every if low <= parameters_of(CONFIG, spec) <= high))
    sizes = [parameters_of(CONFIG, spec) for spec in found]
    assert sizes == sorted(sizes)


def test_a_million_combinations_are_searched_for_those_that_meet_a_budget():
    wide = space(placements=BLOCKS, ranks=[*range(1, 17)], budget={"equal_to": {"unet": 2}, "tolerance": 0.0001})
    found = feasible(CONFIG, wide)
    assert dict.fromkeys(BLOCKS, 2) in [spec.adapter_values for spec in found]
    assert all(abs(parameters_of(CONFIG, spec) - 2_903_040) <= 290 for spec in found)


def test_parts_that_have_layers_in_common_are_not_adapted_together():
    found = feasible(CONFIG, space(placements=["unet", "unet.attn1", "unet.attn2", "unet.mid_block"], ranks=[1]))
    assert sorted(ids(found)) == sorted(
        ["unet-r1", "unet.attn1-r1", "unet.attn2-r1", "unet.mid_block-r1", "unet.attn1-r1-unet.attn2-r1"]
    )


def test_more_trials_than_anyone_runs_are_told():
    with pytest.raises(ConfigError, match="space: has more than 10,000 trials; give fewer values"):
        feasible(CONFIG, space(placements=BLOCKS, ranks=[*range(1, 30)]))


def test_more_combinations_than_can_be_looked_at_are_told(monkeypatch):
    monkeypatch.setattr("fashion_sweep.planning.space.MOST_STEPS", 1000)
    with pytest.raises(ConfigError, match="space: more than 1,000 combinations would have to be looked at"):
        feasible(CONFIG, space(placements=BLOCKS, ranks=[*range(1, 9)], budget={"parameters": 3_000_000}))


def test_all_grids_of_a_space_share_the_limit(monkeypatch):
    monkeypatch.setattr("fashion_sweep.planning.space.MOST_STEPS", 1000)
    rates = {"learning_rate": [1e-5 * number for number in range(1, 40)]}
    with pytest.raises(ConfigError, match="space: more than 1,000 combinations would have to be looked at"):
        feasible(CONFIG, space(placements=BLOCKS[:3], ranks=[1, 2, 3], training=rates))


def test_too_many_trainings_and_too_many_options_are_told_before_they_are_listed():
    numbers = [*range(1, 20)]
    axes = {"learning_rate": [1e-5 * n for n in numbers], "warmup_steps": numbers, "weight_decay": numbers}
    with pytest.raises(ConfigError, match="space: 130,321 combinations of kinds and training; give fewer values"):
        feasible(CONFIG, space(placements=["unet"], ranks=[1], training=axes | {"noise_offset": numbers}))
    with pytest.raises(ValueError, match="lora: has 16,000 combinations of options; give fewer values"):
        space(
            placements=["unet"],
            ranks=[*range(1, 41)],
            options={"lora_alpha": [*range(1, 21)], "lora_dropout": [0.01 * n for n in range(20)]},
        )


def test_axes_of_training_do_not_change_what_is_counted_but_target_modules_do():
    targets = [["to_q"], ["to_q", "to_k"]]
    found = feasible(
        CONFIG,
        space(placements=["unet"], ranks=[1], training={"target_modules": targets, "learning_rate": [1e-5, 1e-4]}),
    )
    sizes = [parameters_of(CONFIG, spec) for spec in found]
    assert len(found) == 4
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3]


def test_trials_that_would_have_one_name_are_told(monkeypatch):
    monkeypatch.setattr(TrialSpec, "trial_id", property(lambda spec: "same"))
    with pytest.raises(ConfigError, match="space: two of its trials would be called 'same'"):
        feasible(CONFIG, space(placements=["unet"], ranks=[1, 2]))


def test_where_nothing_meets_the_budget_the_nearest_are_named():
    with pytest.raises(ConfigError) as raised:
        feasible(CONFIG, space(placements=["unet"], ranks=[1, 64], budget={"parameters": 10_000_000}))
    assert "no placement has 9,000,000 to 11,000,000 parameters; the nearest: UNet rank 1 with 1,451,520; " in str(
        raised.value
    )


KINDS = {"placements": ["unet"], "kinds": ["lora", "dora", "lokr", "loha", "oft"], "ranks": [1, 2, 4, 8, 16, 32]}
OPTIONS = {"oft_block_size": [2, 4, 8, 16, 32], "decompose_factor": [4, 8]}


def test_each_kind_comes_with_the_size_that_is_nearest_to_the_budget():
    wide = space(**KINDS, options=OPTIONS, budget={"equal_to": {"unet": 4}, "nearest": True})
    found = {spec.adapters[0].kind: parameters_of(CONFIG, spec) for spec in feasible(CONFIG, wide)}
    assert found.keys() == {*KINDS["kinds"]}
    assert found["lora"] == found["loha"] == 4 * 1_451_520
    every = feasible(CONFIG, space(**KINDS, options=OPTIONS))
    for kind, size in found.items():
        sizes = [parameters_of(CONFIG, spec) for spec in every if spec.adapters[0].kind == kind]
        assert abs(size - found["lora"]) == min(abs(other - found["lora"]) for other in sizes)


def test_each_kind_comes_once_for_each_training():
    training = {"learning_rate": [1e-5, 1e-4]}
    wide = space(**KINDS, options=OPTIONS, training=training, budget={"parameters": 5_000_000, "nearest": True})
    found = [(spec.adapters[0].kind, dict(spec.training)["learning_rate"]) for spec in feasible(CONFIG, wide)]
    assert sorted(found) == sorted(product(KINDS["kinds"], [1e-5, 1e-4]))


@pytest.mark.parametrize(
    "budget", [{"at_most": 5, "nearest": True}, {"parameters": 5, "nearest": True, "tolerance": 0}]
)
def test_the_nearest_size_is_of_a_budget_without_a_tolerance(budget):
    with pytest.raises(ValueError, match="nearest: goes with parameters or equal_to, and without a tolerance"):
        space(**KINDS, options=OPTIONS, budget=budget)
