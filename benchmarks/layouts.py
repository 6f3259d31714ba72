"""One training in several layouts of workers and micro-batches: how far adapter and metrics move.

    python benchmarks/layouts.py                # five runs of the tiny preset, ten minutes
    python benchmarks/layouts.py --steps 1      # before rounding has had time to grow

Runs go through `fashion_sweep run`, into a folder that is removed afterwards. The first layout is what the others are
compared with. A difference is the norm of the difference over the norm of the first; that of the adapter is of all
tensors together.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

LAYOUTS = {
    "1 worker x 16": [1, None],
    "2 workers x 8": [2, None],
    "1 worker, micro-batches of 4": [1, 4],
    "2 workers, micro-batches of 4": [2, 4],
    "1 worker, micro-batches of 8": [1, 8],
}
TRIAL = "{unet: 4, text_encoders: 1}"
METRICS = ("fid", "kid", "clip_score")


def train(workers: int, micro_batch_size: int | None, steps: int, folder: Path) -> Path:
    """The trial's folder."""
    settings = {
        "sweep.trials": f"[{TRIAL}]",
        "training.batch_size": 16,
        "training.steps": steps,
        "training.micro_batch_size": "null" if micro_batch_size is None else micro_batch_size,
        "resources.workers_per_trial": workers,
    }
    command = [sys.executable, "-m", "fashion_sweep", "run", "exp2", "--preset", "tiny", "--name", folder.name]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    subprocess.run(command, check=True, env=os.environ | {"FASHION_SWEEP_RUNS": str(folder.parent)}, stdout=sys.stderr)
    (trial,) = (folder / "trials").iterdir()
    return trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory(prefix="layouts-") as runs:
        trials = {
            name: train(*layout, steps, Path(runs) / f"layout-{number}")
            for number, (name, layout) in enumerate(LAYOUTS.items())
        }
        adapters = {name: load_file(next((trial / "adapter").glob("*.safetensors"))) for name, trial in trials.items()}
        results = {name: json.loads((trial / "result.json").read_text()) for name, trial in trials.items()}
    first = adapters[next(iter(LAYOUTS))]
    table = Table(title=f"{TRIAL}, tiny preset, {results[next(iter(LAYOUTS))]['steps']} steps of 16 samples")
    for column in (
        "layout",
        "equal tensors",
        "largest of a tensor",
        "of the adapter",
        *METRICS,
        "train_loss",
        "val_loss",
    ):
        table.add_column(column, justify="left" if column == "layout" else "right")
    for name, adapter in adapters.items():
        moved = {key: (adapter[key] - first[key]).norm() / first[key].norm().clamp_min(1e-30) for key in first}
        whole = math.sqrt(
            sum(float((adapter[key] - first[key]).norm()) ** 2 for key in first)
            / sum(float(first[key].norm()) ** 2 for key in first)
        )
        equal = sum(bool((adapter[key] == first[key]).all()) for key in first)
        judged = results[name]["evaluations"]["fashion"] | results[name]
        numbers = [f"{judged[metric]:.7g}" for metric in (*METRICS, "train_loss", "val_loss")]
        table.add_row(name, f"{equal} of {len(first)}", f"{max(moved.values()).item():.2e}", f"{whole:.2e}", *numbers)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
