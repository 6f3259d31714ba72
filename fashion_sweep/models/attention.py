"""Chooses the kernels that attention runs on. Imports no torch at module level: mistakes are reported in a second."""

import importlib
import json
import logging
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement

from fashion_sweep.errors import ConfigError

logger = logging.getLogger(__name__)
PACKAGE = "xformers"
BUILD_NOTE = "xformers/cpp_lib.json"


def choose_attention(wanted: Literal["auto", "sdpa", "xformers"], device: Any) -> Literal["sdpa", "xformers"]:
    """Chooses xFormers' memory-efficient attention where it is wanted and runs forward and backward on `device`.

    Raises:
        ConfigError: xFormers is asked for and does not run.
    """
    if wanted == "sdpa":
        return "sdpa"
    problem = missing() or _does_not_run(device)
    if problem is None:
        return "xformers"
    if wanted == "xformers":
        raise ConfigError(_refusal(problem))
    logger.info("attention: sdpa, since %s", problem)
    return "sdpa"


def check_attention(wanted: str) -> None:
    """Checks the wanted attention as far as that is possible without a device.

    Raises:
        ConfigError: xFormers is asked for, and not installed or made for another torch.
    """
    if wanted == "xformers" and (problem := missing()):
        raise ConfigError(_refusal(problem))


def missing() -> str | None:
    """Returns what keeps xFormers from being imported, by the metadata of the installed packages; None: nothing."""
    try:
        version, torch = metadata.version(PACKAGE), metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "xformers is not installed (pip install 'fashion-sweep[xformers]')"
    wanted = _wanted_torch()
    if wanted and not wanted.specifier.contains(torch.partition("+")[0], prereleases=True):
        return f"xformers {version} wants {_spelled(wanted)}, and torch {torch} is installed"
    return None


def _does_not_run(device: Any) -> str | None:
    import torch

    try:
        ops = importlib.import_module("xformers.ops")
        query = torch.zeros(1, 2, 1, 64, device=device, dtype=torch.bfloat16, requires_grad=True)
        ops.memory_efficient_attention(query, query, query).sum().backward()
    except Exception as error:  # whatever its compiled parts raise, it is of no use here
        reason = re.sub(r"\s+", " ", str(error)).partition(" with inputs")[0].strip()[:200]
        installed = f"torch {torch.__version__} is installed"
        return f"xformers {metadata.version(PACKAGE)} does not run on {device} ({reason}); {_made_for()}, {installed}"
    return None


def _made_for() -> str:
    """Returns the torch that the compiled parts were built for by the package's note, else what its metadata wants."""
    try:
        note = metadata.distribution(PACKAGE).locate_file(BUILD_NOTE)
        built_for = json.loads(Path(str(note)).read_text(encoding="utf-8"))["version"]["torch"]
        return f"it was built for torch {built_for}"
    except (metadata.PackageNotFoundError, OSError, ValueError, KeyError, TypeError):
        wanted = _wanted_torch()
        return f"it wants {_spelled(wanted)}" if wanted else "it was made for another torch"


def _wanted_torch() -> Requirement | None:
    for line in metadata.requires(PACKAGE) or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.name == "torch":
            return requirement
    return None


def _spelled(requirement: Requirement) -> str:
    return f"torch{requirement.specifier}"


def _refusal(problem: str) -> str:
    return f"model.attention: {problem}; model.attention=auto takes what runs"
