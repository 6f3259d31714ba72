"""What is read off a config is what diffusers and transformers build from it, layer by layer."""

import json
import random
from pathlib import Path

import pytest

from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.models.layer_stack import clip_layers, layers_in
from fashion_sweep.models.sdxl.layers import layers_of, network_on_meta, unet_layers
from fashion_sweep.models.sdxl.sources import SOURCES

PACKAGED = [
    ("stabilityai/stable-diffusion-xl-base-1.0", ("unet", "text_encoder", "text_encoder_2")),
    ("embedded:base", ("unet", "text_encoder", "text_encoder_2")),
    ("embedded:refiner", ("unet", "text_encoder_2")),
]
OTHER_VALUES = {
    "class_embed_type": "timestep",
    "addition_embed_type": "text",
    "mid_block_type": None,
    "conv_in_kernel": 5,
    "dual_cross_attention": True,
    "act_fn": "prelu",
    "norm_num_groups": None,
    "transformer_layers_per_block": [[1, 1], [1, 1], [1, 1]],
    "up_block_types": ["AttnUpBlock2D"] * 3,
    "some_key_of_tomorrow": 1,
}


@pytest.fixture
def config_of(tmp_path):
    """A folder with a component's config."""

    def write(component, config):
        (tmp_path / component).mkdir(exist_ok=True)
        (tmp_path / component / "config.json").write_text(json.dumps(config))
        return str(tmp_path)

    return write


def random_unet(seed):
    rng = random.Random(seed)
    count = rng.choice([2, 3, 4])
    attention = [rng.random() < 0.6 for _ in range(count)]
    layers = [rng.choice([1, 2, 3]) for _ in range(count)]
    config = {
        "block_out_channels": [8 * rng.randint(1, 9) for _ in range(count)],
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)],
        "layers_per_block": rng.choice([layers, 2]),
        "transformer_layers_per_block": rng.choice([[rng.randint(1, 3) for _ in range(count)], 1]),
        "attention_head_dim": rng.choice([[rng.choice([1, 2, 3, 4]) for _ in range(count)], 4]),
        "cross_attention_dim": rng.choice([24, [16 + 8 * level for level in range(count)]]),
        "use_linear_projection": rng.random() < 0.5,
        "norm_num_groups": rng.choice([4, 8]),
        "in_channels": rng.choice([4, 9]),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": rng.choice([64, 72]),
    }
    if rng.random() < 0.3:
        del config["in_channels"], config["layers_per_block"], config["attention_head_dim"]
    return config


def assert_read_as_built(base, component):
    config = json.loads((Path(base) / component / "config.json").read_text())
    read = unet_layers(config) if component == "unet" else clip_layers(config, component == "text_encoder_2")
    built = layers_in(network_on_meta(base, component))
    assert read is not None
    assert layers_of(base, component) == read
    # some of transformers' classes put it before every name
    assert read.shapes == {name.removeprefix("text_model."): shape for name, shape in built.shapes.items()}
    assert read.parameters == built.parameters


@pytest.mark.parametrize(("base", "component"), [(base, part) for base, parts in PACKAGED for part in parts])
def test_packaged_configs_have_the_layers_that_their_libraries_build(base, component):
    assert_read_as_built(SOURCES.locate_architecture(base, "model.base"), component)


@pytest.mark.parametrize("seed", range(12))
def test_unets_of_any_size_have_the_layers_that_diffusers_builds(config_of, seed):
    assert_read_as_built(config_of("unet", random_unet(seed)), "unet")


@pytest.mark.parametrize("component", ["text_encoder", "text_encoder_2"])
@pytest.mark.parametrize("seed", range(3))
def test_text_encoders_of_any_size_have_the_layers_that_transformers_builds(config_of, component, seed):
    rng = random.Random(seed)
    sizes = {"hidden_size": 8 * rng.randint(1, 9), "intermediate_size": rng.randint(10, 90), "num_attention_heads": 4}
    sizes |= {"num_hidden_layers": rng.randint(1, 4), "projection_dim": rng.randint(8, 40)}
    sizes |= {"vocab_size": 999} if seed else {}
    assert_read_as_built(config_of(component, sizes | {"model_type": "clip_text_model"}), component)


@pytest.mark.parametrize("key", OTHER_VALUES)
def test_what_a_config_may_say_besides_is_left_to_diffusers(key):
    assert unet_layers(random_unet(1)) is not None
    assert unet_layers(random_unet(1) | {key: OTHER_VALUES[key]}) is None


def test_a_network_of_another_kind_is_counted_by_building_it(config_of):
    config = random_unet(2) | {"conv_in_kernel": 5}
    widened, plain = count_parameters(config_of("unet", config), TrialSpec.of({"unet": 1})), unet_layers(random_unet(2))
    assert plain is not None
    projections = {"to_q", "to_k", "to_v", "0"}
    assert widened == sum(sum(shape) for name, shape in plain.shapes.items() if name.split(".")[-1] in projections)
