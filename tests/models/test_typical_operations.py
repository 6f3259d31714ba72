"""What `plan` assumes of published models at once is what counting them layer by layer finds."""

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.models.registry import architecture_of


@pytest.mark.parametrize("preset", ["sdxl", "sd3"])
def test_assumed_operations_are_within_a_sixth_of_counted_ones(preset):
    config = load_run_config("exp2", preset).preset
    architecture, size = architecture_of(config.model), config.picture_size()
    assumed, counted = (one(config.model, size) for one in (architecture.typical_operations, architecture.operations))
    assert vars(assumed) == pytest.approx(vars(counted), rel=1 / 6)


@pytest.mark.parametrize("preset", ["tiny", "tiny-sd3"])
def test_nothing_is_assumed_of_models_of_another_size(preset):
    config = load_run_config("exp2", preset).preset
    assert architecture_of(config.model).typical_operations(config.model, config.picture_size()) is None
