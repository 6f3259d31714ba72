"""The model card beside an exported adapter: a README.md as the Hugging Face hub reads it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fashion_sweep.config.adapter_columns import adapter_value
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.sweep import Garment
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.errors import shown
from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.models.sources import EMBEDDED
from fashion_sweep.report.markdown import plain
from fashion_sweep.report.results import Evaluation, TrialResult
from fashion_sweep.report.words import GAP

TAGS = ("text-to-image", "stable-diffusion-xl", "diffusers")


@dataclass(frozen=True)
class Card:
    """All that the card tells."""

    run: str
    config: RunConfig
    trial: TrialResult
    verdicts: Mapping[str, Any]
    """By evaluation set, as `results.json` has them."""
    format: str
    file: str
    """Name of the exported file; of a peft export nothing."""
    base_model: str
    trigger_words: Sequence[str]
    original_size: tuple[int, int] | None
    """(height, width) that training was conditioned on."""

    def text(self) -> str:
        paragraphs = [self._front_matter(), f"# {plain(self.run)}: {self.trial.title}", self._introduction()]
        if self.garment:
            paragraphs += ["## Closeness to its photo", self._closeness()]
        else:
            paragraphs += ["## Verdict", *self._verdicts(), "## Metrics", self._metrics()]
        paragraphs += ["## Use", *self._use(), "## Training", self._training()]
        return "\n\n".join(paragraphs) + "\n"

    @property
    def garment(self) -> Garment | None:
        return next((one for one in self.config.sweep.garments if one.name == self.trial.spec.garment), None)

    @property
    def prompt(self) -> str:
        """For an example."""
        recipe = self.config.preset.garment
        if self.garment and recipe:
            return recipe.filled(f"{recipe.prefix} {recipe.prompts[0]}".strip(), self.garment)
        return ", ".join([*self.trigger_words, "a woman in a long-sleeved cotton shirt"])

    def _closeness(self) -> str:
        told = self.trial.garment
        text = f"Its pictures score {_number(told.get('closeness'))} of 100, the mean over prompts and seeds; "
        text += f"their colour is {_number(told.get('colour_delta_e'))} ΔE from the photo's."
        if "identified" in told:
            text += f" {told['identified']:.0%} of them come closer to it than to any other photo of the run."
        return text

    def _front_matter(self) -> str:
        families = dict.fromkeys(ADAPTER_KINDS[one.kind].family for one in self.trial.spec.adapters)
        values: dict[str, Any] = {
            "base_model": self.base_model,
            "base_model_relation": "adapter",
            "library_name": "diffusers",
            "pipeline_tag": "text-to-image",
            "tags": [*families, *TAGS, self.config.preset.training_set, *(["peft"] if self.format == "peft" else [])],
        }
        if self.trigger_words:
            values["instance_prompt"] = ", ".join(self.trigger_words)
        return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"

    def _introduction(self) -> str:
        kinds = " and ".join(dict.fromkeys(ADAPTER_KINDS[one.kind].title for one in self.trial.spec.adapters))
        words = ", ".join(f"`{_code(word)}`" for word in self.trigger_words) or "none; describe what is to be seen"
        size = "" if self.trial.parameters is None else f", {self.trial.parameters:,} parameters"
        if (recipe := self.config.preset.garment) and self.garment:
            words += f'; as in "{_code(recipe.filled(recipe.caption, self.garment))}"'
        return (
            f"A {kinds} adapter of `{_code(self.base_model)}` ({self.trial.title}{size}), "
            f"trial `{self.trial.spec.trial_id}` of the run `{_code(self.run)}` of fashion_sweep. "
            f"Trigger words: {words}."
        )

    def _verdicts(self) -> Iterable[str]:
        told = [verdict for verdict in self.verdicts.values() if verdict]
        for verdict in told:
            title = self.trial.spec.configuration.title
            if title == verdict.get("chosen"):
                place = "This is the chosen configuration."
            elif title == verdict.get("best"):
                place = "This configuration leads, without being shown to."
            else:
                place = f"This is another configuration of that run, not the one that leads ({verdict.get('best')})."
            yield plain(f"{verdict.get('sentence', '')} {verdict.get('basis', '')} {place}")
        if not told:
            yield f"The run came to no verdict{' on ' + ' or '.join(self.verdicts) if self.verdicts else ''}."

    def _metrics(self) -> str:
        if not self.trial.evaluations:
            return "Not judged."
        metrics = metrics_of(self.config.sweep.metrics)
        headings = [one.heading(less_bias) for one in metrics for less_bias in (False, True)[: 1 + one.is_biased]]
        columns = ("judged on", *headings, "extractor", "CLIP model", "n")
        rows = [self._row(name, judged, metrics) for name, judged in self.trial.evaluations.items()]
        notes = ["n images, on prompts and noise that all trials of the run share."]
        notes += [f"{one.title}∞ is {one.title} less its bias at n images." for one in metrics if one.is_biased]
        notes.append("Numbers compare only with those of the same extractor, CLIP model and n.")
        lines = [columns, tuple("---" for _ in columns), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{' '.join(notes)}"

    def _row(self, name: str, judged: Evaluation, metrics: Sequence[Metric]) -> tuple[str, ...]:
        corrected, cells = corrected_values(self.verdicts.get(name), self.trial), list[str]()
        for metric in metrics:
            values = [judged.value(metric), *([corrected.get(metric.name)] if metric.is_biased else [])]
            cells += [GAP if value is None else metric.shown(value) for value in values]
        judged_on = f"{name} (what it was trained on)" if name == self.config.preset.training_set else f"{name} prompts"
        count = GAP if judged.samples is None else f"{judged.samples:,}"
        return (judged_on, *cells, _cell(judged.features), _cell(judged.clip_model), count)

    def _use(self) -> Iterable[str]:
        if self.format == "kohya" and self.base_model.startswith(EMBEDDED):
            yield f"Of use with `{self.base_model}` alone, which fashion_sweep carries and other tools do not have."
        elif self.format == "kohya":
            name = self.file.removesuffix(".safetensors")
            yield (
                f"**ComfyUI**: put `{self.file}` into `models/loras`, and a *Load LoRA* node behind the checkpoint "
                f"loader. **Forge, AUTOMATIC1111**: into `models/Lora`; write `<lora:{name}:1>` "
                "into the prompt. Strength 1 is the strength that was judged."
            )
        yield "**diffusers**:" if self.format != "peft" else "**peft**, on the components of a diffusers pipeline:"
        yield f"```python\n{self._python()}\n```"
        generation = self.config.preset.generation
        parts = [f"DDIM, {generation.num_inference_steps} steps", f"guidance scale {generation.guidance_scale:g}"]
        if self.config.preset.model.second_model and generation.refine_fraction:
            parts.append(f"the refiner for the last {generation.refine_fraction:.0%} of the steps")
        if self.original_size:
            parts.append("`original_size` as the photographs'")
        yield f"Judged with {', '.join(parts)}; no negative prompt."

    def _python(self) -> str:
        size = self.config.preset.picture_size()
        conditioned = f", original_size={self.original_size}" if self.original_size else ""
        load = [f'pipeline.load_lora_weights(".", weight_name={_literal(self.file)})']
        imports = ["import torch", "from diffusers import DDIMScheduler, StableDiffusionXLPipeline"]
        if self.format == "peft":
            imports.append("from peft import PeftModel")
            load = [
                f'pipeline.{part} = PeftModel.from_pretrained(pipeline.{part}, "{part}").merge_and_unload()'
                for part in self.trial.spec.adapted
            ]
        dtype = self.config.preset.model.dtype
        base = _literal(self.base_model)
        if self.base_model.startswith(EMBEDDED):  # no other tool has it
            imports.append("from fashion_sweep.models.sources import locate")
            base = f'locate({base}, "model.base")'
        lines = [
            *imports,
            "",
            f"pipeline = StableDiffusionXLPipeline.from_pretrained({base}, torch_dtype=torch.{dtype})",
            "pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)",
            *load,
            f"image = pipeline({_literal(self.prompt)}, height={size.height}, width={size.width}{conditioned},",
            f"                 num_inference_steps={self.config.preset.generation.num_inference_steps}, "
            f"guidance_scale={self.config.preset.generation.guidance_scale:g}).images[0]",
        ]
        return "\n".join(lines)

    def _training(self) -> str:
        training, spec = self.config.training_of(self.trial.spec), self.trial.spec
        adapters = {
            column: ", ".join(f"{part} {adapter_value(one, column)}" for part, one in spec.adapted.items())
            for column in dict.fromkeys(axis for one in spec.adapters for axis in one.axes)
        }
        length = f"{training.epochs} epochs" if training.epochs else f"{training.steps} steps"
        rows = {
            **adapters,
            "lora_alpha": f"{training.lora_alpha:g}",
            "target_modules": ", ".join(training.target_modules or ()) or "query, key, value and output projections",
            "length": length + (f" ({self.trial.steps:,} steps)" if training.epochs and self.trial.steps else ""),
            "batch size": str(training.batch_size),
            "learning rate": f"{training.learning_rate:g}, {training.schedule}",
            "image": f"{training.image.height} x {training.image.width} pixels (height x width)",
            "seed": str(training.seed + spec.replicate),
        }
        if self.trial.adapter_from:
            rows["trained in"] = f"run {_cell(self.trial.adapter_from)}"
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def corrected_values(verdict: Mapping[str, Any] | None, trial: TrialResult) -> dict[str, float]:
    """The metrics of the verdict as it goes by them, less their bias, of the trial's configuration."""
    estimates = (verdict or {}).get("estimates") or {}
    known = estimates.get(trial.spec.configuration.title) or {}
    return {name: one["value"] for name, one in known.items()}


def _code(text: str) -> str:
    """Between backticks, which it cannot leave."""
    return shown(" ".join(text.split())).replace("`", "'")


def _literal(text: str) -> str:
    """Of Python, in one line, in a block of code that it cannot leave."""
    return json.dumps(_code(text), ensure_ascii=False)


def _cell(text: str | None) -> str:
    return plain(text).replace("|", "\\|") if text else GAP


def _number(value: float | None) -> str:
    return GAP if value is None else f"{value:.2f}"
