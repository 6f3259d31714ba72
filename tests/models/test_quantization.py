"""Adapters trained on a base model in few bits: as the base at first, drawn there as they were trained, and judged."""

from itertools import product

import pytest
import torch
from torch import nn

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.adapters.formats import count_saved
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models import nf4
from fashion_sweep.models.model import GenerationRequest
from fashion_sweep.models.quantization import is_rounded, plain_weight, weight_shape
from fashion_sweep.models.registry import load_model
from fashion_sweep.models.sdxl.architecture import SDXL
from fashion_sweep.storage.files import read_json
from fashion_sweep.tasks.preflight import check_config, check_trials
from tests.tasks.prepared import finished_run

BITS = ["nf4", "int8"]
KINDS = {
    "lora": {"unet": 2, "text_encoders": 1},
    "dora": {"unet": {"kind": "dora", "rank": 2}},
    "oft": {"unet": {"kind": "oft", "oft_block_size": 4}},
}
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def fresh(config, bits, dtype="float32"):
    return load_model(
        config.preset.model.model_copy(update={"refiner": None, "dtype": dtype, "quantization": bits}), "cpu"
    )


def picture_of(model, config):
    noise = torch.randn(1, 8, 16, 12, generator=torch.Generator().manual_seed(3))
    request = GenerationRequest(["a red dress"], noise, original_size=(160, 109))
    quick = {"num_inference_steps": 3, "refine_fraction": 0.0, "guidance_scale": 3.0}
    return model.sample(request, config.preset.generation.model_copy(update=quick)).int()


@pytest.mark.parametrize("width", [32, 80, 96, 128])
def test_a_product_is_that_of_the_weights_that_are_told_also_where_blocks_straddle_rows(width):
    torch.manual_seed(0)
    layer = nn.Linear(width, 48)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    rounded = nf4.rounded(layer).to("cpu").requires_grad_(False)
    told = plain_weight(rounded)
    assert (told - weight).norm() / weight.norm() < 0.12
    inputs = torch.randn(5, width, requires_grad=True)
    rounded(inputs).square().sum().backward()
    found, inputs.grad = inputs.grad, None
    expected = nn.functional.linear(inputs, told, bias)
    assert torch.allclose(rounded(inputs), expected, atol=1e-5)
    expected.square().sum().backward()
    assert torch.allclose(found, inputs.grad, atol=1e-3)


@pytest.mark.parametrize("bits", BITS)
def test_the_denoiser_s_linear_layers_are_rounded_and_nothing_else(config, bits):
    rounded, plain = fresh(config, bits), fresh(config, None)
    for name, layer in rounded.pipeline.unet.named_modules():
        before = plain.pipeline.unet.get_submodule(name)
        assert is_rounded(layer) == (type(before) is nn.Linear)
        if is_rounded(layer):
            error = (plain_weight(layer).float() - before.weight).norm() / before.weight.norm()
            assert 0 < error < {"nf4": 0.12, "int8": 0.02}[bits]
            assert weight_shape(layer) == tuple(before.weight.shape) == tuple(plain_weight(layer).shape)
    assert not any(map(is_rounded, rounded.pipeline.text_encoder.modules()))
    assert rounded.weight_bytes["base"] < plain.weight_bytes["base"]


@pytest.mark.parametrize(("kind", "bits"), [*product(KINDS, ["nf4"]), ("lora", "int8"), ("oft", "int8")])
def test_an_adapter_starts_as_the_base_is_trained_and_is_drawn_from_its_file_as_it_was_trained(
    config, tmp_path, kind, bits
):
    model, spec = fresh(config, bits), TrialSpec.of(KINDS[kind])
    before = picture_of(model, config)
    parameters = attaching.attach(model.components, spec, config.preset.training, seed=0)
    assert int((picture_of(model, config) - before).abs().max()) <= {"nf4": 1, "int8": 24}[bits]
    draw = torch.Generator().manual_seed(0)
    for parameter in parameters.values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw)
    attaching.save(tmp_path / "pytorch_lora_weights.safetensors", model.components, spec)
    trained = picture_of(model, config)
    attaching.detach(model.components, spec)
    assert torch.equal(picture_of(model, config), before)
    assert int((trained - before).abs().max()) > 10
    path = tmp_path / "pytorch_lora_weights.safetensors"
    assert count_saved(path) == count_parameters(config.preset.model.base, spec)
    with adapted(path, SDXL, model.components):
        drawn = picture_of(model, config)
    # int8 rounds the inputs of layers, too: what differs in the last bit may differ by a step in the next layer
    assert int((drawn - trained).abs().max()) <= {"nf4": 1, "int8": 24}[bits]
    assert float((drawn - trained).abs().float().mean()) < 1
    assert torch.equal(picture_of(model, config), before)


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ("{unet: {kind: lokr, rank: 2}, quantization: nf4}", "peft's LoKr reads the shape of its weights"),
        ("{unet: {kind: dora, rank: 2}, quantization: int8}", "peft's DoRA loses the scales of 8-bit weights"),
        ("{unet: {rank: 2, init_lora_weights: pissa}, quantization: int8}", "init_lora_weights: pissa takes a part"),
        ("{unet: {rank: 2, init_lora_weights: orthogonal}, quantization: nf4}", "orthogonal begins with plain weights"),
    ],
)
def test_what_needs_the_plain_weights_is_refused_before_anything_is_started(trial, said):
    config = load_run_config("exp2", "tiny", [f"sweep.trials=[{trial}]"])
    for check in (check_config, check_trials):  # before a run, and by plan
        with pytest.raises(ConfigError, match=said) as raised:
            check(config)
        assert "\n" not in str(raised.value)


def test_autocast_to_another_dtype_reaches_the_inputs_of_a_rounded_layer():
    torch.manual_seed(0)
    layer = nn.Linear(80, 48)
    rounded = nf4.rounded(layer).to("cpu").requires_grad_(False)
    inputs = torch.randn(5, 80, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        rounded(inputs).float().square().sum().backward()
    found, inputs.grad = inputs.grad, None
    rounded(inputs).square().sum().backward()
    assert found.dtype == torch.float32
    assert torch.allclose(found, inputs.grad, rtol=0.05, atol=0.3)


def test_an_optimizer_with_one_rate_refuses_adapters_with_rates_of_their_own():
    for adapter in (
        "unet: {rank: 2, loraplus_lr_ratio: 4}",
        "text_encoders: {kind: prompt_tokens, num_tokens: 2, learning_rate: 0.01}",
    ):
        config = load_run_config("exp2", "tiny", [f"sweep.trials=[{{{adapter}, optimizer: prodigy}}]"])
        with pytest.raises(ConfigError, match=r"learns at a rate of its own, and training.optimizer prodigy has one"):
            check_trials(config)
        check_trials(load_run_config("exp2", "tiny", [f"sweep.trials=[{{{adapter}}}]"]))


def test_without_bitsandbytes_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("fashion_sweep.models.checks.find_spec", lambda name: None)
    config = load_run_config("exp9", "tiny")
    with pytest.raises(ConfigError, match=r"quantization: needs bitsandbytes; .*fashion-sweep\[quantization\]"):
        check_config(config)


QUICK = ["training.steps=3", "training.views=1", "generation.num_inference_steps=2", "generation.refine_fraction=0"]
QUICK += ["evaluation.samples=160", "sweep.sample_prompts=[]", "sweep.trials=[{unet: 1}, {unet: 1, quantization: nf4}]"]


def test_a_sweep_trains_on_4_bits_and_judges_on_both_base_models(fashion_root, runs_root):
    config = load_run_config("exp9", "tiny", [f"data.fashion.root={fashion_root}", *QUICK])
    assert config.preset.data["fashion_nf4"].root == str(fashion_root)
    run = finished_run("mine", config)
    plain, rounded = (read_json(run.trial(spec.trial_id).result) for spec in config.specs)
    for result in (plain, rounded):
        assert result["evaluations"].keys() == {"fashion", "fashion_nf4"}
        assert result["evaluations"]["fashion"]["fid"] != result["evaluations"]["fashion_nf4"]["fid"]
        assert "loss_increase" not in result["evaluations"]["fashion_nf4"]
    assert plain["train_loss"] != rounded["train_loss"]
    assert plain["evaluations"]["fashion"]["fid"] != rounded["evaluations"]["fashion"]["fid"]
    assert "UNet rank 1, base = nf4" in run.report.read_text(encoding="utf-8")
