"""Each format read by the tool that it is for, and compared by the pixels of an image."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils.state_dict_utils import (
    DIFFUSERS_OLD_TO_PEFT,
    convert_state_dict,
    convert_unet_state_dict_to_peft,
)
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from safetensors.torch import load_file

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.counting import count_parameters, shapes_of
from fashion_sweep.adapters.formats import (
    PEFT_FILE,
    SavedAdapter,
    read_adapter,
    read_metadata,
    write_diffusers,
    write_kohya,
    write_peft,
)
from fashion_sweep.adapters.metadata import base_model_id, own_keys, sd_scripts_keys
from fashion_sweep.adapters.placing import placed_layers
from fashion_sweep.adapters.reading import misfit
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.models.model import GenerationRequest
from fashion_sweep.models.sdxl.architecture import SDXL as SDXL_ARCHITECTURE
from fashion_sweep.models.sdxl.layers import layers_of
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.models.sdxl.sources import SOURCES

SPECS = {
    "unet": (TrialSpec.of({"unet": 4}), None),
    "ranks of their own": (TrialSpec.of({"unet": 4, "text_encoder": 2, "text_encoder_2": 3}), None),
    "text encoders": (TrialSpec.of({"text_encoders": 4}), None),
    "parts with ranks and alphas of their own": (
        TrialSpec.of(
            {
                "unet.up_blocks.0": {"rank": 4, "lora_alpha": "rank"},
                "unet.mid_block": 1,
                "unet.down_blocks+up_blocks.1": {"rank": 2, "lora_alpha": 5.0},
                "text_encoder.layers.0": 3,
            }
        ),
        None,
    ),
    "convolutions and feed-forward layers": (TrialSpec.of({"unet.resnets": 2, "unet.ff": 3}), None),
    "every layer that kohya names": (
        TrialSpec.of({"unet": 2, "text_encoders": 1}),
        ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "time_emb_proj",
         "linear_1", "linear_2", "q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=SPECS)
def adapter(request, config, tmp_path_factory):
    """A file as training saves it, with lora_alpha 3, and its spec; B drawn at random, strong enough to be seen."""
    spec, targets = SPECS[request.param]
    training = config.preset.training.model_copy(update={"lora_alpha": 3.0, "target_modules": targets})
    model = fresh(config)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in attaching.attach(model.components, spec, training, seed=0).items():
        if ".lora_B." in name:
            parameter.data = 0.4 * torch.randn(parameter.shape, generator=draw)
    path = tmp_path_factory.mktemp("adapter") / "pytorch_lora_weights.safetensors"
    attaching.save(path, model.components, spec, own_keys(config, spec, "mine"))
    return path, spec


def kohya_name(component, layer):
    return SDXL_ARCHITECTURE.saved_name(component, layer, "kohya")


def scale_at(spec, component, layer):
    """The rank and the alpha that the spec has for a layer."""
    placements, training = SDXL_ARCHITECTURE.placements, TrainingConfig.model_construct(lora_alpha=3.0)
    options = next(
        one.options
        for one in spec.adapters
        if component in placements[one.part.placement].components and one.part.has(layer)
    )
    return options.rank, options.alpha(training)


def assert_has_its_scales(module, component, spec, name, usual=None):
    """Each layer that peft has wrapped has the rank and the alpha of the spec; `usual`: this alpha in all layers."""
    wrapped = {key: layer for key, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)}
    assert wrapped
    for layer, one in wrapped.items():
        rank, alpha = scale_at(spec, component, layer)
        factor = (usual or alpha) / rank
        assert (one.r[name], one.scaling[name]) == (rank, pytest.approx(factor))


def fresh(config):
    return SDXLModel.load(config.preset.model.model_copy(update={"refiner": None}), "cpu")


def image(model, config):
    request = GenerationRequest(
        prompts=["a woman in a red cotton dress"],
        noise=torch.randn(1, 8, 16, 12, generator=torch.Generator().manual_seed(3)),
        original_size=(160, 109),
    )
    quick = {"num_inference_steps": 5, "refine_fraction": 0.0}
    return model.sample(request, config.preset.generation.model_copy(update=quick)).int()


@pytest.fixture(scope="module")
def images(adapter, config):
    """Of the original adapter, and of the base model."""
    model = fresh(config)
    untouched = image(model, config)
    model.pipeline.load_lora_weights(adapter[0].parent, weight_name=adapter[0].name)
    return image(model, config), untouched


def check(found, images):
    original, untouched = images
    assert (original - untouched).abs().max() > 30
    assert (found - original).abs().max() <= 1


@pytest.mark.parametrize("write", [write_diffusers, write_kohya])
def test_diffusers_draws_with_the_exported_file_as_with_the_original(adapter, images, config, tmp_path, write):
    saved = read_adapter(adapter[0])
    write(tmp_path / "exported.safetensors", saved, SDXL_ARCHITECTURE, {"said": "something"})
    model = fresh(config)
    model.pipeline.load_lora_weights(tmp_path, weight_name="exported.safetensors")
    read = {name: module for name, module in model.components.items() if hasattr(module, "peft_config")}
    assert read.keys() == {*adapter[1].components}
    for component, module in read.items():
        usual = saved.configs[component]["lora_alpha"] if write is write_kohya else None
        assert_has_its_scales(module, component, adapter[1], "default_0", usual)
    check(image(model, config), images)


def test_peft_draws_with_the_exported_folders_as_with_the_original(adapter, images, config, tmp_path):
    path, spec = adapter
    write_peft(tmp_path, read_adapter(path).with_base("owner/base"), SDXL_ARCHITECTURE, {})
    model = fresh(config)
    assert {folder.name for folder in tmp_path.iterdir()} == set(spec.components)
    for name in spec.components:
        read = PeftModel.from_pretrained(model.components[name], tmp_path / name)
        assert read.peft_config["default"].base_model_name_or_path == "owner/base"
        assert_has_its_scales(read.base_model.model, name, spec, "default")
        held = {key: value for key, value in read.state_dict().items() if ".lora_" in key}
        assert len(held) == len(load_file(tmp_path / name / PEFT_FILE))
    check(image(model, config), images)


def test_every_layer_has_its_alpha_and_tensors_keep_every_bit_unless_alphas_differ(adapter, tmp_path):
    path, spec = adapter
    saved = read_adapter(path)
    write_kohya(tmp_path / "k.safetensors", saved, SDXL_ARCHITECTURE, {})
    found = load_file(tmp_path / "k.safetensors")
    assert len(found) == len(saved.tensors) * 3 // 2
    for (component, layer, half), values in saved.tensors.items():
        name = f"{kohya_name(component, layer)}.lora_{ {'A': 'down', 'B': 'up'}[half] }.weight"
        rank, alpha = scale_at(spec, component, layer)
        usual = saved.configs[component]["lora_alpha"]
        assert found[f"{kohya_name(component, layer)}.alpha"].item() == usual
        assert values.shape["AB".index(half)] == rank
        if half == "A" or alpha == usual:
            assert torch.equal(found[name], torch.from_numpy(values))
        else:
            assert torch.allclose(found[name] * usual, torch.from_numpy(values) * alpha)


SDXL_CONFIGS = SOURCES.locate_architecture("stabilityai/stable-diffusion-xl-base-1.0", "model.base")


@pytest.mark.parametrize(
    ("component", "layer", "name"),
    [
        ("unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
         "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"),
        ("unet", "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_out.0",
         "lora_unet_input_blocks_8_1_transformer_blocks_9_attn2_to_out_0"),
        ("unet", "down_blocks.2.attentions.0.proj_in", "lora_unet_input_blocks_7_1_proj_in"),
        ("unet", "mid_block.attentions.0.transformer_blocks.3.ff.net.0.proj",
         "lora_unet_middle_block_1_transformer_blocks_3_ff_net_0_proj"),
        ("unet", "up_blocks.0.attentions.2.proj_out", "lora_unet_output_blocks_2_1_proj_out"),
        ("unet", "up_blocks.1.attentions.0.transformer_blocks.1.ff.net.2",
         "lora_unet_output_blocks_3_1_transformer_blocks_1_ff_net_2"),
        ("unet", "down_blocks.0.resnets.1.time_emb_proj", "lora_unet_input_blocks_2_0_emb_layers_1"),
        ("unet", "mid_block.resnets.1.time_emb_proj", "lora_unet_middle_block_2_emb_layers_1"),
        ("unet", "up_blocks.2.resnets.2.time_emb_proj", "lora_unet_output_blocks_8_0_emb_layers_1"),
        ("unet", "down_blocks.0.resnets.0.conv1", "lora_unet_input_blocks_1_0_in_layers_2"),
        ("unet", "up_blocks.1.resnets.2.conv_shortcut", "lora_unet_output_blocks_5_0_skip_connection"),
        ("unet", "down_blocks.1.downsamplers.0.conv", "lora_unet_input_blocks_6_0_op"),
        ("unet", "up_blocks.0.upsamplers.0.conv", "lora_unet_output_blocks_2_2_conv"),
        ("unet", "conv_in", "lora_unet_input_blocks_0_0"),
        ("unet", "time_embedding.linear_2", "lora_unet_time_embed_2"),
        ("unet", "add_embedding.linear_1", "lora_unet_label_emb_0_0"),
        ("text_encoder", "encoder.layers.0.self_attn.q_proj", "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"),
        ("text_encoder", "text_model.encoder.layers.11.mlp.fc1", "lora_te1_text_model_encoder_layers_11_mlp_fc1"),
        ("text_encoder_2", "text_model.encoder.layers.31.self_attn.out_proj",
         "lora_te2_text_model_encoder_layers_31_self_attn_out_proj"),
    ],
)  # fmt: skip
def test_kohya_names_are_those_of_the_scheme(component, layer, name):
    assert kohya_name(component, layer) == name


def test_all_linear_layers_of_sdxl_but_one_have_a_kohya_name_of_their_own():
    names = []
    for component in SDXL_ARCHITECTURE.components:
        for layer in layers_of(SDXL_CONFIGS, component).shapes:
            if layer == "text_projection":
                assert kohya_name(component, layer) is None
            else:
                names.append(kohya_name(component, layer))
    assert len(set(names)) == len(names) > 900
    assert all(re.fullmatch(r"lora_(unet|te1|te2)_\w+", name) for name in names)


@pytest.mark.parametrize("ranks", [{"unet": 2}, {"unet": 1, "text_encoders": 4}, {"text_encoders": 8}])
def test_at_full_size_the_tensors_are_the_studys_count_and_diffusers_finds_the_layer_of_each(ranks, tmp_path):
    spec = TrialSpec.of(ranks)
    tensors, configs = {}, {}
    for component in spec.components:
        rank = next(one.options.rank for one in spec.adapters if component.startswith(one.placement[:12]))
        configs[component] = {"r": rank, "lora_alpha": 1.0}
        shapes = shapes_of("sdxl", SDXL_CONFIGS)
        for layer in placed_layers(spec, shapes)[component]:
            outputs, inputs = shapes[component][layer]
            tensors[component, layer, "A"] = np.zeros((rank, inputs), np.float32)
            tensors[component, layer, "B"] = np.zeros((outputs, rank), np.float32)
    path = tmp_path / "mine.safetensors"
    write_kohya(path, SavedAdapter(tensors, configs, {}), SDXL_ARCHITECTURE, {})
    file = load_file(path)
    weights = {name: value for name, value in file.items() if not name.endswith(".alpha")}
    assert sum(value.numel() for value in weights.values()) == count_parameters(SDXL_CONFIGS, spec)
    read, alphas = StableDiffusionXLPipeline.lora_state_dict(file, unet_config=SimpleNamespace(layers_per_block=2))
    text = {name: value for name, value in read.items() if name.startswith("text")}
    unet = {name: value for name, value in read.items() if name.startswith("unet")}
    found = convert_unet_state_dict_to_peft(unet) | convert_state_dict(text, DIFFUSERS_OLD_TO_PEFT)
    assert len(alphas) == len(tensors) / 2
    assert {name.replace(".text_model.", "."): tuple(value.shape) for name, value in found.items()} == {
        f"{component}.{layer}.lora_{half}.weight".replace(".text_model.", "."): values.shape
        for (component, layer, half), values in tensors.items()
    }


@pytest.mark.parametrize(
    "layer", ["conv_norm_out", "down_blocks.0.resnets.0.norm1", "down_blocks.3.downsamplers.0", "mid_block", ""]
)
def test_a_layer_without_a_name_is_refused(layer, tmp_path):
    halves = {("unet", layer, half): np.ones((1, 1), np.float32) for half in "AB"}
    adapter = SavedAdapter(halves, {"unet": {"lora_alpha": 1.0}}, {})
    with pytest.raises(ConfigError, match="--format kohya: has no name for"):
        write_kohya(tmp_path / "k.safetensors", adapter, SDXL_ARCHITECTURE, {})


def test_training_writes_the_base_models_id_and_our_keys_and_no_path_of_this_disk(adapter, config):
    path, spec = adapter
    metadata = read_metadata(path)
    assert SOURCES.locate(config.preset.model.base, "base") not in json.dumps(metadata)
    saved = read_adapter(path)
    assert {config["base_model_name_or_path"] for config in saved.configs.values()} == {"embedded:base"}
    assert json.loads(metadata["fashion_sweep.rank"]) == spec.adapter_values
    said = [metadata[f"fashion_sweep.{key}"] for key in ("base_model", "trigger_words", "run", "trial", "preset")]
    assert said == ["embedded:base", "[]", "mine", spec.trial_id, "tiny"]
    with safe_open(path, "pt") as file:
        text = [name for name in file.keys() if name.startswith("text_encoder")]  # noqa: SIM118
    assert all(re.match(r"text_encoder(_2)?\.text_model\.encoder\.", name) for name in text)


def test_a_file_of_another_make_is_refused(tmp_path, adapter):
    write_kohya(tmp_path / "k.safetensors", read_adapter(adapter[0]), SDXL_ARCHITECTURE, {})
    with pytest.raises(DataError, match="no adapter as training here writes it"):
        read_adapter(tmp_path / "k.safetensors")


def test_an_adapter_with_names_of_an_older_transformers_fits(adapter, model):
    """`text_model.` is in our files; transformers 5 has none in the first text encoder."""
    assert misfit(adapter[0], SDXL_ARCHITECTURE, model.components) is None


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("stabilityai/stable-diffusion-xl-base-1.0", "stabilityai/stable-diffusion-xl-base-1.0"),
        ("embedded:base", "embedded:base"),
        ("/data/models/stable-diffusion-xl-base-1.0", "stable-diffusion-xl-base-1.0"),
        ("./models/mine", "mine"),
        ("~/models/sd_xl_base_1.0.safetensors", "sd_xl_base_1.0"),
    ],
)
def test_a_base_model_on_this_disk_is_called_by_its_name_alone(base, expected):
    assert base_model_id(base) == expected


def test_sd_scripts_keys_tell_one_rank_or_that_they_differ(config):
    said = [
        sd_scripts_keys(config, TrialSpec.of(ranks), "x", "y", 5)
        for ranks in ({"unet": 4}, {"unet": 4, "text_encoders": 2})
    ]
    assert [one["ss_network_dim"] for one in said] == ["4", "Dynamic"]
    assert {one["ss_base_model_version"] for one in said} == {"sdxl_base_v1-0"}
