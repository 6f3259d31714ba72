"""DoRA, the second kind of adapter: held against peft and diffusers, and taken through a sweep."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.adapters.formats import FORMATS, count_saved, read_adapter
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.adapters.reading import misfit
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.models.sdxl.architecture import SDXL as ARCHITECTURE
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.planning.plan import plan
from fashion_sweep.storage.files import read_json
from tests.tasks.prepared import finished_run

DORA = {"kind": "dora", "rank": 2}
SPEC = TrialSpec.of({"unet": DORA, "text_encoders": DORA})
LAYER = "mid_block.attentions.0.proj_in"
Weights = dict[str, dict[str, torch.Tensor]]


def fresh(config, dtype="float32"):
    return SDXLModel.load(config.preset.model.model_copy(update={"refiner": None, "dtype": dtype}), "cpu")


def weights_of(model) -> Weights:
    return {name: {k: v.clone() for k, v in part.state_dict().items()} for name, part in model.components.items()}


def same(one: Weights, other: Weights, atol: float = 0.0) -> bool:
    return all(torch.allclose(one[name][key], other[name][key], rtol=0, atol=atol) for name in one for key in one[name])


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """The file of a DoRA with lora_alpha 3, its products and magnitudes far from where they begin."""
    model, draw = fresh(config), torch.Generator().manual_seed(0)
    training = config.preset.training.model_copy(update={"lora_alpha": 3.0})
    for name, parameter in attaching.attach(model.components, SPEC, training, seed=0).items():
        if ".lora_B." in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=draw)
        if ".lora_magnitude_vector." in name:
            parameter.data *= 1 + 0.2 * torch.rand(parameter.shape, generator=draw)
    path = tmp_path_factory.mktemp("dora") / "pytorch_lora_weights.safetensors"
    attaching.save(path, model.components, SPEC)
    return path


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_fresh_dora_leaves_every_output_as_it_was(config, dtype):
    model = fresh(config, dtype)
    inputs = (torch.randn(2, 8, 16, 12).to(model.pipeline.unet.dtype), torch.tensor([500, 20]))
    text = model.encode_text(["a shirt", "a hat"])
    conditions = {"text_embeds": text["pooled"], "time_ids": torch.ones(2, 6)}

    def prediction():
        return model.pipeline.unet(*inputs, text["prompt_embeds"], added_cond_kwargs=conditions).sample

    with torch.no_grad():
        before = prediction()
        attaching.attach(model.components, SPEC, config.preset.training, seed=5)
        assert torch.equal(before, prediction())
        again = model.encode_text(["a shirt", "a hat"])
    assert all(torch.equal(text[name], again[name]) for name in text)


def test_it_is_counted_as_peft_counts_it_and_begins_as_the_lora_of_its_seed(config, trained):
    model = fresh(config)
    dora = attaching.attach(model.components, SPEC, config.preset.training, seed=7)
    counted = count_parameters(config.preset.model.base, SPEC)
    assert sum(parameter.numel() for parameter in dora.values()) == count_saved(trained) == counted
    unet = LoraConfig(r=2, use_dora=True, target_modules=[*ARCHITECTURE.target_modules("unet")])
    theirs, _ = get_peft_model(fresh(config).pipeline.unet, unet).get_nb_trainable_parameters()
    assert theirs == count_parameters(config.preset.model.base, TrialSpec.of({"unet": DORA}))
    lora = attaching.attach(
        fresh(config).components, TrialSpec.of({"unet": 2, "text_encoders": 2}), config.preset.training, seed=7
    )
    assert all(torch.equal(value, dora[name]) for name, value in lora.items())


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 0.0), ("bfloat16", 0.01)])
def test_diffusers_reads_the_saved_and_the_exported_file_as_it_is_put_into_weights_here(
    config, trained, tmp_path, dtype, atol
):
    FORMATS["diffusers"](tmp_path / "mine.safetensors", read_adapter(trained), ARCHITECTURE, {})
    ours = fresh(config, dtype)
    before = weights_of(ours)
    with adapted(trained, ARCHITECTURE, ours.components):
        inside = weights_of(ours)
    assert same(weights_of(ours), before)
    assert not same(inside, before, atol=0.05)
    for file in (trained, tmp_path / "mine.safetensors"):
        theirs = fresh(config, dtype)
        theirs.pipeline.load_lora_weights(file.parent, weight_name=file.name, use_safetensors=True)
        theirs.pipeline.fuse_lora(components=[*ARCHITECTURE.components])
        theirs.pipeline.unload_lora_weights()
        assert same(weights_of(theirs), inside, atol)


def test_peft_reads_the_exported_folders_to_the_same_weights(config, trained, tmp_path):
    FORMATS["peft"](tmp_path, read_adapter(trained), ARCHITECTURE, {})
    ours, theirs = fresh(config), fresh(config)
    for name, module in theirs.components.items():
        merged = PeftModel.from_pretrained(module, tmp_path / name)
        assert merged.peft_config["default"].use_dora
        theirs.components[name] = merged.merge_and_unload()
    with adapted(trained, ARCHITECTURE, ours.components):
        assert same(weights_of(ours), weights_of(theirs))


def test_a_strength_is_the_share_of_the_way_from_the_base_model(config, trained):
    model = fresh(config)
    name, base = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight", weights_of(model)
    with adapted(trained, ARCHITECTURE, model.components, 1.0):
        whole = weights_of(model)
    with adapted(trained, ARCHITECTURE, model.components, 0.5):
        half = weights_of(model)
    assert torch.allclose(half["unet"][name], (base["unet"][name] + whole["unet"][name]) / 2, atol=1e-6)


@pytest.mark.parametrize("axis", ["outputs", "inputs"])
def test_a_stranger_s_dora_scale_is_read_on_the_axis_that_it_is_long_on(config, tmp_path, axis):
    model, draw = fresh(config), torch.Generator().manual_seed(0)
    layer = model.pipeline.unet.get_submodule(LAYER)
    assert isinstance(layer, nn.Linear)
    weight, dim = layer.weight.detach().clone(), 1 if axis == "outputs" else 0
    down, up = (0.1 * torch.randn(shape, generator=draw) for shape in ((2, weight.shape[1]), (weight.shape[0], 2)))
    scale = torch.rand([1 if i == dim else n for i, n in enumerate(weight.shape)], generator=draw)
    name = ARCHITECTURE.saved_name("unet", LAYER, "kohya")
    tensors = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(1.0), "dora_scale": scale}
    save_file({f"{name}.{key}": value for key, value in tensors.items()}, tmp_path / "theirs.safetensors")
    direction = weight + up @ down / 2
    with adapted(tmp_path / "theirs.safetensors", ARCHITECTURE, model.components):
        assert torch.allclose(layer.weight, scale * direction / direction.norm(dim=dim, keepdim=True), atol=1e-6)
    assert torch.equal(layer.weight, weight)


def test_a_dora_that_lacks_a_magnitude_is_refused_by_the_layer(config, trained, tmp_path):
    tensors = load_file(trained)
    lost = next(key for key in tensors if ".lora_magnitude_vector" in key and key.startswith("unet."))
    del tensors[lost]
    save_file(tensors, tmp_path / "theirs.safetensors")
    reason = misfit(tmp_path / "theirs.safetensors", ARCHITECTURE, fresh(config).components) or ""
    assert "has no counterpart" in reason
    assert reason.endswith("needs A and B and magnitude, and has no magnitude")


QUICK = ["training.steps=3", "training.views=1", "generation.num_inference_steps=2", "generation.refine_fraction=0"]
QUICK += [
    "evaluation.samples=160",
    "sweep.sample_prompts=[]",
    "sweep.trials=[{unet: 2}, {unet: {kind: dora, rank: 2}}]",
]


def test_a_sweep_of_lora_and_dora_is_planned_trained_judged_and_exported(fashion_root, runs_root):
    config = load_run_config("exp2", "tiny", [f"data.fashion.root={fashion_root}", *QUICK])
    lora, dora = plan(config)
    assert dora.parameters - lora.parameters == sum(
        outputs
        for name, (outputs, *_) in ARCHITECTURE.layers(config.preset.model.base, "unet").shapes.items()
        if name.endswith(ARCHITECTURE.target_modules("unet"))
    )
    run = finished_run("mine", config)
    results = [read_json(run.trial(one.trial_id).result) for one in (lora, dora)]
    assert [one["parameters"] for one in results] == [lora.parameters, dora.parameters]
    assert results[0]["evaluations"]["fashion"]["fid"] != results[1]["evaluations"]["fashion"]["fid"]
    assert "UNet DoRA rank 2" in run.report.read_text(encoding="utf-8")
    for to in ("diffusers", "peft"):
        card = next(path for path in export(ExportRequest(run, to, "unet-dora-r2")) if path.suffix == ".md")
        assert "A DoRA adapter of" in card.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="--format kohya: has no place for DoRA; take --format diffusers or peft"):
        export(ExportRequest(run, "kohya", "unet-dora-r2"))
