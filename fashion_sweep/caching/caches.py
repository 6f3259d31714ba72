"""Which folders of the shared cache a run uses, named by what goes into them: weights, transform, data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_sweep.caching.size import Counts, cache_size
from fashion_sweep.config import EvaluationConfig, RunConfig, TrainingConfig
from fashion_sweep.data.cache import ShardedCache, content_key
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.errors import RunError
from fashion_sweep.files import read_json, write_json
from fashion_sweep.models.locate import EMBEDDED, fingerprint, locate, model_fingerprint
from fashion_sweep.paths import RunPaths, cache_root
from fashion_sweep.plan import specs_of
from fashion_sweep.sweep_file import EvaluationSet

TRAINED_ON: EvaluationSet = "fashion"


@dataclass(frozen=True)
class Caches:
    """The parts of the shared cache that a run uses. Rows are in the order of the catalogue's records."""

    images: ShardedCache
    """`latents` views,c,h,w float16 and `time_ids` views,6 float32 of the fashion records."""
    captions: ShardedCache | None
    """`prompt_embeds` tokens,d and `pooled` p, float16, of the distinct fashion captions, sorted; None where
    `cache.max_gb` leaves no room for them."""
    references: dict[str, ShardedCache]
    """`features` d float32 of the real images, by evaluation set."""
    losses: dict[str, ShardedCache]
    """`latents` c,h,w float16, `time_ids` 6 float32 and the base model's `loss` of the first images judged, by
    evaluation set that nothing is trained on."""
    models: tuple[str, ...]
    """Fingerprints of base, refiner, CLIP and the autoencoder, where it is not the base's."""
    views: int | None = None
    """How many views `images` holds; None: as many as the configuration says."""

    def training(self, config: TrainingConfig) -> TrainingConfig:
        """The same with as many views as there are."""
        return config.model_copy(update={"views": self.views or config.views})

    def named(self) -> dict[str, ShardedCache]:
        captions = {"captions": self.captions} if self.captions else {}
        return (
            {"images": self.images}
            | captions
            | {
                f"{kind}-{name}": cache
                for kind, caches in (("reference", self.references), ("loss", self.losses))
                for name, cache in caches.items()
            }
        )


def plan_caches(config: RunConfig, catalogues: dict[EvaluationSet, Catalogue]) -> Caches:
    """Where each part lies: folders named by what goes into them (weights, transform, data)."""
    preset, fashion = config.preset, catalogues["fashion"]
    captions = fashion.distinct_captions
    counts = Counts({name: len(c.records) for name, c in catalogues.items()}, len(captions), "the data")
    size = cache_size(config, specs_of(config), counts)
    models = _fingerprints(config)
    latents = {key: models[key] for key in ("base", "vae") if key in models}
    text = {"base": models["base"], "precision": preset.model.dtype}
    views = {"size": preset.training.image, "views": size.views, "seed": preset.training.seed}
    extractor = {"features": preset.evaluation.features, "clip": models["clip"]}
    seed = preset.generation.seed
    references: dict[str, ShardedCache] = {}
    losses: dict[str, ShardedCache] = {}
    for name in config.sweep.judge:
        records, judged_size = catalogues[name].records, preset.data.of(name).evaluation
        shown = {"data": _identity(records), "size": judged_size}
        references[name] = _cache(f"reference-{name}", len(records), **shown, **extractor)
        if name != TRAINED_ON:
            count = min(preset.evaluation.loss_samples, len(records))
            losses[name] = _cache(f"loss-{name}", count, **(shown | latents | text), seed=seed)
    return Caches(
        images=_cache("images", len(fashion.records), **latents, data=_identity(fashion.records), **views),
        captions=None if size.without_captions else _cache("captions", len(captions), **text, captions=captions),
        references=references,
        losses=losses,
        models=tuple(models.values()),
        views=size.views,
    )


def _cache(kind: str, rows: int, **parts: Any) -> ShardedCache:
    return ShardedCache(cache_root() / f"{kind}-{content_key(parts)}", rows)


def _fingerprints(config: RunConfig) -> dict[str, str]:
    """Of base, refiner (empty where there is none), CLIP and the autoencoder, where it is not the base's."""
    model = config.preset.model
    found = {"base": model_fingerprint(model.base, "model.base")}
    found["refiner"] = model_fingerprint(model.refiner, "model.refiner") if model.refiner else ""
    found["clip"] = _clip_fingerprint(config.preset.evaluation)
    return found | ({"vae": model_fingerprint(model.vae, "model.vae")} if model.vae else {})


def _clip_fingerprint(evaluation: EvaluationConfig) -> str:
    if evaluation.clip_model.startswith(EMBEDDED):
        return fingerprint(locate(evaluation.clip_model, "evaluation.clip_model"))
    return f"{evaluation.clip_model}/{evaluation.clip_pretrained}"


def write_caches(run: RunPaths, caches: Caches) -> None:
    """Raises:
    RunError: the run began with other data or weights, which its finished trials rest on.
    """
    values: dict[str, Any] = {name: [str(cache.root), cache.rows] for name, cache in caches.named().items()}
    values |= {"models": list(caches.models), "views": caches.views}
    known = read_json(run.caches)
    if known:
        known.setdefault("views", caches.views)  # of a run from before it was written down
    changed = [name for name in values if known and known.get(name) != values[name]]
    if changed:
        what = ", ".join(changed)
        raise RunError(f"{run.root}: data or weights changed since this run began ({what}); give another --name")
    write_json(run.caches, values)


def read_caches(run: RunPaths) -> Caches:
    values = read_json(run.caches)
    models, views = tuple(values.pop("models")), values.pop("views", None)
    caches = {name: ShardedCache(Path(root), rows) for name, (root, rows) in values.items()}

    def of(kind: str) -> dict[str, ShardedCache]:
        return {name.removeprefix(kind): cache for name, cache in caches.items() if name.startswith(kind)}

    return Caches(caches["images"], caches.get("captions"), of("reference-"), of("loss-"), models, views)


def _identity(records: Sequence[Record]) -> list[Any]:
    """What tells a changed data set from the same one without reading every pixel."""
    return [(record.name, record.width, record.height, record.bytes, record.modified) for record in records]
