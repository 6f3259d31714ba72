"""`generate`: images of an adapter on demand, and every mistake in asking for them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.formats import read_adapter, write_kohya
from fashion_sweep.adapters.fusing import fuse
from fashion_sweep.adapters.metadata import judged_in, judged_key, own_keys
from fashion_sweep.config.loading import load_preset, load_run_config
from fashion_sweep.config.sweep import SamplePrompt
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record, write_catalogue
from fashion_sweep.errors import ConfigError, FashionSweepError
from fashion_sweep.generation.drawing import write_samples
from fashion_sweep.generation.generator import Generator
from fashion_sweep.handover import adapters as module
from fashion_sweep.handover.adapters import Adapter, find_adapter, split_scale
from fashion_sweep.handover.generate import generate
from fashion_sweep.handover.requests import DrawingRequest, make_rows, settings_told
from fashion_sweep.models.registry import load_model
from fashion_sweep.models.sdxl.architecture import SDXL as ARCHITECTURE
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import write_text
from fashion_sweep.tracking.fetching import Fetched

PROMPT = "a woman in a red cotton dress"
QUICK = ["generation.num_inference_steps=5", "generation.refine_fraction=0.2"]
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def adapter(config, tmp_path_factory):
    """As training saves it, B drawn at random: UNet and both text encoders."""
    model = load_model(config.preset.model, "cpu")
    spec = TrialSpec.of({"unet": 2, "text_encoders": 1})
    draw = torch.Generator().manual_seed(0)
    for parameter in attaching.attach(model.components, spec, config.preset.training, seed=0).values():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    path = tmp_path_factory.mktemp("adapter") / "mine.safetensors"
    attaching.save(path, model.components, spec)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def draw(output: Path, adapter: Path | None = None, **others) -> Path:
    wish = DrawingRequest((PROMPT,), adapters=(str(adapter),) if adapter else (), output=output, **others)
    (path,) = generate(wish, "tiny", QUICK, QUIET)
    return path


def test_an_adapter_changes_the_image_and_the_same_wish_gives_the_same_bytes(adapter, tmp_path):
    first, again = (draw(tmp_path / name, adapter).read_bytes() for name in ("a.png", "b.png"))
    assert first == again
    base, half = draw(tmp_path / "base.png"), draw(tmp_path / "half.png", adapter, scale=0.5)
    images = [pixels(path) for path in (tmp_path / "a.png", base, half)]
    assert images[0].shape == (64, 48, 3)
    assert min(np.abs(images[i] - images[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))) > 2


def test_the_image_is_that_of_the_sample_grid_for_the_same_prompt_seed_and_size_conditioning(adapter, config, tmp_path):
    """A trial's folder brings the size conditioning of its data."""
    run = RunPaths(tmp_path / "run")
    trained = run.trial("unet-r2").adapter
    trained.parent.mkdir(parents=True)
    trained.write_bytes(adapter.read_bytes())
    write_text(run.config, config.to_yaml())
    write_catalogue(
        run.catalogue("fashion"), Catalogue((Record("a", tmp_path / "a", "A shirt.", width=300, height=400),), 0, ())
    )
    wish = DrawingRequest((PROMPT,), (3,), (str(trained.parent.parent),), output=tmp_path / "ours.png")
    generate(wish, None, QUICK, QUIET)
    preset = load_preset("tiny", QUICK)
    model = load_model(preset.model, "cpu", for_pictures=True)
    fuse(adapter, ARCHITECTURE, model.components)
    generator = Generator(model, preset.generation, preset.picture_size("fashion"), (400, 300), None)
    write_samples(generator, [SamplePrompt(prompt=PROMPT, seed=3)], tmp_path)
    assert np.array_equal(pixels(tmp_path / "ours.png"), pixels(tmp_path / "00.png"))


def test_an_adapter_of_the_registry_is_drawn_with_the_preset_of_its_training_as_it_was_then(
    adapter, monkeypatch, tmp_path
):
    config = tmp_path / "config.yaml"
    config.write_text(load_run_config("exp2", "tiny", [*QUICK, "generation.guidance_scale=2"]).to_yaml())
    tags = {"original_size": "400x300"}
    monkeypatch.setattr(module, "fetch", lambda address, folder: Fetched("models:/exp2-tiny/4", adapter, tags, config))
    monkeypatch.setenv("FASHION_SWEEP_PRESET", "sdxl")
    assert find_adapter("models:/exp2-tiny@best", tmp_path).original_size == (400, 300)
    (path,) = generate(
        DrawingRequest((PROMPT,), adapters=("models:/exp2-tiny@best",), output=tmp_path), None, [], QUIET
    )
    with Image.open(path) as image:
        said = [image.text[key] for key in ("adapter", "preset", "guidance", "steps")]
        assert said == ["models:/exp2-tiny/4", "tiny", "2", "5"]


def test_several_images_are_numbered_and_gridded_and_nothing_is_overwritten(tmp_path):
    folder = tmp_path / "pictures"
    wish = DrawingRequest((PROMPT, "a man in jeans, señor"), (0, 7), output=folder)
    paths = generate(wish, "tiny", QUICK, QUIET)
    assert [path.name for path in paths] == ["00.png", "01.png", "02.png", "03.png", "grid.png"]
    kept = {path: path.read_bytes() for path in paths}
    negative = load_preset("tiny").generation.base_negative_prompt
    with Image.open(folder / "03.png") as image:
        told = dict(image.text)
        assert told.pop("parameters") == (
            f"a man in jeans, señor\nNegative prompt: {negative}\nSteps: 5, Sampler: DDIM, CFG scale: 4, Seed: 7, "
            'Size: 48x64, Model: "embedded:base", Refiner: "embedded:refiner", Refiner switch at: 0.8'
        )
        assert told == {
            "prompt": "a man in jeans, señor",
            "seed": "7",
            "adapter": "none: the base model",
            "scale": "1",
            "preset": "tiny",
            "base_model": "embedded:base",
            "steps": "5",
            "guidance": "4",
            "size": "64x48",
            "original_size": "64x48",
            "refine_fraction": "0.2",
            "refiner": "embedded:refiner",
            "negative_prompt": negative,
        }
    more = generate(wish, "tiny", QUICK, QUIET)
    assert [path.name for path in more] == ["04.png", "05.png", "06.png", "07.png", "grid-1.png"]
    assert {path: path.read_bytes() for path in paths} == kept
    assert more[0].read_bytes() == paths[0].read_bytes()


@pytest.fixture(scope="module")
def others(adapter, tmp_path_factory):
    """The adapter, and one that has it the other way round in the UNet alone."""
    turned = {name: -value if "lora_B" in name else value for name, value in load_file(adapter).items()}
    path = tmp_path_factory.mktemp("other") / "turned.safetensors"
    save_file({name: value for name, value in turned.items() if name.startswith("unet.")}, path)
    return str(adapter), str(path)


def test_adapters_side_by_side_give_the_very_bytes_that_each_gives_alone(others, tmp_path, monkeypatch):
    loaded = []
    load = SDXLModel.load.__func__
    monkeypatch.setattr(SDXLModel, "load", classmethod(lambda cls, *args: loaded.append(1) or load(cls, *args)))
    first, second = others
    wish = DrawingRequest((PROMPT,), (0, 7), (f"{first}:0.5", second, first), output=tmp_path / "grid")
    together = generate(wish, "tiny", QUICK, QUIET)
    assert (len(loaded), len(together)) == (1, 9)
    alone = []
    for number, (adapters, scale) in enumerate([((), 1.0), ((first,), 0.5), ((second,), 1.0), ((first,), 1.0)]):
        wish = DrawingRequest((PROMPT,), (0, 7), adapters, scale, tmp_path / str(number))
        alone += generate(wish, "tiny", QUICK, QUIET)[:2]
    assert [path.read_bytes() for path in together[:8]] == [path.read_bytes() for path in alone]
    assert len({path.read_bytes() for path in alone}) == 8


def test_the_grid_has_a_row_for_each_adapter_and_a_column_for_each_prompt_and_seed(others, tmp_path, monkeypatch):
    grids = []
    monkeypatch.setattr("fashion_sweep.handover.generate.write_grid", lambda path, *parts: grids.append(parts))
    wish = DrawingRequest((PROMPT, "a hat"), (0, 7), (f"{others[0]}:0.5", others[1]), output=tmp_path)
    generate(wish, "tiny", QUICK, QUIET)
    ((titles, headings, cells),) = grids
    assert titles == ["base model", "mine x 0.5", "turned"]
    assert headings == [f"seed {seed}: {prompt}" for prompt in (PROMPT, "a hat") for seed in (0, 7)]
    for row, name in zip(cells, ("none: the base model", *others), strict=True):
        for path, heading in zip(row, headings, strict=True):
            with Image.open(path) as image:
                assert (image.text["adapter"], f"seed {image.text['seed']}: {image.text['prompt']}") == (name, heading)


def test_the_base_models_row_can_be_left_out_or_asked_for(others, tmp_path):
    def scales(folder, **wanted):
        paths = generate(DrawingRequest((PROMPT,), output=tmp_path / folder, **wanted), "tiny", QUICK, QUIET)
        return [Image.open(path).text["adapter"] for path in paths if path.name != "grid.png"]

    assert scales("without", adapters=others, with_base=False) == list(others)
    assert scales("with", adapters=others[:1], with_base=True) == ["none: the base model", others[0]]


def test_size_steps_guidance_and_refiner_are_as_wished_for_and_told_in_the_image(tmp_path):
    path = tmp_path / "own.png"
    wish = DrawingRequest((PROMPT,), output=path, size="80x56", steps=7, guidance=2.5, negative_prompt="a hat")
    generate(wish, "tiny", [], QUIET)
    with Image.open(path) as image:
        assert image.size == (56, 80)
        keys = ("size", "steps", "guidance", "refine_fraction", "refiner", "negative_prompt")
        assert [image.text[key] for key in keys] == ["80x56", "7", "2.5", "0.142857", "embedded:refiner", "a hat"]
    preset = load_preset("tiny", ["generation.num_inference_steps=7", "generation.refine_fraction=0"])
    generation = preset.generation.model_copy(update={"refine_fraction": 1 / 7, "guidance_scale": 2.5})
    size = preset.picture_size("fashion").model_copy(update={"height": 80, "width": 56})
    model = load_model(preset.model, "cpu", for_pictures=True)
    expected = Generator(model, generation, size, (80, 56), "a hat").images([PROMPT], [(0, 0)], batch_size=1)[0]
    assert np.array_equal(pixels(path), expected.permute(1, 2, 0).numpy())


def test_without_the_refiner_none_is_loaded_and_an_empty_negative_prompt_is_none(tmp_path):
    plain = tmp_path / "plain.png"
    generate(DrawingRequest((PROMPT,), output=plain, refine_fraction=0.0, negative_prompt=""), "tiny", QUICK, QUIET)
    with Image.open(plain) as image:
        assert image.text["refine_fraction"] == "0"
        assert not {"refiner", "negative_prompt"} & set(image.text)
    without = [*QUICK, "model.refiner=null", "generation.base_negative_prompt=null"]
    generate(DrawingRequest((PROMPT,), output=tmp_path / "same.png"), "tiny", without, QUIET)
    assert np.array_equal(pixels(plain), pixels(tmp_path / "same.png"))


def test_an_exported_file_brings_the_size_conditioning_of_its_training(adapter, config, tmp_path):
    said = own_keys(config, TrialSpec.of({"unet": 2, "text_encoders": 1}), "run", original_size=(400, 300))
    write_kohya(tmp_path / "mine.safetensors", read_adapter(adapter), ARCHITECTURE, said)
    assert find_adapter(str(tmp_path), tmp_path).original_size == (400, 300)


@pytest.fixture
def trained(adapter, tmp_path) -> tuple[Path, Path, Path]:
    """A trial's folder of a run with settings of its own, its export there, and the export taken elsewhere."""
    run, config = RunPaths(tmp_path / "run"), load_run_config("exp2", "tiny", [*QUICK, "generation.guidance_scale=2"])
    write_text(run.config, config.to_yaml())
    folder, spec = run.trial("unet-r2").root, TrialSpec.of({"unet": 2, "text_encoders": 1})
    run.trial("unet-r2").adapter.parent.mkdir(parents=True)
    run.trial("unet-r2").adapter.write_bytes(adapter.read_bytes())
    export = run.exports / "unet-r2-kohya" / "run-unet-r2.safetensors"
    write_kohya(export, read_adapter(adapter), ARCHITECTURE, own_keys(config, spec, "run") | judged_key(config))
    (tmp_path / "moved.safetensors").write_bytes(export.read_bytes())
    return folder, export, tmp_path / "moved.safetensors"


def test_one_grid_has_the_settings_of_the_run_in_all_its_rows(trained, others, tmp_path, capsys):
    wish = DrawingRequest(
        (PROMPT,), adapters=(others[1], *map(str, trained)), with_base=False, output=tmp_path / "grid"
    )
    paths = generate(wish, None, [], Console(width=400))
    images = [Image.open(path) for path in paths[:-1]]
    assert {(image.text["steps"], image.text["guidance"]) for image in images} == {("5", "2")}
    assert np.array_equal(pixels(paths[1]), pixels(paths[2]))
    assert np.array_equal(pixels(paths[1]), pixels(paths[3]))
    told = "all rows are drawn as run: unet-r2 was judged, with 5 steps, 20% of them by the refiner, guidance 2, 64x48"
    assert f"{told}: turned does not tell its own" in capsys.readouterr().out


def test_a_grid_of_two_runs_tells_which_settings_it_has_and_that_others_were_judged_otherwise(trained):
    run, _, moved = (find_adapter(str(path), trained[0]) for path in trained)
    other = replace(run, label="other", trained_with=load_preset("tiny"))
    assert settings_told([run, moved], None) is None
    said = settings_told([run, other], None)
    assert said.endswith(": other was judged with 8 steps, 12.5% of them by the refiner, guidance 4, 64x48")
    assert settings_told([run, other], "tiny") is None
    assert settings_told([Adapter("x", "x")], None) == (
        "drawn with the preset's settings: x does not tell how pictures of it were judged"
    )


def test_what_a_file_tells_of_judging_comes_back_as_it_was(config):
    said = judged_in(judged_key(config))
    assert said["generation.base_negative_prompt"] == config.preset.generation.base_negative_prompt
    back = load_preset("tiny", ["generation.guidance_scale=9"], said)
    assert (back.generation, back.picture_size()) == (
        config.preset.generation,
        config.preset.picture_size("fashion"),
    )


def test_a_file_tells_how_to_draw_and_nothing_else(adapter, tmp_path):
    said = {"generation.guidance_scale": 7, "model.base": "/etc", "data.fashion.root": "/etc"}
    metadata = {"fashion_sweep.judged_with": json.dumps(said), "fashion_sweep.preset": "../../tiny"}
    save_file(load_file(adapter), tmp_path / "theirs.safetensors", metadata)
    found = find_adapter(str(tmp_path / "theirs.safetensors"), tmp_path).judged_as
    assert found == load_preset("tiny", ["generation.guidance_scale=7"])
    metadata["fashion_sweep.judged_with"] = json.dumps({"generation.guidance_scale": -7})
    save_file(load_file(adapter), tmp_path / "theirs.safetensors", metadata)
    with pytest.raises(ConfigError, match="tells settings that do not fit"):
        find_adapter(str(tmp_path / "theirs.safetensors"), tmp_path)


def test_a_number_after_a_colon_is_a_scale_unless_the_file_is_called_so(tmp_path):
    odd = tmp_path / "odd:2"
    assert split_scale(str(odd), 1.0) == (str(tmp_path / "odd"), 2.0)
    odd.touch()
    assert split_scale(str(odd), 1.0) == (str(odd), 1.0)
    assert split_scale("models:/exp2-tiny@best:.5", 1.0) == ("models:/exp2-tiny@best", 0.5)
    assert split_scale("models:/exp2-tiny/3", 0.7) == ("models:/exp2-tiny/3", 0.7)


@pytest.fixture
def things(adapter, tmp_path, monkeypatch) -> Path:
    """A folder of what may be given by mistake."""
    monkeypatch.chdir(tmp_path)
    Path("good.safetensors").write_bytes(adapter.read_bytes())
    Path("cut.safetensors").write_bytes(adapter.read_bytes()[:-9])
    Path("text.safetensors").write_text("these are no weights", encoding="utf-8")
    Path("weights.bin").write_bytes(adapter.read_bytes())
    tensors = load_file(adapter)
    save_file({name: torch.cat([value, value], 1) for name, value in tensors.items()}, "wide.safetensors")
    save_file({name.replace("attn1", "attn7"): value for name, value in tensors.items()}, "layer.safetensors")
    save_file({"decoder.weight": torch.zeros(2, 2)}, "vae.safetensors")
    Path("empty").mkdir()
    Path("taken.png").write_bytes(b"a picture")
    Path("note").write_text("a file", encoding="utf-8")
    return tmp_path


def test_an_adapter_of_another_architecture_is_refused_before_a_model_is_loaded():
    told = Adapter("a.safetensors", "a", trained_with=load_preset("tiny"))
    with pytest.raises(ConfigError, match="is for models of sdxl, and that of preset tiny-sd3 is of sd3"):
        make_rows(DrawingRequest(("A shirt.",)), [(told, 1.0)], "tiny-sd3", [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompts": ("  ",)}, "--prompt: is empty"),
        ({"seeds": (-1,)}, "--seed -1: must be 0 or more"),
        ({"scale": float("nan"), "adapters": ("good.safetensors",)}, "--scale nan"),
        ({"scale": 0.5}, "give one with --adapter"),
        ({"adapters": ("good.safetensors:nan",)}, "--adapter good.safetensors:nan: the scale must be a number"),
        ({"adapters": ("good.safetensors", "wide.safetensors")}, "does not fit embedded:base"),
        ({"adapters": ("good.safetensors", "vae.safetensors")}, "the model has no place for decoder.weight (1 of 1"),
        ({"adapters": ("good.safetensors",), "with_base": True, "output": Path("two.png")}, "2 images need a folder"),
        ({"with_base": False}, "--without-base: leaves nothing to draw"),
        ({"size": "64"}, "--size '64': write it as HEIGHTxWIDTH"),
        ({"size": "0x48"}, "--size '0x48'"),
        ({"size": "62x48"}, "--size: 62x48 pixels do not divide by"),
        ({"steps": 0}, "--steps 0: must be from 1"),
        ({"steps": 1000}, "--steps 1000: must be from 1 to 999"),
        ({"guidance": -1.0}, "--guidance -1.0: must be 0 or more"),
        ({"refine_fraction": 1.0}, "--refine-fraction 1.0: must be from 0 to below 1"),
        ({"adapters": ("nowhere.safetensors",)}, "there is no such file"),
        ({"adapters": ("empty",)}, "holds no adapter/pytorch_lora_weights.safetensors"),
        ({"adapters": ("text.safetensors",)}, "is no whole safetensors file"),
        ({"adapters": ("cut.safetensors",)}, "is no whole safetensors file"),
        ({"adapters": ("weights.bin",)}, "must be a .safetensors file"),
        ({"adapters": ("models:/exp2-tiny@best",)}, "there is no MLflow store"),
        ({"adapters": ("wide.safetensors",)}, "does not fit embedded:base"),
        ({"adapters": ("layer.safetensors",)}, "does not fit embedded:base: the model has no place for unet."),
        ({"adapters": ("vae.safetensors",)}, "the model has no place for decoder.weight (1 of 1 tensors has none)"),
        ({"output": Path("taken.png")}, "exists already"),
        ({"output": Path("note")}, "is a file; name a folder"),
        ({"output": Path("note/below")}, "nothing can be written in"),
        ({"output": Path("a.jpg")}, "written as .png"),
        ({"output": Path("two.png"), "seeds": (0, 1)}, "2 images need a folder"),
        ({"settings": ["data.fashion.evaluation.height=62"]}, "do not divide"),
        ({"settings": ["sweep.judge=[general]"]}, "there is no sweep here"),
        ({"settings": ["generation.stps=3"]}, "did you mean"),
        ({"preset": "tny"}, "did you mean 'tiny'?"),
        ({"settings": ["model.base=./nowhere"]}, "neither a folder nor a hub id"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(things, change, said):
    change = {"prompts": (PROMPT,), "preset": "tiny", "settings": [], **change}
    preset, settings = change.pop("preset"), change.pop("settings")
    before = sorted(things.rglob("*"))
    with pytest.raises(FashionSweepError) as caught:
        generate(DrawingRequest(**change), preset, [*QUICK, *settings], QUIET)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert sorted(things.rglob("*")) == before


def test_a_run_folder_given_for_a_trials_names_one_of_its_trials(adapter, tmp_path):
    trained = RunPaths(tmp_path / "run").trial("unet-r2")
    trained.adapter.parent.mkdir(parents=True)
    trained.adapter.write_bytes(adapter.read_bytes())
    with pytest.raises(ConfigError, match=f"for instance {trained.root}"):
        find_adapter(str(tmp_path / "run"), tmp_path)
