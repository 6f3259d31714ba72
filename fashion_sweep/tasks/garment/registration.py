"""Enters a garment's adapter into the model registry: by its name, with its trigger words and its photo."""

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.garment import photo_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json
from fashion_sweep.tracking.registry import RegistryEntry
from fashion_sweep.tracking.values import trial_params


def entry_of_garment(run: RunPaths, config: RunConfig, spec: TrialSpec) -> RegistryEntry:
    """Returns the registry's entry for the adapter of a finished trial."""
    garment = next(one for one in config.sweep.garments if one.name == spec.item)
    recipe, size = config.preset.garment, config.preset.picture_size()
    assert recipe is not None
    result = read_json(run.trial(spec.trial_id).result)
    measured = result[config.sweep.task]
    words = f"{recipe.token} {garment.kind}, {recipe.attribute_token} {garment.attribute}"
    tags = trial_params(config, spec, result) | {
        "garment": garment.name,
        "kind": garment.kind,
        "attribute": garment.attribute,
        "trigger_words": words,
        "closeness": f"{measured['closeness']:.2f}",
        "run": run.name,
        "trial_id": spec.trial_id,
        "configuration": spec.title,
        "base_model": config.preset.model.base,
        "original_size": f"{size.height}x{size.width}",
    }
    if "identified" in measured:
        tags["identified"] = f"{measured['identified']:.3f}"
    return RegistryEntry(
        model=garment.name,
        spec=spec,
        tags={key: str(value) for key, value in tags.items()},
        description=f"Say {words}. Closeness to its photo {measured['closeness']:.0f} of 100.",
        about=f"A {garment.kind}, from one photo",
        beside=[photo_of(run.photos, garment.name)],
    )
