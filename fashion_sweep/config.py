"""What a user may say: the typed, frozen configuration of a run. `config_files.py` reads it."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from pydantic import NonNegativeInt as Count

from fashion_sweep.space import Placement, TrialSpec, placement_error

Decay = Annotated[float, Field(ge=0, lt=1)]
EvaluationSet = Literal["fashion", "general"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Size(Frozen):
    """How an image is brought to the model's size: resize the shorter side, then crop. Pixels."""

    height: PositiveInt
    width: PositiveInt
    shorter_side: PositiveInt

    @model_validator(mode="after")
    def _crop_fits(self) -> "Size":
        if self.shorter_side < min(self.height, self.width):
            raise ValueError(f"shorter_side {self.shorter_side} is smaller than the {self.height}x{self.width} crop")
        return self


class ModelConfig(Frozen):
    family: Literal["sdxl"] = "sdxl"
    """Which module of `models/` knows the model."""
    base: str
    """Hub id, diffusers folder, or `embedded:<name>`."""
    refiner: str | None = None
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the frozen weights. Adapter weights are always float32."""
    attention: Literal["sdpa", "xformers"] = "sdpa"


class DataSource(Frozen):
    root: Path | None = None
    """Folder in the data set's published layout; null renders the embedded world."""
    rendered_images: PositiveInt | None = None
    """How many images to render where `root` is null."""
    min_aspect_ratio: PositiveFloat | None = None
    max_aspect_ratio: PositiveFloat | None = None
    """Images with width/height outside these bounds are dropped."""
    evaluation: Size


class DataConfig(Frozen):
    fashion: DataSource
    general: DataSource


class TrainingConfig(Frozen):
    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    """Optimizer steps; exactly one of `epochs` and `steps` is set."""
    batch_size: PositiveInt = 16
    """Global: over all workers and accumulation steps."""
    micro_batch_size: PositiveInt | None = None
    """Samples a worker sends through the model at once; null: its whole share of the batch."""
    learning_rate: PositiveFloat = 1e-5
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 1e-2
    schedule: Literal["cosine", "constant"] = "cosine"
    max_grad_norm: PositiveFloat = 1.0
    lora_alpha: PositiveFloat = 1.0
    seed: Count = 0
    autocast: Literal["bf16", "no"] = "bf16"
    gradient_checkpointing: bool = False
    image: Size
    views: PositiveInt = 4
    """Augmented views (crop, flip) kept per training image."""
    validation_fraction: float = Field(0.05, gt=0, lt=1)
    validation_every: PositiveInt = 50
    """Steps between two validations, which are also the reports to Ray Tune."""
    checkpoint_every: PositiveInt = 100
    """Steps between two checkpoints."""

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingConfig":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("exactly one of epochs and steps must be set")
        return self


class GenerationConfig(Frozen):
    num_inference_steps: int = Field(50, ge=1, le=1000)
    guidance_scale: float = Field(5.0, ge=0)
    refine_fraction: float = Field(0.2, ge=0, lt=1)
    """Share of the steps that the refiner makes."""
    seed: Count = 0
    batch_size: PositiveInt = 8
    base_negative_prompt: str | None = None
    """For trials without any adapter only, as in the study."""

    @model_validator(mode="after")
    def _hand_over_on_a_step(self) -> "GenerationConfig":
        refined = self.num_inference_steps * self.refine_fraction
        if abs(refined - round(refined)) > 1e-6:
            raise ValueError(
                f"num_inference_steps {self.num_inference_steps} x refine_fraction {self.refine_fraction} "
                f"is {refined:g} steps; it must be a whole number"
            )
        return self


class EvaluationConfig(Frozen):
    samples: PositiveInt
    """Generated images per trial and evaluation set."""
    features: Literal["tiny-clip", "inception-v3"]
    """Extractor for FID and KID."""
    clip_model: str
    """open_clip model name, or `embedded:clip`."""
    clip_pretrained: str | None = None
    kid_subset_size: int = Field(1000, ge=2)


class Resources(Frozen):
    workers_per_trial: PositiveInt = 1
    cpus_per_worker: PositiveInt = 1
    gpus_per_worker: Count = 0
    max_concurrent_trials: PositiveInt | None = None
    """null: as many as fit."""
    max_failures: Count = 1
    """How often a failed trial is tried again."""


class Preset(Frozen):
    name: str
    model: ModelConfig
    data: DataConfig
    training: TrainingConfig
    generation: GenerationConfig
    evaluation: EvaluationConfig
    resources: Resources


class SamplePrompt(Frozen):
    prompt: str
    seed: Count


class Published(Frozen):
    """A row of the study's own table: another model and extractor, shown beside ours and never mixed in."""

    configuration: str
    parameters: Count | None = None
    fid: float
    clip_score: float


class Budget(Frozen):
    """How many parameters the trials of a space may have."""

    parameters: PositiveInt | None = None
    equal_to: dict[Placement, PositiveInt] | None = None
    """As many as these placements at these ranks have; exactly one of `parameters` and `equal_to` is set."""
    tolerance: float = Field(0.10, ge=0, lt=1)
    """A trial may have this share less, or more."""

    @model_validator(mode="after")
    def _one_size(self) -> "Budget":
        if (self.parameters is None) == (self.equal_to is None):
            raise ValueError("exactly one of parameters and equal_to must be set")
        if self.equal_to and (error := placement_error(TrialSpec.of(self.equal_to))):
            raise ValueError(error)
        return self


class Space(Frozen):
    """Trials by rule: every placement at each of the ranks or not at all, within the budget."""

    placements: list[Placement] = Field(min_length=1)
    ranks: list[PositiveInt] = Field(min_length=1)
    budget: Budget

    @model_validator(mode="after")
    def _placements_are_known(self) -> "Space":
        for name in self.placements:
            if error := placement_error(TrialSpec.of({name: 1})):
                raise ValueError(error)
        return self


class Sweep(Frozen):
    name: str
    question: str
    trials: list[dict[Placement, Count]] = []
    """One mapping from placement to LoRA rank a trial; rank 0 everywhere is the base model."""
    space: Space | None = None
    """Instead of `trials`."""
    judge: list[EvaluationSet] = Field(["fashion"], min_length=1)
    sample_prompts: list[SamplePrompt] = []
    """Columns of the sample grid."""
    published: dict[EvaluationSet, list[Published]] = {}

    @model_validator(mode="after")
    def _trials_are_distinct_and_known(self) -> "Sweep":
        if bool(self.trials) == bool(self.space):
            raise ValueError("exactly one of trials and space must be given")
        specs = self.specs
        for spec in specs:
            if error := placement_error(spec):
                raise ValueError(error)
        ids = [spec.trial_id for spec in specs]
        if len(set(ids)) < len(ids):
            repeated = next(trial_id for trial_id in ids if ids.count(trial_id) > 1)
            raise ValueError(f"trial {repeated!r} is listed twice")
        if len(set(self.judge)) < len(self.judge):
            raise ValueError("judge: an evaluation set is listed twice")
        return self

    @property
    def specs(self) -> list[TrialSpec]:
        return [TrialSpec.of(ranks) for ranks in self.trials]


class RunConfig(Frozen):
    """Everything that determines a run: what `config.yaml` in the run folder holds."""

    preset: Preset
    sweep: Sweep

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
