"""Adapters on Stable Diffusion 3: drawn from their files as they were trained, by ourselves, diffusers and peft."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.adapters.formats import (
    check_format,
    count_saved,
    read_adapter,
    write_diffusers,
    write_kohya,
    write_peft,
)
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.model import GenerationRequest
from fashion_sweep.models.sd3.architecture import SD3
from fashion_sweep.models.sd3.model import SD3Model

PRESET = load_run_config("exp2", "tiny").preset
QUICK = PRESET.generation.model_copy(update={"num_inference_steps": 3, "refine_fraction": 0.0})
SPECS = {
    "both streams and CLIP": {"transformer": 2, "text_encoders": 1},
    "streams apart": {
        "transformer.blocks.0.attn": {"rank": 2, "lora_alpha": "rank"},
        "transformer.add_attn": 3,
        "transformer.ff_context": 1,
    },
    "dora": {"transformer": {"kind": "dora", "rank": 2}},
}


def picture(model):
    noise = torch.randn(1, 4, 8, 6, generator=torch.Generator().manual_seed(3))
    return model.sample(GenerationRequest(["a woman in a red dress"], noise, (160, 110)), QUICK).int()


@pytest.fixture(scope="module", params=SPECS)
def trained(request, sd3_config, tmp_path_factory):
    """A file as training saves it, its spec, and what was drawn with it attached; weights far from where they start."""
    spec, model = TrialSpec.of(SPECS[request.param], "sd3"), SD3Model.load(sd3_config, "cpu")
    parameters = attaching.attach(model.components, spec, PRESET.training, seed=0)
    draw = torch.Generator().manual_seed(0)
    for parameter in parameters.values():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    path = tmp_path_factory.mktemp("adapter") / "pytorch_lora_weights.safetensors"
    attaching.save(path, model.components, spec)
    return path, spec, picture(model)


def test_its_file_draws_what_was_drawn_with_it_attached(trained, sd3, sd3_config):
    path, spec, expected = trained
    plain = picture(sd3)
    with adapted(path, SD3, sd3.components):
        assert (picture(sd3) - expected).abs().max() <= 1
    assert torch.equal(picture(sd3), plain)
    assert (plain - expected).abs().max() > 10
    assert count_saved(path) == count_parameters(sd3_config.base, spec)


def test_diffusers_draws_the_same_with_its_file(trained, sd3_config, tmp_path):
    path, _, expected = trained
    write_diffusers(tmp_path / "exported.safetensors", read_adapter(path), SD3, {})
    model = SD3Model.load(sd3_config, "cpu")
    model.pipeline.load_lora_weights(tmp_path, weight_name="exported.safetensors")
    assert (picture(model) - expected).abs().max() <= 1


def test_peft_draws_the_same_with_its_folders(trained, sd3_config, tmp_path):
    path, spec, expected = trained
    write_peft(tmp_path, read_adapter(path), SD3, {})
    model = SD3Model.load(sd3_config, "cpu")
    for name in spec.components:
        PeftModel.from_pretrained(model.components[name], tmp_path / name)
    assert (picture(model) - expected).abs().max() <= 1


def test_the_file_with_underscores_names_every_layer_and_draws_the_same(trained, sd3, tmp_path):
    path, spec, expected = trained
    if "dora" in spec.trial_id:  # no reader of such files has its norm
        with pytest.raises(ConfigError, match="has no place for DoRA"):
            check_format("kohya", read_adapter(path), SD3)
        return
    write_kohya(tmp_path / "exported.safetensors", read_adapter(path), SD3, {})
    layers = {name for name, layer in sd3.network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    known = {f"lora_transformer_{name.replace('.', '_')}" for name in layers}
    of_transformer = {
        key.partition(".")[0] for key in load_file(tmp_path / "exported.safetensors") if "lora_te" not in key
    }
    assert of_transformer
    assert of_transformer <= known
    with adapted(tmp_path / "exported.safetensors", SD3, sd3.components):
        assert (picture(sd3) - expected).abs().max() <= 1
