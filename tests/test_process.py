"""Environments that were made for others: a command works in each of them."""

import getpass
import os
import subprocess
import sys
import tempfile

import pytest

from fashion_sweep.errors import RunError
from fashion_sweep.process import settle_environment
from fashion_sweep.storage.files import private_folder
from tests.report.synthetic_run import finished_run

TERMINALS = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252:strict"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
EMPTY = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "FASHION_SWEEP_PRESET", "FASHION_SWEEP_SCRATCH", "HF_HOME", "TMPDIR")
OF_A_NOTEBOOK = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": "", "XDG_CACHE_HOME": ""}


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_report_is_written_and_shown_in_any_terminal_and_below_a_notebook(terminal, runs_root, tmp_path):
    run = finished_run(runs_root / "first")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n", encoding="utf-8")  # there is no TeX
    odd = TERMINALS[terminal] | dict.fromkeys(EMPTY, "") | OF_A_NOTEBOOK
    command = [sys.executable, "-m", "fashion_sweep", "report", "first"]
    done = subprocess.run(command, env=os.environ | odd, capture_output=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"UNet rank" in done.stdout
    assert "–" in run.report.read_text(encoding="utf-8") + run.page.read_text(encoding="utf-8")
    assert run.grid.is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "matplotlibrc"}


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A user without an entry among the users, whose temporary folder is this."""

    def getuser():
        raise KeyError("getpwuid(): uid not found: 4321")

    for name in ("MPLBACKEND", "USER", "HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(getpass, "getuser", getuser)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("home", ["", "/", "/nowhere", "~"])
def test_a_user_without_a_home_gets_a_private_one_and_is_told(home, nobody, monkeypatch, capsys):
    monkeypatch.setenv("HOME", home)
    if not home:
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    settle_environment()
    own = nobody / f"fashion-sweep-{os.getuid()}"
    assert (os.environ["HOME"], os.environ["USER"]) == (str(own), f"uid-{os.getuid()}")
    assert own.stat().st_mode & 0o777 == 0o700
    said = f"is {home!r}, where this user keeps nothing" if home else "is not set"
    assert capsys.readouterr().err == f"note: HOME {said}; in its place {own} is used\n"


def test_weights_in_a_home_that_cannot_be_written_to_are_still_found(nobody, monkeypatch):
    (nobody / "home" / ".cache" / "huggingface").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(nobody / "home"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    settle_environment()
    assert os.environ["HOME"] != str(nobody / "home")
    assert os.environ["HF_HOME"] == str(nobody / "home" / ".cache" / "huggingface")
    assert "TORCH_HOME" not in os.environ


def test_a_folder_that_another_has_put_in_the_place_of_a_private_one_is_refused(tmp_path):
    (tmp_path / "own").symlink_to(tmp_path)
    with pytest.raises(RunError, match="own is not this user's"):
        private_folder(tmp_path / "own")
