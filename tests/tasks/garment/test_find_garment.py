"""A garment by its name, wherever its run is."""

import pytest
from PIL import Image

from fashion_sweep.config.loading import load_preset
from fashion_sweep.data.garment import read_garments
from fashion_sweep.errors import ConfigError
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.storage.files import write_text
from fashion_sweep.tasks.garment.pictures import find_garment
from fashion_sweep.tasks.garment.recipe import garment_config


def trained(name: str, photo, run_name: str, adapter: bool = True) -> RunPaths:
    garments = read_garments([str(photo)], "sweater", "colour", name)
    run = RunPaths(runs_root() / run_name)
    write_text(run.config, garment_config(load_preset("tiny"), garments).to_yaml())
    if adapter:
        write_text(run.trial(name).adapter, "an adapter")
    return run


@pytest.mark.parametrize("remote", [False, True])
def test_a_garment_is_found_by_its_name_and_a_slip_is_told(tmp_path, monkeypatch, remote):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (60, 80), "blue").save(photo)
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("FASHION_SWEEP_RUNS", f"file://{tmp_path}/runs" if remote else str(tmp_path / "runs"))
    monkeypatch.setenv("FASHION_SWEEP_SCRATCH", str(tmp_path / "a"))
    run = trained("stripes", photo, "first")
    monkeypatch.setenv("FASHION_SWEEP_SCRATCH", str(tmp_path / "b"))  # another machine
    found = find_garment("stripes")
    assert (found.garment.name, found.run.name) == ("stripes", run.name)
    with pytest.raises(ConfigError, match="did you mean 'stripes'"):
        find_garment("stripe")
    trained("dots", photo, "second", adapter=False)
    with pytest.raises(ConfigError, match="'dots' has no adapter yet; see python -m fashion_sweep status second"):
        find_garment("dots")


@pytest.mark.parametrize(
    ("prefix", "drawn"),
    [
        (None, "{} a man in an sks top."),
        ("", "a man in an sks top."),
        ("Snow,", "Snow, a man in an sks top."),
    ],
)
def test_a_prompt_is_drawn_behind_the_recipes_prefix_or_another(tmp_path, monkeypatch, prefix, drawn):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (60, 80), "blue").save(photo)
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path / "runs"))
    run = trained("stripes", photo, "first")
    known = find_garment("stripes")
    assert known.run == run
    recipes = known.config.preset.garment.prefix
    assert known.prompts(["a man in an [v] top."], prefix) == [drawn.format(recipes)]
