"""The run's own record, in words; a reader needs it to believe or repeat the numbers."""

from collections.abc import Mapping

from fashion_sweep.config.training_axes import short_value
from fashion_sweep.report.results import Results
from fashion_sweep.report.words import GAP


def provenance(results: Results, on_sets: bool = True) -> tuple[tuple[str, str], ...]:
    """Returns terms and what is said of them; `on_sets`: whether trials are judged on evaluation sets."""
    facts, config = results.facts, results.config
    training = config.preset.training
    length = f"{training.steps} steps" if training.steps else f"{training.epochs} epochs"
    seeds = f" and {config.sweep.seeds - 1} more" if config.sweep.seeds > 1 else ""
    entries = [
        ("Run", f"{results.run}, started {facts.get('started', GAP)}, git commit {facts.get('git_commit') or GAP}"),
        (
            "Preset",
            f"{config.preset.name}: base model {config.preset.model.base}, {length} of batch {training.batch_size}, "
            f"learning rate {training.learning_rate:g}, LoRA alpha {short_value(training.lora_alpha)}, "
            f"seed {training.seed}{seeds}"
            + ("; trials may set values of their own, which their titles name" if _own(results) else ""),
        ),
        *([("Judged by", _judge(results))] if on_sets else []),
        ("Hardware", _hardware(facts.get("hardware") or {})),
    ]
    if short := _short_of_memory(results):
        entries.append(("Memory", f"did not suffice, which moves numbers by rounding alone: {'; '.join(short)}"))
    if versions := facts.get("versions"):
        entries.append(("Versions", ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))))
    entries += [(f"Data, {name}", _data(counts)) for name, counts in (facts.get("data") or {}).items()]
    return tuple(entries)


def _judge(results: Results) -> str:
    preset = results.config.preset
    evaluation, negative = preset.evaluation, preset.generation.base_negative_prompt
    if not results.config.sweep.judge:
        return "nothing, as the sweep wants it"
    models = f"{evaluation.features} features, CLIP model {evaluation.clip_model}"
    text = f"up to {evaluation.samples:,} images a trial: {models}"
    return text + (f"; the base model with the negative prompt “{negative}”" if _has_base(results) and negative else "")


def _has_base(results: Results) -> bool:
    return any(trial.spec.is_base_model for trial in results.trials)


def _own(results: Results) -> bool:
    return any(trial.spec.training for trial in results.trials)


def _short_of_memory(results: Results) -> list[str]:
    """Says which trials went on in smaller parts than configured."""
    preset, lines = results.config.preset, []
    for trial in results.trials:
        share = preset.training.batch_size // preset.resources.workers_per_trial
        wanted, used = preset.training.samples_at_once(share), trial.micro_batch_size
        if used is not None and used < wanted:
            lines.append(f"{trial.title} trained with {used} samples at a time, not {wanted}")
        for name, judged in trial.evaluations.items():
            if judged.images_at_once is not None and judged.images_at_once < preset.generation.batch_size:
                lines.append(
                    f"{trial.title} drew {judged.images_at_once} {name} images at a time, "
                    f"not {preset.generation.batch_size}"
                )
    return lines


def _hardware(hardware: Mapping[str, object]) -> str:
    gpus = hardware.get("gpus")
    shown_gpus = ", ".join(map(str, gpus)) if isinstance(gpus, list) and gpus else "no GPU"
    memory = hardware.get("memory_gib")
    shown_memory = f"{memory:.0f} GiB" if isinstance(memory, int | float) else f"{GAP} GiB"
    return f"{hardware.get('cpu', GAP)}, {hardware.get('cores', GAP)} cores, {shown_memory}, {shown_gpus}"


def _data(counts: Mapping[str, object]) -> str:
    dropped = counts.get("dropped")
    reasons = dropped.items() if isinstance(dropped, Mapping) else []
    text = f"{_counted(counts.get('kept'))} of {_counted(counts.get('images'))} images kept"
    listed = ", ".join(f"{_counted(count)} {str(reason).replace('_', ' ')}" for reason, count in reasons if count)
    return f"{text}; dropped: {listed}" if listed else text


def _counted(count: object) -> str:
    return f"{count:,}" if isinstance(count, int) else GAP
