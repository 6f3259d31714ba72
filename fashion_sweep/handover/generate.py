"""Draws images of adapters on demand, as judging draws them. Torch is imported once nothing else can be wrong."""

import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.config.preset import Preset
from fashion_sweep.errors import ConfigError
from fashion_sweep.handover.adapters import find_adapter, split_scale
from fashion_sweep.handover.requests import DrawingRequest, GridRow, check_request, make_rows, settings_told
from fashion_sweep.models.checks import check_model, check_size
from fashion_sweep.models.registry import architecture_of
from fashion_sweep.report.grid import write_grid
from fashion_sweep.run.events import Observer

if TYPE_CHECKING:
    from fashion_sweep.generation.generator import Generator
    from fashion_sweep.models.model import Model

DEFAULT_FOLDER = Path("generated")
OTHER_FORMATS = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


def generate(wish: DrawingRequest, preset: str | None, settings: Sequence[str], console: Console) -> list[Path]:
    """Writes the images, and a grid where there are several, and returns the paths of all.

    Raises:
        ConfigError: something in the wish does not fit.
        RunError: MLflow does not deliver an adapter.
    """
    check_request(wish)
    targets = _targets(wish)
    scaled = [split_scale(adapter, wish.scale) for adapter in wish.adapters]
    with tempfile.TemporaryDirectory(prefix="fashion-sweep-") as downloads:
        with console.status("reading the adapter …"):
            adapters = [(find_adapter(name, Path(downloads) / str(i)), scale) for i, (name, scale) in enumerate(scaled)]
            rows = make_rows(wish, adapters, preset, settings)
            drawn = rows[0].preset
            key = "--size" if wish.size else f"data.{drawn.training_set}.evaluation"
            check_model(_model_of(drawn))
            check_size(drawn.model, key, drawn.picture_size())
        if note := settings_told([adapter for adapter, _ in adapters], preset):
            console.print(note, style="dim", soft_wrap=True, markup=False)
        model = _load(rows, console)
        written = _draw(wish, rows, model, targets, console)
    return [*written, *_grid(wish, rows, written)]


def _targets(wish: DrawingRequest) -> list[Path]:
    """Returns the files to write, which do not exist yet: the one named, or the next numbers in the folder."""
    count, output = wish.images, wish.output or DEFAULT_FOLDER
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


def _load(rows: Sequence[GridRow], console: Console) -> "Model":
    """Loads the one model of all rows, and checks that every adapter fits it."""
    preset = rows[0].preset
    names = [f"{row.adapter.name}{row.adapter.title}" for row in rows if row.adapter.file]
    with_adapters = f" with {', '.join(names)}" if names else ""
    console.print(f"{preset.model.base}{with_adapters}, preset {preset.name}", style="dim", soft_wrap=True)
    from fashion_sweep.models.registry import default_device, load_model

    config = _model_of(preset)
    model = load_model(config, default_device(), for_pictures=True)
    for row in rows if len(rows) > 1 else ():  # before the first image, not after half of them
        with _applied(model, row):
            pass
    return model


def _model_of(preset: Preset) -> ModelConfig:
    """Returns the model's configuration without the models that make no step of a picture."""
    return architecture_of(preset.model).for_pictures(preset.drawing_model(), preset.generation.refine_fraction)


@contextmanager
def _applied(model: "Model", row: GridRow) -> Iterator[None]:
    """Keeps a row's adapter in the model while the block runs."""
    from fashion_sweep.adapters.fusing import adapted

    with ExitStack() as stack:
        for file in filter(None, (row.adapter.file, row.adapter.words)):
            architecture = architecture_of(row.preset.model)
            try:
                stack.enter_context(adapted(file, architecture, model.components, row.scale, model.token_row))
            except ConfigError as error:
                base = row.preset.model.base
                raise ConfigError(f"--adapter {row.adapter.name}: does not fit {base}: {error}") from error
        yield


def _generator(model: "Model", row: GridRow, on_step: Callable[[], None]) -> "Generator":
    from fashion_sweep.generation.generator import Generator

    return Generator(
        model=model,
        config=row.preset.generation,
        size=row.preset.picture_size(),
        original_size=row.original_size,
        negative_prompt=row.negative_prompt,
        prefix=row.adapter.prompt_prefix,
        on_step=on_step,
    )


class _Announcing(Observer):
    """An observer that announces each image, and has a progress bar for its steps."""

    def __init__(self, progress: Progress, console: Console, images: int, steps: int) -> None:
        self.progress, self.console, self.images = progress, console, images
        self.bar: TaskID = progress.add_task("", total=steps)
        self.row, self.first = "", 1

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[None]:
        doing = f"{self.row}, image {self.first + facts['first']} of {self.images}"
        self.progress.update(self.bar, description=f"{doing}, steps")
        if not self.console.is_terminal:
            self.console.print(doing, style="dim", markup=False, soft_wrap=True)
        yield


def _draw(
    wish: DrawingRequest, rows: Sequence[GridRow], model: "Model", targets: Sequence[Path], console: Console
) -> list[Path]:
    """Draws one image at a time: its bytes depend on its own adapter, prompt and seed, not on the other images."""
    from fashion_sweep.generation.drawing import draw

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    steps = sum(row.preset.generation.num_inference_steps for row in rows)
    drawn = wish.draws(len(rows))
    prompts, draws = [prompt for prompt, _ in drawn], [(seed, 0) for _, seed in drawn]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        announcing = _Announcing(progress, console, len(targets), len(drawn) * steps)
        for number, row in enumerate(rows):
            first = number * len(drawn)
            announcing.row, announcing.first = row.title, first + 1
            with _applied(model, row):
                generator = _generator(model, row, lambda: progress.advance(announcing.bar))
                keep = _saving(row, drawn, targets[first : first + len(drawn)])
                draw(generator, prompts, draws, keep, batch_size=1, observer=announcing)
    return list(targets)


def _saving(row: GridRow, drawn: Sequence[tuple[str, int]], targets: Sequence[Path]) -> Callable[[range, Any], None]:
    """Returns a function that writes a row's images, with their origin in each file."""
    from fashion_sweep.generation.drawing import save_png

    def keep(indices: range, images: Any) -> None:
        for index, image in zip(indices, images, strict=True):
            prompt, seed = drawn[index]
            origin = {"prompt": prompt, "seed": seed, **row.description()}
            save_png(targets[index], image, {**origin, "parameters": row.parameters(prompt, seed)})

    return keep


def _grid(wish: DrawingRequest, rows: Sequence[GridRow], images: Sequence[Path]) -> list[Path]:
    """Writes a grid of adapters by prompts with seeds; for one adapter, of seeds by prompts. Returns its path."""
    if len(images) == 1:
        return []
    if len(rows) == 1:
        titles, headings = [f"seed {seed}" for seed in wish.seeds], list(wish.prompts)
    else:
        seeded = (lambda seed: f"seed {seed}: ") if len(wish.seeds) > 1 else lambda seed: ""
        titles = [row.title for row in rows]
        headings = [f"{seeded(seed)}{prompt}" for prompt, seed in wish.draws(len(rows))]
    cells = [images[start : start + len(headings)] for start in range(0, len(images), len(headings))]
    path = _free(images[0].parent / "grid.png")
    write_grid(path, titles, headings, cells)
    return [path]


def _free(path: Path) -> Path:
    """Returns `path`, or the path with the next free number where it exists."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(1))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())
