"""Settles the process's environment before a library reads it: what is missing in it, or was meant for others."""

import getpass
import io
import logging
import os
import sys
import tempfile
from pathlib import Path

from fashion_sweep.storage.files import private_folder

OURS = {"MPLBACKEND": "Agg"}
"""Variables set in every process: a notebook names a backend that its `!commands` inherit and do not have."""
DEFAULTS = {"HF_HUB_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "1"}
CHATTY = ("bitsandbytes",)
"""Libraries of whose loggers only errors are told: it warns of kernels that it could download."""
READ = ("FASHION_SWEEP_", "HF_", "HOME", "MLFLOW_", "MPLCONFIGDIR", "RAY_", "TMPDIR", "TORCH_", "XDG_")
"""Prefixes of variables that are removed where empty: libraries would take the empty text for the current folder."""
KEPT = {"HF_HOME": ".cache/huggingface", "TORCH_HOME": ".cache/torch"}
"""Cache folders that are still read in a home that cannot be written to, by the variable that names them."""


def settle_environment() -> None:
    """Settles the environment; called once, at first. Characters that the terminal lacks are replaced from then on.

    Raises:
        RunError: this user has no home, and somebody else has taken the place of one.
    """
    for name in [name for name, value in os.environ.items() if not value and name.startswith(READ)]:
        del os.environ[name]
    os.environ.update(OURS)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        getpass.getuser()
    except (KeyError, OSError):  # no such user in this container; libraries name folders after him
        os.environ["USER"] = f"uid-{os.getuid()}"
    _settle_home()


def _settle_home() -> None:
    """Sets HOME to a folder of our own where there is no usable one: Ray, MLflow, matplotlib and the hub need it."""
    home = Path(os.path.expanduser("~"))
    if home.is_absolute() and home != Path("/") and os.path.isdir(home) and os.access(home, os.W_OK | os.X_OK):
        return
    for name, place in KEPT.items():
        if home.is_absolute() and os.path.isdir(home / place):
            os.environ.setdefault(name, str(home / place))
    folder = private_folder(Path(tempfile.gettempdir()) / f"fashion-sweep-{os.getuid()}")
    problem = f"is {os.environ['HOME']!r}, where this user keeps nothing" if "HOME" in os.environ else "is not set"
    print(f"note: HOME {problem}; in its place {folder} is used", file=sys.stderr)
    os.environ["HOME"] = str(folder)
