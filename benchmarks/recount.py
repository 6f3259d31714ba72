"""The parameters that `plan` counts for a sweep, recounted from adapters of the full size as files have them.

    python benchmarks/recount.py exp5                 # the sdxl preset
    python benchmarks/recount.py exp5 --preset tiny

The base model has random weights: no download. Each adapter is attached, saved, and exported in every format that has a
place for it; the values in each file are counted.
"""

import argparse
import tempfile
from pathlib import Path

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.formats import (
    FORMATS,
    SavedAdapter,
    count_saved,
    formats_of,
    read_adapter,
    write_words,
)
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.models.model import Model
from fashion_sweep.models.registry import load_model
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.rehearsal.scale import with_random_weights
from fashion_sweep.report.console import Terminal
from fashion_sweep.report.tables import Table, terminal
from fashion_sweep.report.words import GAP


def exported(adapter: SavedAdapter, name: str, config: RunConfig, folder: Path) -> int:
    """The values in all files of an export."""
    path = folder / name
    if adapter.of_weights.tensors:
        FORMATS[name](
            path if name == "peft" else path / "adapter.safetensors", adapter.of_weights, config.architecture, {}
        )
    if adapter.of_words.tensors:
        write_words(path / "words.safetensors", adapter.of_words, config.architecture, {})
    return sum(count_saved(file) for file in path.rglob("*.safetensors"))


def recount(model: Model, config: RunConfig, spec: TrialSpec) -> dict[str, int]:
    """The values of a trial's adapter by where they were counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved = folder / "trained.safetensors"
        parameters = attaching.attach(model.components, spec, config.training_of(spec), 0, model.token_row)
        try:
            attaching.save(saved, model.components, spec)
        finally:
            attaching.detach(model.components, spec)
        found = {"attached": sum(one.numel() for one in parameters.values()), "saved": count_saved(saved)}
        adapter = read_adapter(saved)
        return found | {name: exported(adapter, name, config, folder) for name in formats_of(spec)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep")
    parser.add_argument("--preset", default="sdxl")
    chosen = parser.parse_args()
    config = load_run_config(chosen.sweep, chosen.preset)
    config = config.model_copy(update={"preset": with_random_weights(config.preset)})
    model = load_model(config.preset.model, "cpu")
    places = ["attached", "saved", *FORMATS]
    rows, differ = [], 0
    for spec in {one.adapters: one for one in specs_of(config) if not one.is_base_model}.values():
        planned, found = parameters_of(config, spec), recount(model, config, spec)
        differ += any(count != planned for count in found.values())
        rows.append((spec.title, f"{planned:,}", *(f"{found[one]:,}" if one in found else GAP for one in places)))
    table = Table("Parameters by where they were counted", ("configuration", "plan", *places), tuple(rows))
    Terminal().print(terminal(table))
    print("all counts agree" if not differ else f"{differ} configurations differ")


if __name__ == "__main__":
    main()
