"""LoKr, LoHa and OFT: held against peft, LyCORIS and the model that they were trained in."""

import math

import pytest
import torch
from lycoris import create_lycoris_from_weights
from peft import PeftModel, get_peft_config, inject_adapter_in_model
from peft.tuners.lokr.layer import factorization
from safetensors.torch import load_file, save_file

from fashion_sweep.adapters import attaching, loha, lokr
from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.adapters.formats import FORMATS, check_format, count_saved, formats_of, read_adapter
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.adapters.lokr import LokrOptions
from fashion_sweep.adapters.reading import misfit
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.model import GenerationRequest
from fashion_sweep.models.sdxl.architecture import SDXL
from fashion_sweep.models.sdxl.model import SDXLModel

TRIALS = {
    "lokr": {"unet": {"kind": "lokr", "rank": 2}, "text_encoders": {"kind": "lokr", "rank": 1}},
    "lokr, whole factors": {"unet": {"kind": "lokr", "rank": 64, "decompose_factor": 4}},
    "lokr, both factors as products": {"unet": {"kind": "lokr", "rank": 1, "decompose_both": True}},
    "lokr, the smaller factor a product": {
        "unet": {"kind": "lokr", "rank": 2, "decompose_both": True, "decompose_factor": 8}
    },
    "lokr of parts": {
        "unet.up_blocks.0": {"kind": "lokr", "rank": 2, "lora_alpha": "rank"},
        "unet.mid_block": {"kind": "lokr", "rank": 1},
        "unet.resnets": {"kind": "lokr", "rank": 2},
    },
    "loha": {"unet": {"kind": "loha", "rank": 2}, "text_encoders": {"kind": "loha", "rank": 1}},
    "loha of parts": {
        "unet.up_blocks.0": {"kind": "loha", "rank": 3, "lora_alpha": 5.0},
        "unet.ff+resnets": {"kind": "loha", "rank": 1},
    },
    "oft": {"unet": {"kind": "oft", "oft_block_size": 4}, "text_encoders": {"kind": "oft", "oft_block_size": 8}},
}
PARTS = ["alpha", *lokr.PARTS, *loha.PARTS]
KOHYA = [name for name in TRIALS if name != "oft"]


def fresh(config, dtype="float32"):
    return SDXLModel.load(config.preset.model.model_copy(update={"refiner": None, "dtype": dtype}), "cpu")


def pictures_of(model, config):
    noise = torch.randn(1, 8, 16, 12, generator=torch.Generator().manual_seed(3))
    request = GenerationRequest(["a red dress"], noise, original_size=(160, 109))
    quick = {"num_inference_steps": 2, "refine_fraction": 0.0}
    return model.sample(request, config.preset.generation.model_copy(update=quick)).int()


def spec_of(name):
    return TrialSpec.of(TRIALS[name])


def trained(config, name, strength=0.3):
    """A model that carries the trial's adapters, each value moved from where it starts."""
    model, draw = fresh(config), torch.Generator().manual_seed(0)
    training = config.preset.training.model_copy(update={"lora_alpha": 3.0})
    parameters = attaching.attach(model.components, spec_of(name), training, seed=0)
    for parameter in parameters.values():
        parameter.data += strength * torch.randn(parameter.shape, generator=draw)
    return model, parameters


@pytest.fixture(scope="module")
def saved(config, tmp_path_factory):
    """Returns a function that gives a trial's file, and the weights that are in force with it."""
    kept = {}

    def of(name):
        if name not in kept:
            path = tmp_path_factory.mktemp("kind") / "pytorch_lora_weights.safetensors"
            attaching.save(path, trained(config, name)[0].components, spec_of(name))
            model = fresh(config)
            with adapted(path, SDXL, model.components):
                kept[name] = path, weights_of(model)
        return kept[name]

    return of


def weights_of(model):
    return {
        f"{name}.{key}": value.clone()
        for name, part in model.components.items()
        for key, value in part.state_dict().items()
    }


def distance(one, other):
    assert one.keys() == other.keys()
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.mark.parametrize("name", TRIALS)
def test_it_starts_as_the_base_model_and_is_counted_before_it_is_made(config, name):
    model = fresh(config)
    inputs = (torch.randn(2, 8, 16, 12), torch.tensor([500, 20]))
    text = model.encode_text(["a shirt", "a hat"])
    conditions = {"text_embeds": text["pooled"], "time_ids": torch.ones(2, 6)}

    def prediction():
        return model.pipeline.unet(*inputs, text["prompt_embeds"], added_cond_kwargs=conditions).sample

    with torch.no_grad():
        before = prediction()
        parameters = attaching.attach(model.components, spec_of(name), config.preset.training, seed=5)
        assert torch.allclose(before, prediction(), rtol=0, atol=1e-5)
        again = model.encode_text(["a shirt", "a hat"])
    assert all(torch.allclose(text[key], again[key], rtol=0, atol=1e-5) for key in text)
    assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    counted = count_parameters(config.preset.model.base, spec_of(name))
    assert sum(parameter.numel() for parameter in parameters.values()) == counted


@pytest.mark.parametrize("name", TRIALS)
def test_taken_off_the_model_is_as_it_was(config, name):
    model, _ = trained(config, name)
    attaching.detach(model.components, spec_of(name))
    assert distance(weights_of(model), weights_of(fresh(config))) == 0


def test_what_starts_at_random_depends_on_the_layer_and_the_seed_alone(config):
    def start(values, seed):
        return attaching.attach(fresh(config).components, TrialSpec.of(values), config.preset.training, seed)

    lokr = {"kind": "lokr", "rank": 2}
    whole, part = start({"unet": lokr}, 3), start({"unet.mid_block": lokr}, 3)
    other = start({"unet.mid_block": lokr}, 4)
    assert part
    assert all(torch.equal(value, whole[name]) for name, value in part.items())
    assert not all(torch.equal(value, other[name]) for name, value in part.items())


@pytest.mark.parametrize("name", TRIALS)
def test_pictures_of_the_trained_model_are_those_of_its_file_put_into_weights(config, saved, name):
    path, _ = saved(name)
    assert count_saved(path) == count_parameters(config.preset.model.base, spec_of(name))
    attached, base = trained(config, name)[0], fresh(config)
    expected, plain = pictures_of(attached, config), pictures_of(base, config)
    before = weights_of(base)
    with adapted(path, SDXL, base.components):
        pictures = pictures_of(base, config)
    assert int((pictures - expected).abs().max()) <= 1
    assert int((pictures - plain).abs().max()) > 4
    assert distance(weights_of(base), before) == 0


@pytest.mark.parametrize("name", TRIALS)
def test_peft_reads_the_exported_folders_to_the_same_weights(config, saved, tmp_path, name):
    path, expected = saved(name)
    FORMATS["peft"](tmp_path, read_adapter(path), SDXL, {})
    theirs = fresh(config)
    for component in spec_of(name).components:
        merged = PeftModel.from_pretrained(theirs.components[component], tmp_path / component)
        theirs.components[component] = merged.merge_and_unload()
    assert distance(weights_of(theirs), expected) < 1e-5


@pytest.mark.parametrize("name", KOHYA)
def test_kohya_s_file_is_read_back_here_and_by_lycoris_to_the_same_weights(config, saved, tmp_path, name):
    path, expected = saved(name)
    file = tmp_path / "theirs.safetensors"
    FORMATS["kohya"](file, read_adapter(path), SDXL, {})
    ours, theirs = fresh(config), fresh(config)
    with adapted(file, SDXL, ours.components):
        assert distance(weights_of(ours), expected) < 1e-5
    tensors = load_file(file)
    for component in spec_of(name).components:
        renamed = {}
        for layer, _ in theirs.components[component].named_modules():
            key = layer and SDXL.saved_name(component, layer, "kohya")
            for part in PARTS:
                if key and f"{key}.{part}" in tensors:
                    renamed[f"lycoris_{layer.replace('.', '_')}.{part}"] = tensors[f"{key}.{part}"]
        network, _ = create_lycoris_from_weights(1.0, "", theirs.components[component], renamed)
        network.merge_to(1.0)
    assert distance(weights_of(theirs), expected) < 1e-5


def test_no_format_but_peft_s_has_a_place_for_an_oft(saved):
    assert formats_of(spec_of("oft")) == ["peft"]
    assert formats_of(spec_of("lokr")) == ["peft", "kohya"]
    with pytest.raises(ConfigError, match="--format kohya: has no place for OFT; take --format peft"):
        check_format("kohya", read_adapter(saved("oft")[0]), SDXL)
    with pytest.raises(ConfigError, match="--format diffusers: has no place for LoKr; take --format peft or kohya"):
        check_format("diffusers", read_adapter(saved("lokr")[0]), SDXL)


@pytest.mark.parametrize("factor", [None, 1, 2, 4, 5, 7, 8, 16, 200])
def test_the_factors_of_a_lokr_are_those_of_peft(factor):
    for size in [*range(1, 130), 320, 640, 768, 1280, 2048, 2560, 5120]:
        (outer, inner), (outputs, inputs) = LokrOptions(rank=1, decompose_factor=factor).factors((size, size))
        assert (outer, outputs) == (inner, inputs) == factorization(size, factor or -1)


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ({"unet": {"kind": "oft", "oft_block_size": 7}}, "oft_block_size: must divide the inputs of every layer; "),
        ({"unet.resnets": {"kind": "oft", "oft_block_size": 4}}, "an OFT is for linear layers, and "),
        (
            {"unet.mid_block": {"kind": "lokr", "rank": 1}}
            | {"unet.up_blocks": {"kind": "lokr", "rank": 1, "decompose_factor": 2}},
            "unet takes adapters with one decompose_factor",
        ),
    ],
)
def test_what_cannot_be_adapted_so_is_told_before_anything_is_loaded(config, trial, said):
    with pytest.raises(ConfigError) as raised:
        count_parameters(config.preset.model.base, TrialSpec.of(trial))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("name", "break_it", "said"),
    [
        ("lokr", lambda t, k: t.pop(k), "has no counterpart"),
        ("lokr", lambda t, k: t.update({k: t[k][:-1]}), "has the rank|wide in the model"),
        ("lokr", lambda t, k: t.update({k: t[k].flatten()}), "has the shape"),
        ("loha", lambda t, k: t.pop(k), "has no counterpart"),
        ("loha", lambda t, k: t.update({k: t[k][:-1]}), "has the rank|wide in the model"),
        ("loha", lambda t, k: t.update({k: t[k].flatten()}), "is no matrix"),
        ("oft", lambda t, k: t.update({k: t[k][:, :-1]}), "has the shape"),
        ("oft", lambda t, k: t.update({k: t[k][:-1]}), "has the shape"),
        ("oft", lambda t, k: t.update({k: t[k] * math.nan}), "not finite"),
    ],
)
def test_a_damaged_file_is_refused_by_its_key(config, saved, tmp_path, name, break_it, said):
    tensors = load_file(saved(name)[0])
    break_it(tensors, sorted(key for key in tensors if key.startswith("unet."))[3])
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "theirs.safetensors")
    reason = misfit(tmp_path / "theirs.safetensors", SDXL, fresh(config).components) or ""
    assert any(one in reason for one in said.split("|")), reason


def test_peft_counts_as_we_do(config):
    for kind, values in {
        "LOKR": {"r": 2, "alpha": 1},
        "LOHA": {"r": 2, "alpha": 1},
        "OFT": {"oft_block_size": 4},
    }.items():
        unet = fresh(config).pipeline.unet
        unet.requires_grad_(False)
        targets = [*SDXL.target_modules("unet")]
        inject_adapter_in_model(get_peft_config({"peft_type": kind, "target_modules": targets, **values}), unet)
        theirs = sum(parameter.numel() for parameter in unet.parameters() if parameter.requires_grad)
        named = {"rank" if key == "r" else key: value for key, value in values.items() if key != "alpha"}
        spec = TrialSpec.of({"unet": {"kind": kind.lower(), **named}})
        assert count_parameters(config.preset.model.base, spec) == theirs
