"""What is read off a config is what diffusers and transformers build from it; what sweeps call the parts."""

import json
from pathlib import Path

import pytest

from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.layer_stack import layers_in
from fashion_sweep.models.sd3.architecture import SD3
from fashion_sweep.models.sd3.layers import layers_of, network_on_meta
from fashion_sweep.models.sd3.sources import SOURCES

MODELS = ("stabilityai/stable-diffusion-3-medium-diffusers", "stabilityai/stable-diffusion-3.5-medium")


def folder_of(base):
    return SOURCES.locate_architecture(base, "model.base")


@pytest.mark.parametrize("component", ["transformer", "text_encoder", "text_encoder_2"])
@pytest.mark.parametrize("model", [*MODELS, None])
def test_layers_and_parameters_are_those_of_the_network(model, component, base):
    folder = folder_of(model or base)
    read, built = layers_of(folder, component), layers_in(network_on_meta(folder, component))
    assert read.shapes == {name.removeprefix("text_model."): shape for name, shape in built.shapes.items()}
    assert read.parameters == built.parameters


def test_the_published_sizes():
    sizes = [layers_of(folder_of(model), "transformer").parameters for model in MODELS]
    assert sizes == [2_028_328_000, 2_243_171_520]


@pytest.mark.parametrize(
    ("part", "parameters"),
    [
        ("transformer", 2 * (24 * (4 * 2 * 1536 + 3 * 2 * 1536) + 23 * 2 * 1536)),
        ("transformer.attn", 2 * 24 * 4 * 2 * 1536),
        ("transformer.add_attn", 2 * (24 * 3 + 23) * 2 * 1536),
        ("transformer.blocks.0-11.attn", 2 * 12 * 4 * 2 * 1536),
        ("transformer.ff", 2 * 24 * 2 * 5 * 1536),
        ("transformer.ff_context", 2 * 23 * 2 * 5 * 1536),
    ],
)
def test_parts_have_the_names_of_the_two_streams(part, parameters):
    spec = TrialSpec.of({part: 2}, "sd3")
    assert count_parameters(folder_of(MODELS[0]), spec) == parameters


def test_a_second_attention_counts_where_the_model_has_one():
    whole, second = (
        count_parameters(folder_of(MODELS[1]), TrialSpec.of({part: 1}, "sd3"))
        for part in ("transformer", "transformer.attn2")
    )
    plain = count_parameters(folder_of(MODELS[0]), TrialSpec.of({"transformer": 1}, "sd3"))
    assert (whole - second, second) == (plain, 13 * 4 * 2 * 1536)


def test_an_unknown_part_gets_the_nearest():
    with pytest.raises(ConfigError, match="transformer has no 'block'; did you mean 'blocks'"):
        count_parameters(folder_of(MODELS[0]), TrialSpec.of({"transformer.block.0": 1}, "sd3"))


def config_of(folder, change):
    config = json.loads((Path(folder_of(MODELS[1])) / "transformer" / "config.json").read_text())
    (folder / "transformer").mkdir()
    (folder / "transformer" / "config.json").write_text(json.dumps(config | change))


def test_what_a_config_may_say_besides_is_left_to_diffusers(tmp_path):
    config_of(tmp_path, {"of_a_later_version": True})
    read, known = layers_of(str(tmp_path), "transformer"), layers_of(folder_of(MODELS[1]), "transformer")
    assert (read.shapes, read.parameters) == (known.shapes, known.parameters)


def test_a_config_of_another_network_is_refused(tmp_path):
    config_of(tmp_path, {"_class_name": "FluxTransformer2DModel"})
    with pytest.raises(ConfigError, match="has no transformer of a Stable Diffusion 3"):
        layers_of(str(tmp_path), "transformer")


def test_t5_carries_no_adapter():
    assert "text_encoder_3" not in SD3.components


def test_learned_words_have_no_reader_and_are_refused():
    spec = TrialSpec.of({"text_encoders": {"kind": "prompt_tokens", "num_tokens": 2}}, "sd3")
    with pytest.raises(ConfigError, match="text_encoders: no pipeline reads prompt tokens of a base model of sd3"):
        count_parameters(folder_of(MODELS[0]), spec)
