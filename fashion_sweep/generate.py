"""Images of an adapter on demand, made as judging makes them. Torch is imported once nothing else can be wrong."""

import itertools
import math
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rich.console import Console
from safetensors import SafetensorError, safe_open

from fashion_sweep.checks import check_model, check_size
from fashion_sweep.config import Preset
from fashion_sweep.config_files import change_preset, load_preset, read_run_config
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.errors import ConfigError
from fashion_sweep.files import replacing
from fashion_sweep.paths import RunPaths, TrialPaths
from fashion_sweep.report.grid import write_grid
from fashion_sweep.tracking import fetch

if TYPE_CHECKING:
    from fashion_sweep.evaluation.generate import Generator

DEFAULT_FOLDER = Path("generated")
OTHER_FORMATS = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Wish:
    """Each prompt is drawn with each seed."""

    prompts: Sequence[str]
    seeds: Sequence[int] = (0,)
    adapter: str | None = None
    """`models:/…`, a file, or a trial's folder; None: the base model."""
    scale: float = 1.0
    output: Path | None = None


@dataclass(frozen=True)
class Adapter:
    """An adapter file, and what is known of its training."""

    name: str
    file: Path | None = None
    trained_with: Preset | None = None
    title: str = ""
    """Its configuration, and whether a verdict chose it."""
    original_size: tuple[int, int] | None = None
    """(height, width) that its training was conditioned on."""


def generate(wish: Wish, preset: str | None, settings: Sequence[str], console: Console) -> list[Path]:
    """Writes the images, and a grid where there are several; the paths of both.

    Raises:
        ConfigError: something in the wish does not fit.
        RunError: MLflow does not deliver the adapter.
    """
    _check(wish)
    targets = _targets(wish)
    with tempfile.TemporaryDirectory(prefix="fashion-sweep-") as downloads, console.status("reading the adapter …"):
        adapter = find_adapter(wish.adapter, Path(downloads))
        resolved = _preset(adapter, preset, settings)
        size = resolved.data.fashion.evaluation
        check_model(resolved.model)
        check_size(resolved.model, "data.fashion.evaluation", size)
        generator = _load(wish, adapter, resolved, console)
    return _write(wish, generator, targets, _description(wish, adapter, resolved), console)


def _check(wish: Wish) -> None:
    if not all(prompt.strip() for prompt in wish.prompts):
        raise ConfigError("--prompt: is empty; say what to show")
    for seed in wish.seeds:
        if seed < 0:
            raise ConfigError(f"--seed {seed}: must be 0 or more")
    if not math.isfinite(wish.scale):
        raise ConfigError(f"--scale {wish.scale}: must be a number such as 0.8")
    if wish.scale != 1 and wish.adapter is None:
        raise ConfigError("--scale: is the strength of an adapter; give one with --adapter")


def _targets(wish: Wish) -> list[Path]:
    """Files that do not exist yet: the one named, or the next numbers in the folder."""
    count, output = len(wish.prompts) * len(wish.seeds), wish.output or DEFAULT_FOLDER
    suffix = "" if output.is_dir() else output.suffix.lower()
    if suffix in OTHER_FORMATS:
        raise ConfigError(f"--output {output}: images are written as .png")
    if suffix == ".png":
        if count > 1:
            raise ConfigError(f"--output {output}: {count} images need a folder")
        if output.exists():
            raise ConfigError(f"--output {output}: exists already; name another")
    elif output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output}: is a file; name a folder, or a .png that does not exist yet")
    folder = output.parent if suffix == ".png" else output
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(f"--output {output}: nothing can be written in {existing}")
    if suffix == ".png":
        return [output]
    numbers = [int(path.stem) for path in folder.glob("*.png") if re.fullmatch(r"\d{2,9}", path.stem)]
    first = max(numbers, default=-1) + 1
    return [folder / f"{number:02d}.png" for number in range(first, first + count)]


def find_adapter(given: str | None, downloads: Path) -> Adapter:
    """Opens what was given, as far as a safetensors file can be opened.

    Raises:
        ConfigError: it is not there, or no adapter.
        RunError: MLflow does not deliver it.
    """
    if given is None:
        return Adapter("none: the base model")
    if given.startswith("models:"):
        fetched = fetch(given, downloads)
        size = re.fullmatch(r"(\d+)x(\d+)", fetched.tags.get("original_size", ""))
        adapter = Adapter(
            name=fetched.address,
            file=fetched.file,
            title=_title(fetched.tags),
            trained_with=read_run_config(fetched.config).preset if fetched.config else None,
            original_size=(int(size[1]), int(size[2])) if size else None,
        )
    else:
        adapter = _from_disk(given)
    try:
        with safe_open(adapter.file, "np"):
            pass
    except SafetensorError as error:
        raise ConfigError(f"--adapter {given}: is no whole safetensors file ({error})") from error
    return adapter


def _title(tags: Mapping[str, str]) -> str:
    undecided = ", undecided" if tags.get("decided") == "false" else ""
    return f" ({tags['configuration']}{undecided})" if "configuration" in tags else ""


def _from_disk(given: str) -> Adapter:
    path = Path(given).expanduser().absolute()
    if path.is_dir():
        inside = [TrialPaths(path).adapter, path / TrialPaths(path).adapter.name]
        found = next((file for file in inside if file.is_file()), None)
        if found is None:
            trials = sorted(file.parent.parent for file in path.glob("trials/*/adapter/*.safetensors"))
            remedy = f"; give one of its trials, for instance {trials[0]}" if trials else ""
            raise ConfigError(f"--adapter {given}: holds no {inside[0].relative_to(path)}{remedy}")
        path = found
    if not path.is_file():
        raise ConfigError(f"--adapter {given}: there is no such file; adapters of the registry are models:/NAME@best")
    if path.suffix != ".safetensors":
        raise ConfigError(f"--adapter {given}: must be a .safetensors file")
    run = RunPaths(path.parents[min(3, len(path.parents) - 1)])
    if run.trial(path.parent.parent.name).adapter != path or not run.config.is_file():
        return Adapter(str(path), path)
    config, catalogue = read_run_config(run.config), run.catalogue("fashion")
    return Adapter(
        name=str(path),
        file=path,
        trained_with=config.preset,
        original_size=read_catalogue(catalogue).original_size if catalogue.is_file() else None,
    )


def _preset(adapter: Adapter, name: str | None, settings: Sequence[str]) -> Preset:
    """The one asked for, else the one that the adapter was trained with, as it was then."""
    if name is not None or adapter.trained_with is None:
        return load_preset(name, settings)
    return change_preset(adapter.trained_with, settings)


def _load(wish: Wish, adapter: Adapter, preset: Preset, console: Console) -> "Generator":
    with_adapter = f" with {adapter.name}{adapter.title}" if wish.adapter else ""
    console.print(f"{preset.model.base}{with_adapter}, preset {preset.name}", style="dim", soft_wrap=True)
    import torch

    from fashion_sweep.evaluation.generate import Generator
    from fashion_sweep.models.load import load_model
    from fashion_sweep.models.lora import misfit

    try:
        model = load_model(preset.model, "cuda" if torch.cuda.is_available() else "cpu", with_refiner=True)
    except OSError as error:
        raise ConfigError(f"model.base {preset.model.base} cannot be loaded: {_first_line(error)}") from error
    if adapter.file is not None:
        if reason := misfit(adapter.file, model):
            raise ConfigError(f"--adapter {wish.adapter}: does not fit {preset.model.base}: {reason}")
        try:
            model.load_adapter(adapter.file, wish.scale)
        except (ValueError, RuntimeError, KeyError, IndexError, AttributeError, TypeError) as error:  # diffusers' own
            raise ConfigError(
                f"--adapter {wish.adapter}: cannot be applied to {preset.model.base}: {_first_line(error)}"
            ) from error
    size = preset.data.fashion.evaluation
    return Generator(
        model=model,
        config=preset.generation,
        size=size,
        original_size=adapter.original_size or (size.height, size.width),
        negative_prompt=preset.generation.base_negative_prompt if adapter.file is None else None,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]


def _description(wish: Wish, adapter: Adapter, preset: Preset) -> dict[str, Any]:
    """What every image of the wish is told to come from."""
    generation = preset.generation
    description = {
        "adapter": adapter.name,
        "scale": f"{wish.scale:g}",
        "preset": preset.name,
        "base_model": preset.model.base,
        "steps": generation.num_inference_steps,
        "guidance": f"{generation.guidance_scale:g}",
    }
    if adapter.file is None and generation.base_negative_prompt:
        description["negative_prompt"] = generation.base_negative_prompt
    return description


def _write(
    wish: Wish, generator: "Generator", targets: Sequence[Path], description: Mapping[str, Any], console: Console
) -> list[Path]:
    """One image at a time: its bytes depend on its own prompt and seed, not on what else is wished for."""
    pairs = list(itertools.product(wish.seeds, wish.prompts))
    with console.status("") as status:
        for number, ((seed, prompt), path) in enumerate(zip(pairs, targets, strict=True), 1):
            status.update(f"image {number} of {len(pairs)} …")
            image = generator.images([prompt], [(seed, 0)], batch_size=1)[0]
            info = PngInfo()
            for key, value in {"prompt": prompt, "seed": seed, **description}.items():
                info.add_text(key, str(value))
            with replacing(path) as temporary:
                Image.fromarray(image.permute(1, 2, 0).cpu().numpy()).save(temporary, pnginfo=info)
    if len(targets) == 1:
        return list(targets)
    grid, columns = _free(targets[0].parent / "grid.png"), len(wish.prompts)
    cells = [targets[start : start + columns] for start in range(0, len(targets), columns)]
    write_grid(grid, [f"seed {seed}" for seed in wish.seeds], list(wish.prompts), cells)
    return [*targets, grid]


def _free(path: Path) -> Path:
    """`path`, or with the next number where it exists."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(1))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())
