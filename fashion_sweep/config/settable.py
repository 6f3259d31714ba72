"""What `--set` may name: the fields of presets and sweeps by their dotted names."""

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from fashion_sweep.config.model_config import ModelConfig, model_config_classes
from fashion_sweep.config.preset import Preset
from fashion_sweep.config.sweep import Sweep

SET = "NAME"
"""Stands for a data set's name in a key."""


def may_be_set(key: str) -> bool:
    """Returns whether a key is known, or of a mapping that takes any."""
    mapping = settable().get(settable_name(key.rpartition(".")[0]))
    return settable_name(key) in settable() or any(get_origin(one) is dict for one in options_of(mapping))


def settable_name(key: str) -> str:
    """Returns the key as `settable` has it, where any data set goes by one name."""
    section, *rest = key.split(".")
    return ".".join([section, SET, *rest[1:]]) if section == "data" and len(rest) > 1 else key


@cache
def settable() -> dict[str, Any]:
    """Returns the types of everything that `--set` may name, by dotted name."""
    return dict([*_fields(Preset), *_fields(Sweep, "sweep.")])


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted name and type of all fields of `model` and of the models in it."""
    for name, field in model.model_fields.items():
        yield prefix + name, field.annotation
        for option in options_of(field.annotation):
            by_name = get_origin(option) is dict
            inner, place = (get_args(option)[1], f"{name}.{SET}") if by_name else (option, name)
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                for one in model_config_classes() if inner is ModelConfig else [inner]:
                    yield from _fields(one, f"{prefix}{place}.")


def options_of(annotation: Any) -> tuple[Any, ...]:
    """Returns the types that a union is of, without what is annotated to them; any other type itself."""
    options = get_args(annotation) if get_origin(annotation) in (types.UnionType, Union) else (annotation,)
    return tuple(get_args(option)[0] if get_origin(option) is Annotated else option for option in options)
