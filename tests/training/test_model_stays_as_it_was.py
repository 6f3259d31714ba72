"""A model that one trial has used is as good as new for the next one."""

import pytest
import torch

from fashion_sweep.adapters import attaching
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.models.registry import load_model

DORA = {"kind": "dora", "rank": 2}
SPECS = [{"unet": 2}, {"text_encoders": 1}, {"unet": DORA, "text_encoders": 2}]


def state_of(model):
    """Everything of a model that training could leave behind, but the function that checkpointing would call."""
    return {
        f"{part}.{name}": (
            type(module),
            module.training,
            getattr(module, "gradient_checkpointing", False),
            [*module._modules],
            {
                key
                for key in module.__dict__
                if not key.startswith(("_gradient_checkpointing", "gradient_checkpointing"))
            }
            - {"_require_grads_hooks"},
            len(module._forward_hooks) + len(module._forward_pre_hooks),
        )
        for part, component in model.components.items()
        for name, module in component.named_modules()
    }


@pytest.mark.parametrize("ranks", SPECS, ids=str)
def test_what_was_attached_is_taken_off_without_a_trace(config, ranks):
    model, spec = load_model(config.preset.model, "cpu", for_pictures=True), TrialSpec.of(ranks)
    before = state_of(model)
    weights = {part: {k: v.clone() for k, v in one.state_dict().items()} for part, one in model.components.items()}
    for parameter in attaching.attach(model.components, spec, config.preset.training, seed=1).values():
        parameter.data.add_(1.0)
    model.prepare_training(spec.components, gradient_checkpointing=True)
    model.finish_training()
    attaching.detach(model.components, spec)
    assert state_of(model) == before
    for part, one in model.components.items():
        assert all(torch.equal(value, weights[part][name]) for name, value in one.state_dict().items())
        assert not any(parameter.requires_grad for parameter in one.parameters())
