"""`generate`: images of an adapter on demand, and every mistake in asking for them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from fashion_sweep import adapters as module
from fashion_sweep.adapters import find_adapter
from fashion_sweep.config_files import load_preset, load_run_config
from fashion_sweep.data.catalogue import Catalogue, Record, write_catalogue
from fashion_sweep.errors import ConfigError, FashionSweepError
from fashion_sweep.evaluation.generate import Generator, write_samples
from fashion_sweep.files import write_text
from fashion_sweep.generate import generate
from fashion_sweep.models import lora
from fashion_sweep.models.load import load_model
from fashion_sweep.paths import RunPaths
from fashion_sweep.space import TrialSpec
from fashion_sweep.sweep_file import SamplePrompt
from fashion_sweep.tracking.registry import Fetched
from fashion_sweep.wishes import Wish

PROMPT = "a woman in a red cotton dress"
QUICK = ["generation.num_inference_steps=5"]
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def adapter(config, tmp_path_factory):
    """As training saves it, B drawn at random: UNet and both text encoders."""
    model = load_model(config.preset.model, "cpu")
    spec = TrialSpec.of({"unet": 2, "text_encoders": 1})
    draw = torch.Generator().manual_seed(0)
    for parameter in lora.attach(model, spec, config.preset.training, seed=0).values():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    path = tmp_path_factory.mktemp("adapter") / "mine.safetensors"
    lora.save(path, model, spec)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def draw(output: Path, adapter: Path | None = None, **others) -> Path:
    wish = Wish((PROMPT,), adapters=(str(adapter),) if adapter else (), output=output, **others)
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
    wish = Wish((PROMPT,), (3,), (str(trained.parent.parent),), output=tmp_path / "ours.png")
    generate(wish, None, QUICK, QUIET)
    preset = load_preset("tiny", QUICK)
    model = load_model(preset.model, "cpu", with_refiner=True)
    model.load_adapter(adapter)
    generator = Generator(model, preset.generation, preset.data.fashion.evaluation, (400, 300), None)
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
    (path,) = generate(Wish((PROMPT,), adapters=("models:/exp2-tiny@best",), output=tmp_path), None, [], QUIET)
    with Image.open(path) as image:
        said = [image.text[key] for key in ("adapter", "preset", "guidance", "steps")]
        assert said == ["models:/exp2-tiny/4", "tiny", "2", "5"]


def test_several_images_are_numbered_and_gridded_and_nothing_is_overwritten(tmp_path):
    folder = tmp_path / "pictures"
    wish = Wish((PROMPT, "a man in jeans, señor"), (0, 7), output=folder)
    paths = generate(wish, "tiny", QUICK, QUIET)
    assert [path.name for path in paths] == ["00.png", "01.png", "02.png", "03.png", "grid.png"]
    kept = {path: path.read_bytes() for path in paths}
    with Image.open(folder / "03.png") as image:
        assert image.text == {
            "prompt": "a man in jeans, señor",
            "seed": "7",
            "adapter": "none: the base model",
            "scale": "1",
            "preset": "tiny",
            "base_model": "embedded:base",
            "steps": "5",
            "guidance": "3",
            "size": "64x48",
            "original_size": "64x48",
            "refine_fraction": "0.2",
            "refiner": "embedded:refiner",
            "negative_prompt": load_preset("tiny").generation.base_negative_prompt,
        }
    more = generate(wish, "tiny", QUICK, QUIET)
    assert [path.name for path in more] == ["04.png", "05.png", "06.png", "07.png", "grid-1.png"]
    assert {path: path.read_bytes() for path in paths} == kept
    assert more[0].read_bytes() == paths[0].read_bytes()


@pytest.fixture
def things(adapter, tmp_path, monkeypatch) -> Path:
    """A folder of what may be given by mistake."""
    monkeypatch.chdir(tmp_path)
    Path("good.safetensors").write_bytes(adapter.read_bytes())
    Path("cut.safetensors").write_bytes(adapter.read_bytes()[:-9])
    Path("text.safetensors").write_text("these are no weights")
    Path("weights.bin").write_bytes(adapter.read_bytes())
    tensors = load_file(adapter)
    save_file({name: torch.cat([value, value], 1) for name, value in tensors.items()}, "wide.safetensors")
    save_file({name.replace("attn1", "attn7"): value for name, value in tensors.items()}, "layer.safetensors")
    save_file({"decoder.weight": torch.zeros(2, 2)}, "vae.safetensors")
    Path("empty").mkdir()
    Path("taken.png").write_bytes(b"a picture")
    Path("note").write_text("a file")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompts": ("  ",)}, "--prompt: is empty"),
        ({"seeds": (-1,)}, "--seed -1: must be 0 or more"),
        ({"scale": float("nan"), "adapters": ("good.safetensors",)}, "--scale nan"),
        ({"scale": 0.5}, "give one with --adapter"),
        ({"adapters": ("nowhere.safetensors",)}, "there is no such file"),
        ({"adapters": ("empty",)}, "holds no adapter/pytorch_lora_weights.safetensors"),
        ({"adapters": ("text.safetensors",)}, "is no whole safetensors file"),
        ({"adapters": ("cut.safetensors",)}, "is no whole safetensors file"),
        ({"adapters": ("weights.bin",)}, "must be a .safetensors file"),
        ({"adapters": ("models:/exp2-tiny@best",)}, "there is no MLflow store"),
        ({"adapters": ("wide.safetensors",)}, "does not fit embedded:base"),
        ({"adapters": ("layer.safetensors",)}, "does not fit embedded:base: the model has no layer unet."),
        ({"adapters": ("vae.safetensors",)}, "cannot be applied to embedded:base"),
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
        generate(Wish(**change), preset, [*QUICK, *settings], QUIET)
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
