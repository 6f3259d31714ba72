"""How large the shared cache becomes, how long filling it takes, and what is left out of it under `cache.max_gb`.

From configs alone, without torch. Prompt embeddings go first, since encoding captions while training gives the same
numbers up to rounding; then views, down to one, which is another augmentation for all trials alike.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_sweep.checks import data_sets, feature_dimension
from fashion_sweep.config import DataSource, RunConfig, Size
from fashion_sweep.data.catalogue import inside
from fashion_sweep.data.index import Index
from fashion_sweep.data.index import read as read_index
from fashion_sweep.data.sets import PUBLISHED, locate_data
from fashion_sweep.errors import ConfigError
from fashion_sweep.files import read_json
from fashion_sweep.models.gpu import BFLOAT16_TFLOPS, FLOAT32_SHARE, TF32_SHARE
from fashion_sweep.models.locate import locate_architecture
from fashion_sweep.paths import cache_rates, data_index
from fashion_sweep.space import TrialSpec
from fashion_sweep.sweep_file import EvaluationSet

TRAINED_ON = "fashion"
TOKENS, TIME_IDS, FACTOR, CHANNELS = 77, 6, 8, 4
BFLOAT16_FLOPS = 1e12 * BFLOAT16_TFLOPS
TF32_FLOPS, FLOAT32_FLOPS = TF32_SHARE * BFLOAT16_FLOPS, FLOAT32_SHARE * BFLOAT16_FLOPS
"""A second."""
FILE_S = 0.015
"""To decode, resize and crop a photograph of 750x1101: 14 ms on a core of a Xeon."""
ENCODER_FLOPS_PER_PIXEL = 4.25e6  # of SDXL's autoencoder, counted on the meta device
CAPTION_FLOPS = 2 * TOKENS * (123e6 + 695e6)  # of SDXL's text encoders
INCEPTION_FLOPS = 11.4e9
DENOISER_FLOPS_PER_PIXEL = 6.1e6  # of SDXL's UNet, likewise
SDXL_TEXT_WIDTH = 768 + 1280


@dataclass(frozen=True)
class Counts:
    """Rows of the catalogues, and where the numbers come from."""

    images: Mapping[str, int]
    """By data set."""
    captions: int
    """Different ones of the fashion images."""
    source: str


@dataclass(frozen=True)
class Part:
    kind: str
    """images, captions, reference-<data set>, loss-<data set>."""
    rows: int
    bytes: int
    rows_per_second: float | None
    """Of one worker; None where nobody knows."""
    measured: str | None
    """Where the rate was measured; None: it is an assumption, or unknown."""

    def seconds(self, workers: int) -> float | None:
        return None if self.rows_per_second is None else self.rows / self.rows_per_second / workers


@dataclass(frozen=True)
class CacheSize:
    parts: tuple[Part, ...]
    views: int
    """Augmented views that are kept per image."""
    without_captions: bool
    """Prompt embeddings are left out, and captions are encoded while training."""

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def needed_kinds(config: RunConfig, specs: Collection[TrialSpec]) -> set[str]:
    """What trials of `specs` use of the cache, if all of them are trained."""
    adapted = [spec for spec in specs if not spec.is_base_model]
    kinds = {f"reference-{name}" for name in config.sweep.judge}
    if adapted:
        kinds |= {"images", *(f"loss-{name}" for name in config.sweep.judge if name != TRAINED_ON)}
    if any(not spec.trains_text_encoders for spec in adapted):
        kinds.add("captions")
    return kinds


def cache_size(config: RunConfig, specs: Collection[TrialSpec], counts: Counts) -> CacheSize:
    """What is kept within `cache.max_gb`.

    Raises:
        ConfigError: even the least that trials need is more than that.
    """
    views, kinds = config.preset.training.views, needed_kinds(config, specs)
    choices = [(views, kinds)]
    if "captions" in kinds:
        choices.append((views, kinds - {"captions"}))
    if "images" in kinds:
        choices += [(fewer, kinds - {"captions"}) for fewer in range(views - 1, 0, -1)]
    limit = config.preset.cache.max_gb
    for kept_views, kept in choices:
        size = CacheSize(_parts(config, kept, kept_views, counts), kept_views, bool(kinds - kept))
        if limit is None or size.bytes <= limit * 1e9:
            return size
    raise ConfigError(
        f"cache.max_gb: {limit:g} is less than the {size.bytes / 1e9:.3g} GB that the trials need at least"
    )


def known_counts(config: RunConfig) -> Counts:
    """From the indices of the data where there are any, else as the data is published or is to be rendered."""
    images: dict[str, int] = {}
    captions, sources = 0, []
    for name in data_sets(config):
        source = config.preset.data.of(name)
        index = read_index_of(name, source)
        if index:
            kept = [row.caption for row in index.rows if row.width and inside(row.width / row.height, source)]
            images[name], distinct = len(kept), len(set(kept))
            sources.append(f"{len(kept):,} {name} images by the index of {locate_data(name, source)[0]}")
        else:
            rendered = source.root is None and source.rendered_images
            images[name] = distinct = rendered or PUBLISHED[name]
            sources.append(f"{images[name]:,} {name} images {'to be rendered' if rendered else 'as in the study'}")
            sources[-1] += ", none filtered out and each with a caption of its own (an assumption)"
        captions = distinct if name == TRAINED_ON else captions
    return Counts(images, captions, "; ".join(sources))


def read_index_of(name: EvaluationSet, source: DataSource) -> Index | None:
    """What is known of the data, without looking at it; None where nothing is."""
    if source.root is None and source.rendered_images is None:
        return None
    return read_index(data_index(name, locate_data(name, source)[0]))


def _parts(config: RunConfig, kinds: Collection[str], views: int, counts: Counts) -> tuple[Part, ...]:
    order = ["images", "captions", *sorted(kinds - {"images", "captions"})]  # type: ignore[operator]
    rates = read_json(cache_rates(), {})
    parts = []
    for kind in order:
        if kind in kinds:
            name = kind.partition("-")[2] or TRAINED_ON
            rows = counts.captions if kind == "captions" else counts.images[name]
            if kind.startswith("loss-"):
                rows = min(rows, config.preset.evaluation.loss_samples)
            known = rates.get(rate_key(config, kind, views), {})
            rate = known.get("rows_per_second") or _assumed_rate(config, kind, views)
            parts.append(Part(kind, rows, rows * row_bytes(config, kind, views), rate, known.get("where")))
    return tuple(parts)


def row_bytes(config: RunConfig, kind: str, views: int) -> int:
    """Of one row of that part, as `prepare.py` writes it."""
    if kind == "captions":
        width, pooled = _text_widths(config)
        return 2 * (TOKENS * width + pooled)
    if kind.startswith("reference-"):
        return 4 * feature_dimension(config.preset.evaluation)
    if kind.startswith("loss-"):
        return _view_bytes(config, config.preset.data.of(kind.partition("-")[2]).evaluation) + 4
    return views * _view_bytes(config, config.preset.training.image)


def rate_key(config: RunConfig, kind: str, views: int) -> str:
    """What a row of that part costs depends on this, besides the hardware."""
    preset = config.preset
    if kind == "captions":
        return f"captions {preset.model.base} {preset.model.dtype}"
    if kind.startswith("reference-"):
        return f"{kind} {preset.evaluation.features} {_text_of(preset.data.of(kind.partition('-')[2]).evaluation)}"
    if kind.startswith("loss-"):
        return f"{kind} {preset.model.base} {preset.model.dtype}"
    return f"images {preset.model.base} {_text_of(preset.training.image)} views {views}"


def _assumed_rate(config: RunConfig, kind: str, views: int) -> float | None:
    """For models of SDXL's size on an A100-class GPU."""
    if _text_widths(config)[0] != SDXL_TEXT_WIDTH:
        return None
    if kind == "captions":
        return BFLOAT16_FLOPS / CAPTION_FLOPS
    if kind.startswith("reference-"):
        return 1 / (FILE_S + INCEPTION_FLOPS / FLOAT32_FLOPS)
    if kind.startswith("loss-"):
        size = config.preset.data.of(kind.partition("-")[2]).evaluation
        per_pixel = ENCODER_FLOPS_PER_PIXEL / TF32_FLOPS + DENOISER_FLOPS_PER_PIXEL / BFLOAT16_FLOPS
        return 1 / (FILE_S + size.height * size.width * per_pixel)
    size = config.preset.training.image
    return 1 / (FILE_S + views * size.height * size.width * ENCODER_FLOPS_PER_PIXEL / TF32_FLOPS)


def _view_bytes(config: RunConfig, size: Size) -> int:
    channels = _component(config, "unet").get("in_channels", CHANNELS)
    blocks = _component(config, "vae").get("block_out_channels")
    factor = 2 ** (len(blocks) - 1) if blocks else FACTOR
    return 2 * channels * (size.height // factor) * (size.width // factor) + 4 * TIME_IDS


def _text_widths(config: RunConfig) -> tuple[int, int]:
    """Of the two encoders' states side by side, and of the pooled embedding."""
    first, second = (_component(config, name) for name in ("text_encoder", "text_encoder_2"))
    return first.get("hidden_size", 768) + second.get("hidden_size", 1280), second.get("projection_dim", 1280)


def _component(config: RunConfig, name: str) -> dict[str, Any]:
    base = Path(locate_architecture(config.preset.model.base, "model.base"))
    values: dict[str, Any] = read_json(base / name / "config.json", {})
    return values


def _text_of(size: Size) -> str:
    return f"{size.height}x{size.width}/{size.shorter_side}"
