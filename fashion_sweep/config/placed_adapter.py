"""One adapter of a trial: its placement in the base model, its kind and its options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from fashion_sweep.config.frozen import Frozen, first_mistake
from fashion_sweep.config.model_part import ModelPart
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.errors import ConfigError


class AdapterOptions(Frozen):
    """The options of one adapter in a sweep; each kind of adapter has its own fields."""

    names: ClassVar[Mapping[str, str]] = {}
    """The options beside the adapter's size, with their names in ids and titles."""

    @classmethod
    def from_plain(cls, value: Any) -> Self | None:
        """Returns the options that a single value stands for, as in `{unet: 4}`; None where it stands for no adapter.

        Raises:
            ValueError: no value does, or not this one.
        """
        raise ValueError(f"must be a mapping with {', '.join(cls.model_fields)}, not {value!r}")

    @property
    def plain(self) -> Any:
        """The single value that says the same as the options; None where none does."""
        return None

    @property
    def others(self) -> dict[str, Any]:
        """The options beside the size that are not as usual, by name."""
        usual = type(self).model_fields
        return {name: value for name in self.names if (value := getattr(self, name)) != usual[name].default}


@dataclass(frozen=True)
class PlacedAdapter:
    """An adapter of one kind at one placement of the base model, or a part of it."""

    placement: str
    """The placement or part, by the name that sweeps use."""
    kind: str
    """The kind, by its name in `doors.ADAPTER_KINDS`."""
    options: AdapterOptions

    @classmethod
    def read(cls, placement: str, value: Any) -> "PlacedAdapter | None":
        """Reads the adapter that a sweep file asks for with `placement: value`; None where it asks for none there.

        Args:
            placement: the key; whether the base model has it is not looked at here.
            value: a mapping of options, with the `kind` among them unless it is the first of the registry; or what
                that kind takes in place of a mapping, for instance a rank.

        Raises:
            ValueError: there is no such kind, or its options do not fit.
        """
        fields = dict(value) if isinstance(value, Mapping) else {}
        kind = fields.pop("kind", ADAPTER_KINDS.default)
        if not isinstance(kind, str):
            raise ValueError(f"{placement}.kind: must be the name of a kind of adapter, not {kind!r}")
        try:
            model: type[AdapterOptions] = ADAPTER_KINDS[kind].options
            options = model.model_validate(fields) if isinstance(value, Mapping) else model.from_plain(value)
        except ConfigError as error:
            raise ValueError(f"{placement}.kind: {error}") from None
        except ValidationError as error:
            if unknown := fields.keys() - model.model_fields.keys():
                name = sorted(unknown)[0]
                known = ", ".join(model.model_fields)
                raise ValueError(f"{placement}.{name}: is no option of a {kind}; those are: {known}") from None
            raise ValueError(f"{placement}.{first_mistake(error)}") from None
        except ValueError as error:
            raise ValueError(f"{placement}: {error}") from None
        return cls(placement, kind, options) if options else None

    @property
    def part(self) -> ModelPart:
        """The part of the base model that carries it."""
        return ModelPart(self.placement)

    @property
    def value(self) -> Any:
        """The value that a sweep file has at this placement."""
        if self.kind == ADAPTER_KINDS.default and self.options.plain is not None:
            return self.options.plain
        return {"kind": self.kind, **self.stated}

    @property
    def tag(self) -> str:
        """The adapter's part of a trial's id, for instance `unet-r4`."""
        return f"{self.placement}-{ADAPTER_KINDS[self.kind].tag(self.options)}"

    @property
    def label(self) -> str:
        """The adapter's part of a trial's title, after that of the placement, for instance `rank 4`."""
        text: str = ADAPTER_KINDS[self.kind].label(self.options)
        return text

    @property
    def axes(self) -> dict[str, float]:
        """The options that are numbers which order configurations, by name."""
        return {name: getattr(self.options, name) for name in ADAPTER_KINDS[self.kind].axes}

    @property
    def stated(self) -> dict[str, Any]:
        """The options that are not as usual, by name."""
        return dict(self.options.model_dump(mode="json", exclude_defaults=True))
