import pytest
import torch
from safetensors.torch import load_file

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.adapters.formats import count_saved
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.model import Batch
from fashion_sweep.models.sdxl.architecture import SDXL as SDXL_ARCHITECTURE
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.models.sdxl.sources import SOURCES

SDXL_CONFIGS = SOURCES.locate_architecture("stabilityai/stable-diffusion-xl-base-1.0", "model.base")


def training(config, **changes):
    return config.preset.training.model_copy(update=changes)


@pytest.fixture
def fresh(config):
    return SDXLModel.load(config.preset.model, "cpu")


@pytest.mark.parametrize(
    ("ranks", "published"),
    [
        ({"unet": 1}, 1_451_520),
        ({"unet": 64}, 92_897_280),
        ({"text_encoder": 1}, 73_728),
        ({"text_encoder_2": 1}, 327_680),
        ({"text_encoders": 8}, 3_211_264),
        ({"unet": 1, "text_encoders": 4}, 3_057_152),
    ],
)
def test_parameters_of_sdxl_are_those_of_the_study(ranks, published):
    assert count_parameters(SDXL_CONFIGS, TrialSpec.of(ranks)) == published


@pytest.mark.parametrize("targets", [("to_q", "to_k"), ("to_q", "ff.net.2")])
def test_other_target_modules_are_attached_as_they_are_counted(fresh, config, targets):
    spec = TrialSpec.of({"unet": 2})
    parameters = attaching.attach(fresh.components, spec, training(config, target_modules=targets), seed=0)
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in parameters} == {t.rsplit(".")[-1] for t in targets}
    attached = sum(parameter.numel() for parameter in parameters.values())
    assert attached == count_parameters(SOURCES.locate(config.preset.model.base, "base"), spec, targets)


def test_target_modules_that_a_component_has_not_are_told(config):
    base = SOURCES.locate(config.preset.model.base, "base")
    with pytest.raises(ConfigError, match="text_encoder has no layer named to_q"):
        count_parameters(base, TrialSpec.of({"text_encoders": 1}), ("to_q",))


def test_a_folder_of_ones_own_is_counted_whatever_its_name(tmp_path):
    own = tmp_path / "stable-diffusion-xl-base-1.0"
    own.mkdir()
    assert SOURCES.locate_architecture(str(own), "model.base") == str(own)


@pytest.mark.parametrize("ranks", [{"unet": 1}, {"unet": 3, "text_encoders": 2}])
def test_the_planned_count_is_the_attached_and_the_saved_one(fresh, config, tmp_path, ranks):
    spec = TrialSpec.of(ranks)
    parameters = attaching.attach(fresh.components, spec, training(config), seed=0)
    attached = sum(parameter.numel() for parameter in parameters.values())
    path = tmp_path / "pytorch_lora_weights.safetensors"
    attaching.save(path, fresh.components, spec)
    assert attached == count_saved(path) == count_parameters(SOURCES.locate(config.preset.model.base, "base"), spec)


def test_a_fresh_adapter_changes_nothing_and_its_start_is_a_function_of_the_seed(fresh, config):
    conditioning = {"time_ids": torch.ones(2, 6), **fresh.encode_text(["a shirt", "a hat"])}
    batch = Batch(*torch.randn(2, 2, 8, 16, 12), torch.tensor([500, 20]), conditioning)
    with torch.no_grad():
        before = fresh.loss(batch)
        parameters = attaching.attach(fresh.components, TrialSpec.of({"unet": 2}), training(config), seed=5)
        assert torch.equal(before, fresh.loss(batch))
    torch.manual_seed(123)
    again = attaching.attach(
        SDXLModel.load(config.preset.model, "cpu").components, TrialSpec.of({"unet": 2}), training(config), seed=5
    )
    assert all(torch.equal(parameters[name], again[name]) for name in parameters)
    assert any(parameter.abs().max() > 0 for name, parameter in parameters.items() if "lora_A" in name)


@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize("start", ["gaussian", "orthogonal", "pissa", "olora"])
def test_whatever_it_starts_from_it_changes_nothing_and_leaves_no_trace(fresh, config, tmp_path, start, kind):
    spec = TrialSpec.of({"unet": {"kind": kind, "rank": 4, "init_lora_weights": start, "lora_alpha": 2.0}})
    conditioning = {"time_ids": torch.ones(2, 6), **fresh.encode_text(["a shirt", "a hat"])}
    batch = Batch(*torch.randn(2, 2, 8, 16, 12), torch.tensor([500, 20]), conditioning)
    weights = {name: weight.clone() for name, weight in fresh.pipeline.unet.named_parameters()}
    with torch.no_grad():
        before = fresh.loss(batch)
        parameters = attaching.attach(fresh.components, spec, training(config), seed=5)
        assert torch.allclose(before, fresh.loss(batch), atol=1e-5)
        firsts = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        for index, parameter in enumerate(parameters.values()):
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
        trained = fresh.loss(batch)
        path = tmp_path / "pytorch_lora_weights.safetensors"
        attaching.save(path, fresh.components, spec)
        attaching.detach(fresh.components, spec)
        assert all(torch.equal(weight, weights[name]) for name, weight in fresh.pipeline.unet.named_parameters())
        again = attaching.attach(fresh.components, spec, training(config), seed=5)
        assert all(torch.equal(again[name], first) for name, first in firsts.items())
        attaching.detach(fresh.components, spec)
        with adapted(path, SDXL_ARCHITECTURE, fresh.components):
            fused = fresh.loss(batch)
        fresh.pipeline.load_lora_weights(tmp_path)
        loaded = fresh.loss(batch)
    assert not torch.allclose(trained, before, atol=1e-3)
    assert torch.allclose(trained, fused, atol=1e-4)
    assert torch.allclose(trained, loaded, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"unet.resnets": {"rank": 2, "init_lora_weights": "pissa"}},
            "pissa is for linear layers, and down_blocks.0.res",
        ),
        ({"unet": {"rank": 3, "init_lora_weights": "orthogonal"}}, "orthogonal needs an even rank, not 3"),
        ({"unet": {"rank": 2048, "init_lora_weights": "olora"}}, "olora needs a rank of at most the width, and"),
    ],
)
def test_a_start_that_cannot_be_is_told_when_it_is_planned(values, said):
    with pytest.raises(ConfigError, match=said):
        count_parameters(SDXL_CONFIGS, TrialSpec.of(values))


def test_rank_and_alpha_survive_the_way_through_the_file(fresh, config, tmp_path):
    spec = TrialSpec.of({"unet": 4, "text_encoders": 2})
    parameters = attaching.attach(fresh.components, spec, training(config, lora_alpha=3.0), seed=0)
    for parameter in parameters.values():
        parameter.data.normal_(std=0.1)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    attaching.save(path, fresh.components, spec)
    plain = SDXLModel.load(config.preset.model, "cpu")
    plain.pipeline.load_lora_weights(tmp_path)
    read = plain.pipeline.unet.peft_config["default_0"]
    assert (read.r, read.lora_alpha) == (4, 3.0)
    conditioning = {"time_ids": torch.ones(1, 6), **fresh.tokenize(["a blue shirt"])}
    batch = Batch(*torch.randn(2, 1, 8, 16, 12), torch.tensor([300]), conditioning)
    with torch.no_grad():
        trained, loaded = fresh.loss(batch), plain.loss(batch)
        untouched = SDXLModel.load(config.preset.model, "cpu").loss(batch)
    assert torch.allclose(trained, loaded, atol=1e-5)
    assert not torch.allclose(trained, untouched, atol=1e-3)


def test_every_attention_projection_is_adapted_and_nothing_else(fresh, config, tmp_path):
    spec = TrialSpec.of({"unet": 1})
    attaching.attach(fresh.components, spec, training(config), seed=0)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    attaching.save(path, fresh.components, spec)
    adapted = {name.removeprefix("unet.").rsplit(".lora_", 1)[0] for name in load_file(path)}
    attention = {
        name.replace(".base_layer", "")
        for name, _ in fresh.pipeline.unet.named_modules()
        if name.replace(".base_layer", "").endswith(("to_q", "to_k", "to_v", "to_out.0"))
    }
    assert adapted == attention
