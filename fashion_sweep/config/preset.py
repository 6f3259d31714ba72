"""The typed, frozen preset, and the run's configuration of preset and sweep. `loading.py` reads both."""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic import NonNegativeInt as Count

from fashion_sweep.config.data_source import DataSource, Size
from fashion_sweep.config.frozen import Frozen
from fashion_sweep.config.garment_config import GarmentConfig
from fashion_sweep.config.judging import MetricName
from fashion_sweep.config.model_config import AnyModelConfig, ModelConfig
from fashion_sweep.config.sweep import Name, SetName, Sweep
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.training_axes import TRAINING_AXES, ModelAxes
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ARCHITECTURES, EXTRACTORS, LAYOUTS, METRICS
from fashion_sweep.errors import ConfigError, did_you_mean

MOST_STEPS = 999
"""The most steps of a picture: base models learn 1000 levels of noise, of which a sampler may leave the first out."""


class GenerationConfig(Frozen):
    num_inference_steps: int = Field(50, ge=1, le=MOST_STEPS)
    guidance_scale: float = Field(5.0, ge=0)
    refine_fraction: float = Field(0.2, ge=0, lt=1)
    """The share of the steps, the last ones, that a second model makes, where the base model has one."""
    seed: Count = 0
    batch_size: PositiveInt = 8
    base_negative_prompt: str | None = None
    """The negative prompt of trials without any adapter only, as in the study."""


class EvaluationConfig(Frozen):
    samples: PositiveInt
    """The number of generated images per trial and evaluation set."""
    features: str
    """The extractor for FID and KID, one of `doors.EXTRACTORS`; the random one is for rehearsals."""
    clip_model: str = Field(pattern=r"^(embedded:\w+|(random:)?[\w.-]+)$")
    """The open_clip model's name, or `embedded:clip`; `random:` before a name asks for random weights.
    No folder or repository: open_clip would run the code that these ask for."""
    clip_pretrained: str | None = Field(None, pattern=r"^([\w-]+|.+\.safetensors)$")
    """The weights, by open_clip's name of them, or a safetensors file."""
    kid_subset_size: int = Field(1000, ge=2)
    loss_samples: int = Field(256, ge=2)
    """The number of images of a set not trained on, whose denoising loss tells what an adapter has forgotten."""

    @field_validator("features")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in EXTRACTORS:
            raise ValueError(f"there is no extractor {name!r}{did_you_mean(name, EXTRACTORS.names)}")
        return name


class Resources(Frozen):
    workers_per_trial: PositiveInt = 1
    cpus_per_worker: PositiveInt = 1
    gpus_per_worker: Count = 0
    max_concurrent_trials: PositiveInt | None = None
    """The most trials that run at once; null: as many as fit."""
    max_failures: Count = 1
    """How often a failed trial is tried again without having got further since; a lost node does not count."""
    stall_minutes: PositiveFloat = 60
    """The minutes without any sign of life after which a trial is ended, which counts as a failure."""


class CacheConfig(Frozen):
    max_gb: PositiveFloat | None = None
    """The most that a run's part of the shared cache may take, in 10⁹ bytes; null: no limit.
    Beyond that prompt embeddings are not kept (captions are encoded while training), then fewer of `training.views`, at
    least one."""


class Preset(Frozen):
    name: Name
    like: str | None = None
    """The preset, or its file, that this one is like but for what it says itself; sweeps take it for that one, too."""
    model: AnyModelConfig
    data: dict[SetName, DataSource] = Field(min_length=1)
    """The data sets by name."""
    training: TrainingConfig
    generation: GenerationConfig
    evaluation: EvaluationConfig
    margins: dict[MetricName, PositiveFloat] = Field({})
    """The margins by metric where a sweep has none, for extractors whose numbers are on a scale of their own."""
    resources: Resources
    cache: CacheConfig = CacheConfig()
    garment: GarmentConfig | None = None
    """The recipe for garments; null: the preset has none."""

    @model_validator(mode="before")
    @classmethod
    def _each_data_set_has_a_layout(cls, values: Any) -> Any:
        sources: Any = values.get("data") if isinstance(values, Mapping) else None
        if not isinstance(sources, Mapping):
            return values
        filled = {name: _filled(str(name), source, sources) for name, source in sources.items()}
        for name, source in filled.items():
            if isinstance(source, Mapping) and "layout" not in source:
                meant = did_you_mean(str(name), sources.keys() - {name})
                raise ValueError(f"data.{name}.layout is missing, one of {', '.join(LAYOUTS.names)}{meant}")
        return dict(values) | {"data": filled}

    @model_validator(mode="after")
    def _hands_over_on_a_step(self) -> "Preset":
        steps, share = self.generation.num_inference_steps, self.generation.refine_fraction
        if self.model.second_model and abs(steps * share - round(steps * share)) > 1e-6:
            raise ValueError(
                f"generation.num_inference_steps: {steps} x refine_fraction {share:g} is {steps * share:g} steps of "
                "the second model; it must be a whole number"
            )
        return self

    @model_validator(mode="after")
    def _trains_on_one_of_its_sets(self) -> "Preset":
        chosen = self.training.data_set
        if chosen is None and len(self.data) > 1:
            raise ValueError(f"training.data_set is missing; name one of {', '.join(self.data)}")
        if chosen is not None and chosen not in self.data:
            raise ValueError(f"training.data_set: there is no data set {chosen!r}{did_you_mean(chosen, self.data)}")
        return self

    @property
    def training_set(self) -> str:
        """The name of the data set that is trained on."""
        return self.training.data_set or next(iter(self.data))

    @property
    def refined(self) -> float:
        """The share of a picture's steps that the second model makes; 0 where there is none."""
        return self.generation.refine_fraction if self.model.second_model else 0.0

    def drawing_model(self, name: str | None = None) -> ModelConfig:
        """Returns the base model that draws pictures, of a data set those that are judged on it."""
        quantization = self.data[name].quantization if name else None
        return self.model.model_copy(update={"quantization": quantization})

    def picture_size(self, name: str | None = None) -> Size:
        """Returns the size of pictures that are judged on a data set, by default on the one that is trained on."""
        image = self.training.image
        smallest = image.model_copy(update={"shorter_side": min(image.height, image.width)})
        return self.data[name or self.training_set].evaluation or smallest

    def with_picture_size(self, size: Size) -> "Preset":
        """Returns the same preset with another size of pictures that are judged on the training set."""
        name = self.training_set
        source = self.data[name].model_copy(update={"evaluation": size})
        return self.model_copy(update={"data": self.data | {name: source}})


def _filled(name: str, source: Any, sources: Mapping[str, Any]) -> Any:
    """Returns the settings of a data set with those of the set that it is the same as."""
    other = source.get("same_as") if isinstance(source, Mapping) else None
    if other is None:
        return source
    twin = sources.get(other)
    if not isinstance(twin, Mapping) or twin.get("same_as"):
        raise ValueError(
            f"data.{name}.same_as: there is no data set {other!r} of its own{did_you_mean(other, sources)}"
        )
    return dict(twin) | {key: value for key, value in source.items() if value is not None}


class RunConfig(Frozen):
    """Everything that determines a run: what `config.yaml` in the run folder holds."""

    preset: Preset
    sweep: Sweep

    @model_validator(mode="after")
    def _judges_on_its_sets(self) -> "RunConfig":
        for name in self.sweep.judge:
            if name not in self.preset.data:
                judge = f"judge: {{{next(iter(self.preset.data))}: [{name}]}}"
                hint = f"; a metric is named so: {judge}" if name in METRICS else did_you_mean(name, self.preset.data)
                raise ValueError(f"sweep.judge: there is no data set {name!r}{hint}")
        return self

    @model_validator(mode="after")
    def _photographs_are_not_read_as_rendered(self) -> "RunConfig":
        for data_set in self.sweep.judge:
            for name in self.sweep.metrics_on(data_set):
                if METRICS[name].rendered_only and not self.preset.data[data_set].is_rendered:
                    raise ValueError(f"sweep: {name} is for rendered pictures, and those of data.{data_set} are not")
        return self

    @property
    def data_sets(self) -> list[str]:
        """The names of the data sets that the run reads: the one that trains, and those it judges on."""
        return list(dict.fromkeys([self.preset.training_set, *self.sweep.judge]))

    @property
    def drawn_on(self) -> list[str]:
        """The data sets in whose image sizes pictures are drawn."""
        return list(self.sweep.judge) or [self.preset.training_set]

    @property
    def drawn_as(self) -> str:
        """The data set whose image size the sample prompts are drawn in."""
        return self.drawn_on[0]

    @model_validator(mode="after")
    def _sweep_is_for_this_base_model(self) -> "RunConfig":
        if error := self.sweep.misplaced(self.preset.model.architecture):
            raise ConfigError(f"sweep.{error}")
        return self

    @property
    def architecture(self) -> Any:
        """The base model's `models.architecture.Architecture`."""
        return ARCHITECTURES[self.preset.model.architecture]

    @property
    def specs(self) -> list[TrialSpec]:
        """The trainings of every configuration; of a search none: see `run.specs.run_specs`."""
        return self.sweep.specs(self.preset.model.architecture)

    def spec_of(self, values: Mapping[str, Any]) -> TrialSpec:
        """Returns the trial that a sweep file describes with `values`, on this base model."""
        return TrialSpec.of(values, self.preset.model.architecture)

    def training_of(self, spec: TrialSpec) -> TrainingConfig:
        """Returns the preset's training with what the trial sets for itself.

        The seed stays the preset's: it makes the split and the views, which all trials share.
        """
        of_trial = {name: value for name, value in spec.training if name in TrainingConfig.model_fields}
        other_length = {"steps": {"epochs": None}, "epochs": {"steps": None}}
        cleared = {key: None for name in of_trial for key in other_length.get(name, {})}
        return self.preset.training.model_copy(update=cleared | of_trial)

    def axes_of(self, spec: TrialSpec) -> dict[str, Any]:
        """Returns the trial's value of every axis of `TRAINING_AXES`."""
        training, model = self.training_of(spec), self.model_of(spec)
        return {name: getattr(model if name in ModelAxes.model_fields else training, name) for name in TRAINING_AXES}

    def model_of(self, spec: TrialSpec) -> ModelConfig:
        """Returns the base model that the trial is trained on."""
        of_trial = {name: value for name, value in spec.training if name in ModelAxes.model_fields}
        return self.preset.model.model_copy(update=of_trial)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
