"""The name by which a sweep asks for the denoiser of any architecture."""

from collections.abc import Mapping
from typing import Any

from fashion_sweep.doors import ARCHITECTURES

DENOISER = "denoiser"
"""What sweeps call it: the first placement of each architecture, for instance the UNet of SDXL."""


def with_own_name(sweep: dict[str, Any], architecture: str) -> dict[str, Any]:
    """Returns a sweep file's values with the architecture's own name wherever they have `denoiser` for a placement."""
    own = next(iter(ARCHITECTURES[architecture].placements))

    def named(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {named(key): part for key, part in value.items()}
        if isinstance(value, list):
            return [named(one) for one in value]
        first, dot, rest = value.partition(".") if isinstance(value, str) else (value, "", "")
        return f"{own}{dot}{rest}" if first == DENOISER else value

    values = dict(sweep)
    if "trials" in values:
        values["trials"] = named(values["trials"])
    if isinstance(space := values.get("space"), Mapping):
        values["space"] = dict(space)
        if "placements" in space:
            values["space"]["placements"] = named(space["placements"])
        if isinstance(budget := space.get("budget"), Mapping) and "equal_to" in budget:
            values["space"]["budget"] = dict(budget) | {"equal_to": named(budget["equal_to"])}
    return values
