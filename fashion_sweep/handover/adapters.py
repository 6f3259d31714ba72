"""Opens the adapters that `generate` gets: from MLflow's registry, a trial's folder, an export, or a plain file."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from fashion_sweep.adapters.formats import WORDS_FILE, holds_tokens
from fashion_sweep.adapters.metadata import PREFIX, judged_in, original_size_in, prompt_prefix_in, size_of, tokens_in
from fashion_sweep.config.loading import load_preset, read_run_config
from fashion_sweep.config.named_files import PRESETS
from fashion_sweep.config.preset import Preset
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.doors import TASKS
from fashion_sweep.errors import ConfigError
from fashion_sweep.run.paths import RunPaths, TrialPaths, runs_root
from fashion_sweep.run.stage_inputs import fetch_for_drawing
from fashion_sweep.storage import remote
from fashion_sweep.tracking.fetching import fetch

TRAINING_SET = re.compile(r"^data\.[\w-]+\.")
WITH_SCALE = re.compile(r"(?P<given>.+):(?P<scale>[+-]?(\d+\.?\d*|\.\d+|nan|inf))")


@dataclass(frozen=True)
class Adapter:
    """An adapter file, and what is known of its training."""

    name: str
    label: str
    """A short name, for a grid."""
    file: Path | None = None
    words: Path | None = None
    """The file of the words that it learnt, where `file` does not hold them."""
    trained_with: Preset | None = None
    """The preset of the run that trained the adapter."""
    judged_as: Preset | None = None
    """The preset by the file's metadata where the run is not at hand: how pictures were judged, the model by name."""
    title: str = ""
    """The adapter's configuration, and whether a verdict chose it."""
    original_size: tuple[int, int] | None = None
    """The (height, width) that its training was conditioned on."""
    prompt_prefix: str = ""
    """What prompts begin with, where it learnt words of its own."""


def split_scale(given: str, default: float) -> tuple[str, float]:
    """Splits `FILE:0.8` into the file and 0.8. An existing file whose very name ends so is taken as it is.

    Raises:
        ConfigError: the scale is no finite number.
    """
    parts = WITH_SCALE.fullmatch(given)
    if parts is None or os.path.exists(os.path.expanduser(given)):
        return given, default
    scale = float(parts["scale"])
    if not math.isfinite(scale):
        raise ConfigError(f"--adapter {given}: the scale must be a number such as 0.8")
    return parts["given"], scale


def find_adapter(given: str, downloads: Path) -> Adapter:
    """Finds the adapter that was given, and opens it as far as a safetensors file can be opened.

    Raises:
        ConfigError: it is not there, or no adapter.
        RunError: MLflow does not deliver it.
    """
    if not given.strip():
        raise ConfigError("--adapter: is empty; leave it out for the base model")
    if given.startswith("models:"):
        fetched = fetch(given, downloads)
        adapter = Adapter(
            name=fetched.address,
            label=fetched.tags.get("configuration", fetched.address),
            file=fetched.file,
            title=_title(fetched.tags),
            trained_with=read_run_config(fetched.config).preset if fetched.config else None,
            original_size=size_of(fetched.tags.get("original_size", "")),
        )
    else:
        adapter = _from_disk(given)
    path = adapter.file
    assert path
    try:
        with safe_open(path, "np") as file:
            metadata, keys = file.metadata() or {}, [*file.keys()]
    except SafetensorError as error:
        raise ConfigError(f"--adapter {given}: is no whole safetensors file ({error})") from error
    adapter = replace(adapter, prompt_prefix=prompt_prefix_in(metadata))
    if holds_tokens(keys):
        told = prompt_prefix_in(metadata) if tokens_in(metadata) else f"{path.stem} "
        adapter = replace(adapter, prompt_prefix=told)
    elif tokens_in(metadata):
        adapter = replace(adapter, words=_words_beside(given, path))
    if adapter.original_size is None:
        adapter = replace(adapter, original_size=original_size_in(metadata))
    return adapter if adapter.trained_with else replace(adapter, judged_as=_judged_as(given, metadata))


def _words_beside(given: str, file: Path) -> Path:
    words = file.with_name(WORDS_FILE)
    if not words.is_file():
        raise ConfigError(f"--adapter {given}: learnt words, which are in {WORDS_FILE}; put that beside it")
    return words


def _judged_as(given: str, metadata: Mapping[str, str]) -> Preset | None:
    if not (judged := judged_in(metadata)):
        return None
    name = metadata.get(f"{PREFIX}preset")
    name = name if name in {path.stem for path in PRESETS.glob("*.yaml")} else None
    prefix = f"data.{load_preset(name).training_set}."  # whatever the data set is called that it was trained on
    try:
        return load_preset(name, values={TRAINING_SET.sub(prefix, key): value for key, value in judged.items()})
    except ConfigError as error:
        raise ConfigError(f"--adapter {given}: tells settings that do not fit: {error}") from error


def _title(tags: Mapping[str, str]) -> str:
    undecided = ", undecided" if tags.get("decided") == "false" else ""
    return f" ({tags['configuration']}{undecided})" if "configuration" in tags else ""


def _fetched(given: str) -> Path:
    """Fetches `RUN/trials/TRIAL` of a runs folder in object storage, with what is known of its training."""
    path = runs_root() / given
    fetch_for_drawing(RunPaths(path.parent.parent), TrialPaths(path))
    return path


def _from_disk(given: str) -> Adapter:
    path = Path(os.path.expanduser(given)).absolute()
    if not path.exists() and remote.current():
        path = _fetched(given)
    if path.is_dir():
        inside = [TrialPaths(path).adapter, path / TrialPaths(path).adapter.name]
        exported = [file for file in path.glob("*.safetensors") if file.name != WORDS_FILE]
        single = [*exported, *([path / WORDS_FILE] if not exported else [])]  # the first has a name of its own
        adapter_file = next((file for file in [*inside, *(single if len(single) == 1 else [])] if file.is_file()), None)
        if adapter_file is None:
            trials = sorted(file.parent.parent for file in path.glob("trials/*/adapter/*.safetensors"))
            remedy = f"; give one of its trials, for instance {trials[0]}" if trials else ""
            raise ConfigError(f"--adapter {given}: holds no {inside[0].relative_to(path)}{remedy}")
        path = adapter_file
    if not path.is_file():
        raise ConfigError(f"--adapter {given}: there is no such file; adapters of the registry are models:/NAME@best")
    if path.suffix != ".safetensors":
        raise ConfigError(f"--adapter {given}: must be a .safetensors file")
    run = RunPaths(path.parents[min(3, len(path.parents) - 1)])
    if run.trial(path.parent.parent.name).adapter != path or not run.config.is_file():
        label = path.stem if path.name != TrialPaths(path).adapter.name else path.parent.name
        return Adapter(str(path), label, path, trained_with=_preset_of_export(path))
    config = read_run_config(run.config)
    task, name = TASKS[config.sweep.task], config.preset.training_set
    catalogue = run.catalogue(name)
    return Adapter(
        name=str(path),
        label=f"{run.name}: {path.parent.parent.name}",
        file=path,
        trained_with=config.preset,
        original_size=task.original_size(config, name, read_catalogue(catalogue)) if catalogue.is_file() else None,
    )


def _preset_of_export(path: Path) -> Preset | None:
    """Returns the preset of the run whose folder still holds the export; None where no such run is there."""
    run = RunPaths(path.parents[min(2, len(path.parents) - 1)])
    there = run.exports == path.parent.parent and run.config.is_file()
    return read_run_config(run.config).preset if there else None
