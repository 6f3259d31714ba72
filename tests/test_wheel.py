"""What `pip install` of the wheel brings: the commands work from any folder, without a checkout beside them."""

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fashion_sweep"
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def done(command: list[str | Path], folder: Path) -> str:
    """What a command prints that sees nothing of the checkout but what is installed."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    return folder / done([sys.executable, "-c", BUILD, folder], ROOT).strip()


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel, which finds its dependencies where those of the tests are."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    done([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel], folder)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return folder / "bin"


def test_the_wheel_holds_all_that_a_run_reads_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    making = PACKAGE / "tiny" / "making"
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    expected = {path.relative_to(ROOT).as_posix() for path in files if making not in path.parents}
    assert names == expected | {f"fashion_sweep/sweeps/{path.name}" for path in (ROOT / "sweeps").glob("*.yaml")}


def test_an_installed_copy_plans_the_sweeps_that_come_with_it_from_any_folder(installed, tmp_path):
    where = [installed / "python", "-c", "import fashion_sweep; print(fashion_sweep.__file__)"]
    assert str(installed.parent) in done(where, tmp_path)
    planned = done([installed / "fashion-sweep", "plan", "exp2"], tmp_path)
    assert planned == done([sys.executable, "-m", "fashion_sweep", "plan", "exp2"], ROOT)
    assert "UNet rank 1" in planned
