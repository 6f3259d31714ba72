"""Writes the model card of an exported adapter: a README.md as the Hugging Face hub reads it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fashion_sweep.adapters.formats import WORDS_FILE
from fashion_sweep.config.adapter_columns import adapter_value, alpha_of
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training_axes import short_value
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.errors import shown
from fashion_sweep.handover.task_card import TaskCard
from fashion_sweep.models.architecture import Example
from fashion_sweep.models.sources import EMBEDDED
from fashion_sweep.report.markdown import plain
from fashion_sweep.report.results import TrialResult
from fashion_sweep.report.words import GAP

PLACES = {
    "ComfyUI": "put `{file}` into `models/loras`, and a *Load LoRA* node behind the checkpoint loader.",
    "Forge, AUTOMATIC1111": "into `models/Lora`; write `<lora:{name}:1>` into the prompt.",
}
"""What to do with a file in the key names of `kohya`, by the tools that have no scripts."""


@dataclass(frozen=True)
class Card:
    """The content of a model card."""

    run: str
    config: RunConfig
    trial: TrialResult
    told: TaskCard
    format: str
    file: str
    """The name of the exported file; empty for a peft export."""
    base_model: str
    trigger_words: Sequence[str]
    original_size: tuple[int, int] | None
    """The (height, width) that training was conditioned on."""

    def text(self) -> str:
        paragraphs = [self._front_matter(), f"# {plain(self.run)}: {self.trial.title}", self._introduction()]
        for title, texts in self.told.sections.items():
            paragraphs += [f"## {title}", *texts]
        paragraphs += ["## Use", *self._use(), "## Training", self._training()]
        return "\n\n".join(paragraphs) + "\n"

    def _front_matter(self) -> str:
        families = dict.fromkeys(ADAPTER_KINDS[one.kind].family for one in self.trial.spec.adapters)
        values: dict[str, Any] = {
            "base_model": self.base_model,
            "base_model_relation": "adapter",
            "library_name": "diffusers",
            "pipeline_tag": "text-to-image",
            "tags": [
                *families,
                "text-to-image",
                self.config.architecture.names.hub,
                "diffusers",
                self.config.preset.training_set,
                *(["peft"] if self.format == "peft" else []),
            ],
        }
        if self.trigger_words:
            values["instance_prompt"] = ", ".join(self.trigger_words)
        return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"

    def _introduction(self) -> str:
        kinds = " and ".join(dict.fromkeys(ADAPTER_KINDS[one.kind].title for one in self.trial.spec.adapters))
        words = ", ".join(f"`{code(word)}`" for word in self.trigger_words) or "none; describe what is to be seen"
        size = "" if self.trial.parameters is None else f", {self.trial.parameters:,} parameters"
        words += f'; as in "{code(self.told.caption)}"' if self.told.caption else ""
        return (
            f"A {kinds} adapter of `{code(self.base_model)}` ({self.trial.title}{size}), "
            f"trial `{self.trial.spec.trial_id}` of the run `{code(self.run)}` of fashion_sweep. "
            f"Trigger words: {words}."
        )

    def _use(self) -> Iterable[str]:
        if self.format == "kohya" and self.base_model.startswith(EMBEDDED):
            yield f"Of use with `{self.base_model}` alone, which fashion_sweep carries and other tools do not have."
        elif self.format == "kohya" and self._reads_kohya:
            name = self.file.removesuffix(".safetensors")
            places = " ".join(f"**{tool}**: {PLACES[tool]}" for tool in self._reads_kohya if tool in PLACES)
            yield f"{places.format(file=self.file, name=name)} Strength 1 is the strength that was judged."
        is_read = self.format != "kohya" or "diffusers" in self._reads_kohya
        if is_read and (script := self._python()):
            yield "**diffusers**:" if self.format != "peft" else "**peft**, on the components of a diffusers pipeline:"
            yield f"```python\n{script}\n```"
        generation, architecture = self.config.preset.generation, self.config.architecture
        parts = [f"{architecture.sampler}, {generation.num_inference_steps} steps"]
        parts.append(f"guidance scale {generation.guidance_scale:g}")
        if refined := self.config.preset.refined:
            parts.append(f"the {architecture.second_title} for the last {refined:.0%} of the steps")
        if self._framed_size:
            parts.append("`original_size` as the photographs'")
        yield f"Judged with {', '.join(parts)}; no negative prompt."

    @property
    def _reads_kohya(self) -> tuple[str, ...]:
        return self.config.architecture.names.reads_kohya

    @property
    def _framed_size(self) -> tuple[int, int] | None:
        return self.original_size if self.config.architecture.is_told_sizes else None

    def _python(self) -> str | None:
        """Returns a script that draws with the adapter; None where no tool has a pipeline of the architecture."""
        load = [f'pipeline.load_lora_weights(".", weight_name={_literal(self.file)})']
        imports = ["import torch"]
        if self.format == "peft":
            imports.append("from peft import PeftModel")
            load = [
                f'pipeline.{part} = PeftModel.from_pretrained(pipeline.{part}, "{part}").merge_and_unload()'
                for part in self.trial.spec.components
            ]
        if of_words := [component for component in self.trial.spec.components if self._word(component)]:
            imports.append("from safetensors.torch import load_file")
            keys = self.config.architecture.embedding_keys
            load = [*(load if self._has_weights else []), f'words = load_file("{WORDS_FILE}")']
            load += [
                f'pipeline.load_textual_inversion(words["{keys[one]}"], token={_literal(self._word(one))}, '
                f"text_encoder=pipeline.{one}, tokenizer=pipeline.{one.replace('text_encoder', 'tokenizer')})"
                for one in of_words
            ]
        base = _literal(self.base_model)
        if self.base_model.startswith(EMBEDDED):  # no other tool has it
            imports.append("from fashion_sweep.models.sources import locate")
            base = f'locate({base}, "model.base")'
        size, generation = self.config.preset.picture_size(), self.config.preset.generation
        begins = self.trial.spec.prompt_prefix
        words = () if self.told.has_words else [one for one in self.trigger_words if one not in begins.split()]
        script = self.config.architecture.example_code(
            Example(
                base=base,
                dtype=self.config.preset.model.dtype,
                load=load,
                prompt=_literal(begins + ", ".join([*words, self.told.prompt])),
                height=size.height,
                width=size.width,
                original_size=self._framed_size,
                steps=generation.num_inference_steps,
                guidance_scale=generation.guidance_scale,
            ),
            self.config.preset.model,
        )
        if script is None:
            return None
        own_imports, lines = script
        return "\n".join([*sorted({*imports, *own_imports}, key=_import_order), "", *lines])

    def _word(self, component: str) -> str:
        """Returns the word that stands for tokens which the adapter learnt in a text encoder; empty if it has none."""
        placements = self.config.architecture.placements
        words = (
            ADAPTER_KINDS[one.kind].word(one.options)
            for one in self.trial.spec.adapters
            if component in placements[one.part.placement].components
        )
        return next(filter(None, words), "")

    @property
    def _has_weights(self) -> bool:
        return any(not ADAPTER_KINDS[one.kind].has_own_file for one in self.trial.spec.adapters)

    def _training(self) -> str:
        training, spec = self.config.training_of(self.trial.spec), self.trial.spec
        adapters = {
            column: ", ".join(
                f"{one.placement} {adapter_value(one, column, training)}"
                for one in spec.adapters
                if column in type(one.options).model_fields
            )
            for column in dict.fromkeys(name for one in spec.adapters for name in one.axes | one.stated)
        }
        length = f"{training.epochs} epochs" if training.epochs else f"{training.steps} steps"
        rows = {
            **({"lora_alpha": short_value(alpha)} if (alpha := alpha_of(spec, training)) else {}),
            **adapters,
            "target_modules": ", ".join(training.target_modules or ()) or "query, key, value and output projections",
            "length": length + (f" ({self.trial.steps:,} steps)" if training.epochs and self.trial.steps else ""),
            "batch size": str(training.batch_size),
            "learning rate": f"{training.learning_rate:g}, {training.schedule}",
            **({"base model in training": f"in {bits}"} if (bits := self.config.model_of(spec).quantization) else {}),
            "image": f"{training.image.height} x {training.image.width} pixels (height x width)",
            "seed": str(training.seed + spec.replicate),
        }
        if self.trial.adapter_from:
            rows["trained in"] = f"run {cell(self.trial.adapter_from)}"
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def corrected_values(verdict: Mapping[str, Any] | None, trial: TrialResult) -> dict[str, float]:
    """Returns the metrics that the verdict compared, less their bias, of the trial's configuration."""
    estimates = (verdict or {}).get("estimates") or {}
    of_configuration = estimates.get(trial.spec.configuration.title) or {}
    return {name: one["value"] for name, one in of_configuration.items()}


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def code(text: str) -> str:
    """Makes a text safe between backticks, which it cannot leave."""
    return shown(" ".join(text.split())).replace("`", "'")


def _literal(text: str) -> str:
    """Returns the text as a Python literal in one line, which cannot leave its block of code."""
    return json.dumps(code(text), ensure_ascii=False)


def cell(text: str | None) -> str:
    return plain(text).replace("|", "\\|") if text else GAP
