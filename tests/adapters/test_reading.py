"""Adapters of other trainers: drawn whole and with their own alphas, or refused by the first key without a place."""

import random
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fashion_sweep.adapters import reading
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.models.sdxl.architecture import SDXL as SDXL_ARCHITECTURE
from fashion_sweep.models.sdxl.model import SDXLModel

DOWN_UP = (".lora_down.weight", ".lora_up.weight")
UNDERSCORED = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
PLACE = "lora_unet_middle_block_1_proj_in"


def misfit(path, model):
    return reading.misfit(path, SDXL_ARCHITECTURE, model.components)


def kohya_name(component, layer):
    return SDXL_ARCHITECTURE.saved_name(component, layer, "kohya")


def of_modules(component, layer):
    outside = component == "unet" or layer == "text_projection"
    return f"{component}.{layer if outside else 'text_model.' + layer.removeprefix('text_model.')}"


def underscored(component, layer):
    return f"{UNDERSCORED[component]}_{of_modules(component, layer).partition('.')[2].replace('.', '_')}"


def processors(component, layer):
    found = re.fullmatch(r"(.+attn[12])\.(to_[qkv]|to_out)(\.0)?", layer)
    return f"unet.{found[1]}.processor.{found[2]}" if found else None


def with_text_encoders_old(component, layer):
    return None if component == "unet" else of_modules(component, layer)


SPELLINGS = {
    "kohya": (kohya_name, DOWN_UP),
    "kohya with diffusers' blocks": (underscored, DOWN_UP),
    "peft": (of_modules, (".lora_A.weight", ".lora_B.weight")),
    "diffusers before peft": (of_modules, (".lora.down.weight", ".lora.up.weight")),
    "its text encoders": (with_text_encoders_old, (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")),
    "its attention processors": (processors, ("_lora.down.weight", "_lora.up.weight")),
}


@pytest.fixture(scope="module")
def own(config):
    return SDXLModel.load(config.preset.model.model_copy(update={"refiner": None}), "cpu")


def layers_of(model) -> dict[tuple[str, str], nn.Module]:
    return {
        (component, name): layer
        for component, module in model.components.items()
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and name != "text_projection"
    }


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_layer_gets_its_own_product_and_alpha_whoever_wrote_the_file(spelling, own, tmp_path):
    named, (down, up) = SPELLINGS[spelling]
    tensors, wanted, draw = {}, {}, torch.Generator().manual_seed(0)
    before = {place: layer.weight.clone() for place, layer in layers_of(own).items()}
    for number, (place, weight) in enumerate(before.items()):
        if name := named(*place):
            rank, alpha = 1 + number % 3, float(1 + number % 2)
            a = 0.1 * torch.randn(rank, *weight.shape[1:], generator=draw)
            b = 0.1 * torch.randn(weight.shape[0], rank, *[1] * (weight.ndim - 2), generator=draw)
            tensors |= {name + down: a, name + up: b} | (
                {f"{name}.alpha": torch.tensor(alpha)} if "kohya" in spelling else {}
            )
            scale = alpha / rank if "kohya" in spelling else 1.0
            wanted[place] = 0.5 * scale * (b.flatten(1) @ a.flatten(1)).reshape(weight.shape)
    save_file(tensors, tmp_path / "theirs.safetensors")
    assert misfit(tmp_path / "theirs.safetensors", own) is None
    with adapted(tmp_path / "theirs.safetensors", SDXL_ARCHITECTURE, own.components, 0.5):
        moved = {place: layer.weight - before[place] for place, layer in layers_of(own).items()}
    assert len(wanted) > 30
    assert all(torch.allclose(moved[place], delta, atol=1e-5) for place, delta in wanted.items())
    assert all(torch.equal(layer.weight, before[place]) for place, layer in layers_of(own).items())


def whole(own, name=PLACE) -> dict[str, torch.Tensor]:
    width = own.pipeline.unet.mid_block.attentions[0].proj_in.in_features
    a, b = torch.ones(2, width), torch.ones(width, 2)
    return {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": b, f"{name}.alpha": torch.ones(1)}


STRANGE = {
    "an unknown layer": ({"lora_te1_text_model_encoder_layers_77_mlp_fc1.alpha": torch.ones(1)}, None),
    "flux": ({"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": torch.ones(2, 2)}, None),
    "flux by kohya": ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.ones(2, 2)}, None),
    "textual inversion": ({"clip_g": torch.ones(1, 9), "clip_l": torch.ones(1, 9)}, "clip_g (2 of 5 tensors have"),
    "kohya's dora": ({f"{PLACE}.dora_scale": torch.ones(1)}, "has the shape [1], for which a layer of"),
    "peft's dora": ({"unet.x.lora_magnitude_vector": torch.ones(1)}, None),
    "half a loha": ({f"{PLACE}.hada_w1_a": torch.ones(2, 2)}, "and what is beside it are of different kinds"),
    "a convolution of a loha": ({f"{PLACE}.hada_t1": torch.ones(2, 2, 3, 3)}, None),
    "a bias": ({f"{PLACE}.diff_b": torch.ones(2)}, None),
    "half a layer": ({"lora_unet_middle_block_1_proj_out.lora_down.weight": torch.ones(2, 96)}, "has no counterpart"),
    "an alpha alone": ({"lora_unet_middle_block_1_proj_out.alpha": torch.ones(1)}, "has no counterpart"),
    "two alphas": ({f"{PLACE}.alpha": torch.ones(2)}, "must be one number above 0"),
    "no finite alpha": ({f"{PLACE}.alpha": torch.tensor(float("inf"))}, "not finite"),
    "other ranks": ({f"{PLACE}.lora_up.weight": torch.ones(96, 3)}, "has the rank 2, and"),
    "a convolution's shape": ({f"{PLACE}.lora_down.weight": torch.ones(2, 96, 1, 1)}, "has the shape"),
    "the same twice": ({"unet.mid_block.attentions.0.proj_in.lora_A.weight": torch.ones(2, 96)}, "are for one place"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_a_tensor_without_a_place_is_refused_by_its_key(case, own, tmp_path):
    more, said = STRANGE[case]
    save_file(whole(own) | more, tmp_path / "theirs.safetensors")
    reason = misfit(tmp_path / "theirs.safetensors", own) or ""
    assert (said or f"the model has no place for {min(more)} (1 of 4 tensors has none)") in reason
    assert "\n" not in reason


def test_a_file_of_nothing_is_no_adapter(own, tmp_path):
    save_file({}, tmp_path / "theirs.safetensors")
    assert misfit(tmp_path / "theirs.safetensors", own) == "it holds no layers"


def test_a_key_with_any_change_in_it_is_refused_and_told(own, tmp_path):
    """Letters of true keys left out, doubled or exchanged."""
    draw, good = random.Random(0), whole(own)
    for _ in range(60):
        key = draw.choice(sorted(good))
        at, to = sorted(draw.sample(range(len(key)), 2))
        changed = draw.choice([key[:at] + key[to:], key[:to] + key[at:], key[:at] + key[to] + key[at + 1 :], key[at:]])
        if changed in good:
            continue
        save_file(
            {other: value for other, value in good.items() if other != key} | {changed: good[key]}, tmp_path / "x"
        )
        assert misfit(tmp_path / "x", own) == f"the model has no place for {changed} (1 of 3 tensors has none)"
