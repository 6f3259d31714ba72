"""Registries ("doors") of what a sweep can be made of, by name; one line adds an entry to one.

Each entry is `module:object`, imported when it is first asked for, so that naming a thing needs none of its libraries.
Packages that are installed beside this one add theirs as entry points of the group `fashion_sweep.<door>`.
"""

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from fashion_sweep.errors import ConfigError, did_you_mean, first_line


def imported(place: str) -> Any:
    """Imports the object that `place` names as `module:object`."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


class Door:
    """A registry of things of one kind by name, which are imported on demand."""

    def __init__(self, kind: str, group: str, own: Mapping[str, str]) -> None:
        self.kind, self.group, self.own = kind, group, own

    @cached_property
    def places(self) -> dict[str, str]:
        """The `module:object` places by name: this package's first, then those of installed packages in their order."""
        installed = {one.name: one.value for one in entry_points(group=f"fashion_sweep.{self.group}")}
        return dict(self.own) | {name: place for name, place in installed.items() if name not in self.own}

    def __getitem__(self, name: str) -> Any:
        """Imports and returns the object of this name.

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self.places:
            raise ConfigError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.places)}")
        if name in self.own:
            return imported(self.own[name])
        try:
            return imported(self.places[name])
        except Exception as error:  # whatever another package's code raises
            raise ConfigError(
                f"{self.kind} {name!r} of an installed package cannot be loaded from {self.places[name]}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error

    def __contains__(self, name: object) -> bool:
        return name in self.places

    @property
    def default(self) -> str:
        """The name of what is taken where nothing is said: the first."""
        return self.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all entries, in the order in which tables list them."""
        return tuple(self.places)


ARCHITECTURES = Door(
    "architecture",
    "architectures",
    {
        "sdxl": "fashion_sweep.models.sdxl.architecture:SDXL",
        "sd3": "fashion_sweep.models.sd3.architecture:SD3",
    },
)
"""Families of base models: `models.architecture.Architecture`."""
ADAPTER_KINDS = Door(
    "adapter kind",
    "adapter_kinds",
    {
        "lora": "fashion_sweep.adapters.lora:LORA",
        "dora": "fashion_sweep.adapters.dora:DORA",
        "lokr": "fashion_sweep.adapters.lokr:LOKR",
        "loha": "fashion_sweep.adapters.loha:LOHA",
        "oft": "fashion_sweep.adapters.oft:OFT",
        "prompt_tokens": "fashion_sweep.adapters.prompt_tokens:PROMPT_TOKENS",
    },
)
"""Kinds of adapters: `adapters.kind.AdapterKind`."""
OPTIMIZERS = Door(
    "optimizer",
    "optimizers",
    {
        "adamw": "fashion_sweep.training.optimizers:ADAMW",
        "adamw_8bit": "fashion_sweep.training.optimizers:ADAMW_8BIT",
        "adafactor": "fashion_sweep.training.optimizers:ADAFACTOR",
        "prodigy": "fashion_sweep.training.optimizers:PRODIGY",
    },
)
"""Optimizers: `training.optimizers.OptimizerKind`."""
SCHEDULES = Door(
    "schedule",
    "schedules",
    {
        "cosine": "fashion_sweep.training.schedules:COSINE",
        "constant": "fashion_sweep.training.schedules:CONSTANT",
        "linear": "fashion_sweep.training.schedules:LINEAR",
        "cosine_with_restarts": "fashion_sweep.training.schedules:COSINE_WITH_RESTARTS",
        "polynomial": "fashion_sweep.training.schedules:POLYNOMIAL",
    },
)
"""Courses of the learning rate: `training.schedules.Schedule`."""
METRICS = Door(
    "metric",
    "metrics",
    {
        "fid": "fashion_sweep.metrics.fid:FID",
        "kid": "fashion_sweep.metrics.kid:KID",
        "clip_score": "fashion_sweep.metrics.clip_score:CLIP_SCORE",
        "cmmd": "fashion_sweep.metrics.cmmd:CMMD",
        "attributes": "fashion_sweep.metrics.attributes:ATTRIBUTES_RIGHT",
        "whole_figures": "fashion_sweep.metrics.attributes:WHOLE_FIGURES",
    },
)
"""Metrics of generated pictures: `metrics.metric.Metric`."""
EXTRACTORS = Door(
    "feature extractor",
    "extractors",
    {
        "tiny-clip": "fashion_sweep.metrics.extractors:TINY_CLIP",
        "open_clip": "fashion_sweep.metrics.extractors:OPEN_CLIP",
        "inception-v3": "fashion_sweep.metrics.extractors:INCEPTION_V3",
        "random-inception-v3": "fashion_sweep.metrics.extractors:RANDOM_INCEPTION_V3",
        "attribute-reader": "fashion_sweep.metrics.attributes:ATTRIBUTE_READER",
    },
)
"""Networks whose features metrics compare."""
LAYOUTS = Door(
    "data layout",
    "layouts",
    {
        "folder": "fashion_sweep.data.layouts.folder:LAYOUT",
        "deepfashion": "fashion_sweep.data.layouts.deepfashion:LAYOUT",
        "coco": "fashion_sweep.data.layouts.coco:LAYOUT",
    },
)
"""Layouts of data sets on disk: `data.listing.Layout`."""
TASKS = Door(
    "task",
    "tasks",
    {
        "catalogue": "fashion_sweep.tasks.catalogue.task:CATALOGUE",
        "garment": "fashion_sweep.tasks.garment.task:GARMENT",
    },
)
"""Tasks, which say what a trial learns and is judged by: `tasks.task.Task`."""
