"""The structure of the package, read from its source: who may import whom, and what stays out of quick commands."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fashion_sweep"
LAYERS = [  # each line imports only itself and the lines before it
    ["errors", "rng", "doors"],
    ["storage"],
    ["config", "process"],
    ["run"],
    ["tiny"],
    ["data"],
    ["models", "adapters", "metrics"],
    ["planning", "statistics"],
    ["judging"],
    ["encodings", "generation", "training"],
    ["cluster", "tracking"],
    ["report"],
    ["handover"],
    ["tasks"],
    ["rehearsal"],
    ["cli", "__main__"],
]
TORCH_FREE = [
    "cli.app",
    "config.loading",
    "encodings.parts",
    "encodings.size",
    "handover.export",
    "metrics.fid",
    "metrics.kid",
    "models.checks",
    "planning.inspection",
    "planning.plan",
    "run.paths",
    "statistics.comparison",
    "statistics.race",
    "tasks.preflight",
    "tasks.reuse",
    "tasks.sweep",
]
OUTSIDE_A_RUN = "fashion_sweep.tiny.making"
"""How the embedded weights were made: only itself imports it."""


def modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py"]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def layer_of(name: str) -> int:
    return next(height for height, layer in enumerate(LAYERS) if name.split(".")[1] in layer)


def imported_by(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def own_imports(path: Path) -> set[str]:
    return {name for name in imported_by(path) if name.startswith("fashion_sweep.")} & {*map(name_of, modules())}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_only_point_to_earlier_layers(path):
    assert {name for name in own_imports(path) if layer_of(name) > layer_of(name_of(path))} == set()


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter({name_of(path): own_imports(path) - {name_of(path)} for path in modules()}).prepare()


@pytest.mark.parametrize("folder", ["models.sd3", "models.sdxl", "tasks.catalogue", "tasks.garment"])
def test_what_a_door_opens_is_imported_through_it_alone(folder):
    """But for the commands of garments, which are theirs."""
    inside = f"fashion_sweep.{folder}"
    users = {name_of(path) for path in modules() if any(name.startswith(f"{inside}.") for name in own_imports(path))}
    assert {name for name in users if not name.startswith(inside)} <= {"fashion_sweep.cli.garment"}


def test_few_modules_stand_at_the_top():
    assert len([path for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", "__main__")]) <= 6


@pytest.mark.parametrize(("library", "owner"), [("ray", "cluster"), ("optuna", "cluster"), ("mlflow", "tracking")])
def test_a_service_is_imported_in_one_place_only(library, owner):
    users = [path for path in modules() if any(name.split(".")[0] == library for name in imported_by(path))]
    assert {path.relative_to(PACKAGE).parts[0] for path in users} == {owner}


def test_nothing_that_a_run_does_imports_how_the_embedded_weights_were_made():
    users = [path for path in modules() if any(name.startswith(OUTSIDE_A_RUN) for name in imported_by(path))]
    assert {name_of(path).rpartition(".")[0] for path in users} == {OUTSIDE_A_RUN}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_objects_in_a_bucket_are_fetched_where_a_stage_begins_and_nowhere_else(path):
    if name_of(path) == "fashion_sweep.run.stage_inputs" or name_of(path).startswith("fashion_sweep.storage"):
        return
    assert "remote.fetch" not in path.read_text(encoding="utf-8")
    assert not {name for name in imported_by(path) if name.startswith("fashion_sweep.storage.remote.fetch")}


def test_quick_commands_do_not_load_torch():
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"fashion_sweep.{name}")
    heavy = {"torch", "ray", "mlflow"} & set(sys.modules)
    assert not heavy, f"{name} loads {heavy}"
"""
    ended = subprocess.run([sys.executable, "-c", code, *TORCH_FREE], check=False, capture_output=True, text=True)
    assert not ended.returncode, ended.stderr


def test_files_and_functions_stay_small():
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 270, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 50, f"{path}: {node.name}"


def test_no_two_classes_share_a_name():
    names = [
        node.name.lstrip("_")
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert {name for name in names if names.count(name) > 1} == set()
