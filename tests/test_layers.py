"""The structure of the package, read from its source: who may import whom, and what stays out of quick commands."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fashion_sweep"
LAYERS = [  # each imports only itself and what stands before it
    "errors",
    "storage",
    "files",
    "environment",
    "space",
    "search_space",
    "sweep_file",
    "config",
    "safe_yaml",
    "config_files",
    "paths",
    "identity",
    "status",
    "attempts",
    "trials",
    "timing",
    "draws",
    "tiny",
    "data",
    "models",
    "training",
    "evaluation",
    "checks",
    "data_check",
    "plan",
    "caching",
    "cluster",
    "trial",
    "tracking",
    "report",
    "handover",
    "facts",
    "run_folder",
    "reuse",
    "garment",
    "subject",
    "sweep",
    "rehearsal",
    "commands",
    "cli",
    "__main__",
]
TORCH_FREE = ["fashion_sweep.cli", "fashion_sweep.config_files", "fashion_sweep.paths", "fashion_sweep.space"]
TORCH_FREE += [
    "fashion_sweep.checks",
    "fashion_sweep.data_check",
    "fashion_sweep.caching.parts",
    "fashion_sweep.caching.size",
    "fashion_sweep.plan",
    "fashion_sweep.reuse",
    "fashion_sweep.sweep",
    "fashion_sweep.handover.export",
    "fashion_sweep.evaluation.fid",
    "fashion_sweep.evaluation.kid",
    "fashion_sweep.evaluation.choose",
    "fashion_sweep.evaluation.compare",
]


def modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py"]


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_by(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_only_point_to_earlier_layers(path):
    allowed = set(LAYERS[: LAYERS.index(layer_of(path)) + 1])
    used = {name.split(".")[1] for name in imported_by(path) if name.startswith("fashion_sweep.")}
    assert used & set(LAYERS) <= allowed


@pytest.mark.parametrize(("library", "owner"), [("ray", "cluster"), ("optuna", "cluster"), ("mlflow", "tracking")])
def test_a_service_is_imported_in_one_place_only(library, owner):
    importers = {
        layer_of(path) for path in modules() if any(name.split(".")[0] == library for name in imported_by(path))
    }
    assert importers == {owner}


@pytest.mark.parametrize("module", TORCH_FREE)
def test_quick_commands_do_not_load_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'ray' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_files_and_functions_stay_small():
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 270, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 50, f"{path}: {node.name}"
