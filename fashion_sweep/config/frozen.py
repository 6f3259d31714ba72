"""The base class of all parts of the configuration: frozen, and without unknown keys."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator


class Frozen(BaseModel):
    """A part of the configuration: it does not change, forbids unknown keys and takes finite numbers alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _a_switch_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses true and false where a number belongs, which Python would take for 1 and 0."""
        if isinstance(value, bool) and info.field_name in cls.model_fields:
            types = _leaves(cls.model_fields[info.field_name].annotation)
            if types & {int, float} and bool not in types:
                raise ValueError("must be a number")
        return value


def _leaves(annotation: Any) -> set[Any]:
    """Returns the types that an annotation is made of."""
    inside = [_leaves(one) for one in get_args(annotation)]
    return set().union(*inside) if inside else {annotation}


def first_mistake(error: ValidationError) -> str:
    """Returns the first mistake that pydantic found, as key, message and value in one line."""
    first = error.errors()[0]
    where = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}{message}" if first["type"] == "missing" else f"{where}{message} (not {first['input']!r})"
