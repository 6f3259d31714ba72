"""The base class of all parts of the configuration: frozen, and without unknown keys."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Frozen(BaseModel):
    """A part of the configuration: it does not change, forbids unknown keys and takes finite numbers alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


def first_mistake(error: ValidationError) -> str:
    """Returns the first mistake that pydantic found, as key, message and value in one line."""
    first = error.errors()[0]
    where = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}{message}" if first["type"] == "missing" else f"{where}{message} (not {first['input']!r})"
