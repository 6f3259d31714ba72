"""Which layers a placement stands for, and how many values an adapter of them has, from configs alone."""

import pytest

from fashion_sweep.adapters.counting import count_parameters, shapes_of
from fashion_sweep.adapters.placing import placed_layers
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.trial_spec import TrialSpec, placement_error
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.sdxl.sources import SOURCES

SDXL = SOURCES.locate_architecture("stabilityai/stable-diffusion-xl-base-1.0", "model.base")
SHAPES = shapes_of("sdxl", SDXL)


def layers(values, targets=None):
    placed = placed_layers(TrialSpec.of(values), SHAPES, targets)
    return {f"{component}.{layer}" for component, of_component in placed.items() for layer in of_component}


@pytest.mark.parametrize(
    ("placement", "parameters"),
    [
        ("unet.down_blocks.1", 52_224),
        ("unet.down_blocks.2", 440_320),
        ("unet.mid_block", 220_160),
        ("unet.up_blocks.0", 660_480),
        ("unet.up_blocks.1", 78_336),
        ("unet.attn1+attn2", 1_451_520),
        ("unet.down_blocks+mid_block+up_blocks", 1_451_520),
        ("text_encoder.layers.0-11", 73_728),
    ],
)
def test_parts_of_sdxl_have_the_studys_parameters_for_each_unit_of_rank(placement, parameters):
    assert count_parameters(SDXL, TrialSpec.of({placement: 1})) == parameters
    assert count_parameters(SDXL, TrialSpec.of({placement: 3})) == 3 * parameters


def test_parts_make_up_the_whole():
    blocks = ["down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.0", "up_blocks.1"]
    assert layers({f"unet.{block}": 1 for block in blocks}) == layers({"unet": 7}) == layers({"unet.attn1+attn2": 2})
    assert not layers({"unet.attn1": 1}) & layers({"unet.attn2": 1})


def test_a_part_has_the_layers_with_these_words_in_this_order():
    assert layers({"unet.up_blocks.0.attn2": 1}) == {
        name for name in layers({"unet.attn2": 1}) if name.startswith("unet.up_blocks.0.")
    }
    assert layers({"unet.up_blocks.0.attentions.0-1": 1}) == {
        name for name in layers({"unet.up_blocks.0": 1}) if name.split(".")[4] in {"0", "1"}
    }
    numbers = {name.split(".layers.")[1].split(".")[0] for name in layers({"text_encoder.layers.8-11": 1})}
    assert numbers == {"8", "9", "10", "11"}


def test_a_part_without_attention_has_all_its_layers_and_convolutions_count_with_their_kernel():
    assert {name.rpartition("ff.")[2] for name in layers({"unet.ff": 1})} == {"net.0.proj", "net.2"}
    assert {name.rsplit(".")[-1] for name in layers({"unet.resnets": 1})} == {
        "conv1",
        "conv2",
        "conv_shortcut",
        "time_emb_proj",
    }
    assert count_parameters(SDXL, TrialSpec.of({"unet.conv_in": 2})) == 2 * (4 * 9 + 320)


def test_parts_put_together_have_what_each_of_them_has():
    assert layers({"unet.attn2+ff": 1}) == layers({"unet.attn2": 1}) | layers({"unet.ff": 1})
    assert layers({"unet.mid_block+up_blocks.0": 1}) == layers({"unet.mid_block": 1}) | layers({"unet.up_blocks.0": 1})
    with pytest.raises(ConfigError, match=r"'unet.up_bloks' is no part of this model; unet has no 'up_bloks'"):
        layers({"unet.mid_block+up_bloks": 1})


def test_target_modules_choose_among_the_layers_of_a_part():
    assert {name.rsplit(".")[-1] for name in layers({"unet.mid_block": 1}, ("to_q", "conv1"))} == {"to_q", "conv1"}
    with pytest.raises(ConfigError, match="target_modules: unet ff has no layer named to_q"):
        layers({"unet.ff": 1}, ("to_q",))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"unet.up_bloks.0": 1}, "'unet.up_bloks.0' is no part of this model; unet has no 'up_bloks'; did you mean"),
        ({"unet.up_blocks.0-7": 1}, "'unet.up_blocks.0-7': unet has no 'up_blocks.7'"),
        ({"unet.up_blocks.7": 1}, "'unet.up_blocks.7' is no part of this model; unet has no layers numbered so there"),
        ({"text_encoders.layers.20-31": 1}, "'text_encoders.layers.20-31' is no part of this model; text_encoder has"),
        ({"unet.attn1": 1, "unet.mid_block": 2}, "of unet is in unet.attn1 and in unet.mid_block"),
        (
            {"unet.attn1": 1, "unet.attn2": {"kind": "dora", "rank": 1}},
            "unet takes adapters of one kind, and unet.attn1",
        ),
    ],
)
def test_what_cannot_be_placed_is_told_in_a_line(values, said):
    with pytest.raises(ConfigError) as raised:
        layers(values)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["unett.mid_block"], "'unett.mid_block' is no part of this model; did you mean 'unet'?"),
        (["unet", "unet.mid_block"], "'unet' is given two adapters"),
        (["text_encoders.layers.0", "text_encoder"], "'text_encoder' is given two adapters"),
        (["unet.[attn]"], "'unet.[attn]' is no part of a model; write for instance"),
        (["unet.attn1+"], "'unet.attn1+' is no part of a model; write for instance"),
    ],
)
def test_what_no_model_has_is_told_before_any_is_looked_at(names, said):
    assert said in (placement_error(names, "sdxl") or "")


def test_the_order_of_parts_in_a_file_does_not_matter():
    one, other = ({"unet.mid_block": 1, "unet.up_blocks.0": 4}, {"unet.up_blocks.0": 4, "unet.mid_block": 1})
    assert TrialSpec.of(one) == TrialSpec.of(other)
    assert TrialSpec.of(one).trial_id == "unet.mid_block-r1-unet.up_blocks.0-r4"
    assert TrialSpec.of(one).title == "UNet mid_block rank 1, UNet up_blocks.0 rank 4"


def test_an_alpha_of_its_own_is_in_the_name_of_a_trial():
    spec = TrialSpec.of({"unet.mid_block": {"rank": 4, "lora_alpha": "rank"}, "unet.up_blocks.0": 4, "lora_alpha": 2.0})
    assert spec.trial_id == "unet.mid_block-r4-alpharank-unet.up_blocks.0-r4-alpha2"
    assert spec.title == "UNet mid_block rank 4, alpha = rank, UNet up_blocks.0 rank 4, alpha 2"
    training = TrainingConfig.model_construct(lora_alpha="sqrt_rank")
    assert [one.options.alpha(training) for one in spec.adapters] == [4, 2]
