"""Forecasts the shared cache's size, the time to fill it, and what `cache.max_gb` leaves out of it.

All comes from configs alone, without torch. Prompt embeddings go first, since encoding captions while training gives
the same numbers up to rounding; then views, down to one, which is another augmentation for all trials alike.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fashion_sweep.config.data_source import DataSource
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data import index, locations
from fashion_sweep.data.catalogue import inside
from fashion_sweep.data.sets import locate_data
from fashion_sweep.doors import LAYOUTS
from fashion_sweep.encodings.parts import all_parts
from fashion_sweep.encodings.reference_part import Reference
from fashion_sweep.errors import ConfigError
from fashion_sweep.judging.looks import looks_of
from fashion_sweep.metrics.extractors import dimension_of
from fashion_sweep.run.paths import cache_rates, data_index
from fashion_sweep.storage.files import read_json


@dataclass(frozen=True)
class Counts:
    """The numbers of the catalogues' rows, and where they come from."""

    images: Mapping[str, int]
    """The number of images by data set."""
    captions: int
    """The number of distinct captions of the images trained on."""
    source: str


@dataclass(frozen=True)
class Part:
    kind: str
    """The kind of the part: images, captions, reference-<data set>, loss-<data set>."""
    title: str
    rows: int
    bytes: int
    rows_per_second: float | None
    """The rate of one worker; None where it is not known."""
    measured: str | None
    """The place where the rate was measured; None: it is an assumption, or unknown."""

    def seconds(self, workers: int) -> float | None:
        return None if self.rows_per_second is None else self.rows / self.rows_per_second / workers


@dataclass(frozen=True)
class CacheSize:
    parts: tuple[Part, ...]
    views: int
    """The number of augmented views that are kept per image."""
    without_captions: bool
    """Whether prompt embeddings are left out, so that captions are encoded while training."""

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def cache_size(config: RunConfig, specs: Collection[TrialSpec], counts: Counts) -> CacheSize:
    """Returns the parts that are kept within `cache.max_gb`, with their sizes.

    Raises:
        ConfigError: even the least that trials need is more than that.
    """
    views = config.preset.training.views
    kinds = {kind for kind, part in all_parts(config, views).items() if part.is_needed(specs)}
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


def trials_size(config: RunConfig, parameters: Collection[int]) -> dict[str, float]:
    """Returns the most bytes that trials take, by what they are for.

    `parameters`: the trained ones of each trial.
    """
    adapters, evaluation = 4.0 * sum(parameters), config.preset.evaluation
    judged = evaluation.samples * len(config.sweep.judge)
    looked_at = sum(sum(looks_of(config, name)) for name in config.sweep.judge)
    references = [part for part in all_parts(config, 1).values() if isinstance(part, Reference)]
    widths = {part.extractor: dimension_of(part.extractor, evaluation) for part in references}
    kept = 4.0 * (sum(widths.values()) + 1)  # of an image: its features, and its CLIP score
    influences = 16.0 * len(config.sweep.metrics)  # on the value, and on that of its half, at each look
    return {
        "adapters, here and in MLflow": 2 * adapters,
        "checkpoints": 2 * 3 * adapters,  # two, each of adapter and both moments
        "features of judged images": len(parameters)
        * (judged * 2 * kept + looked_at * influences),  # by batch, and together
    }


def left_out(config: RunConfig, without_captions: bool, views: int) -> list[str]:
    """Describes in sentences what `cache.max_gb` leaves no room for."""
    limit, wanted = config.preset.cache.max_gb, config.preset.training.views
    sentences = []
    if without_captions:
        size = config.architecture.caption_bytes(config.preset.model) / 1e6
        sentences.append(
            f"Within cache.max_gb={limit:g} no prompt embeddings are kept, of {size:.3g} MB a caption: captions are "
            "encoded in training."
        )
    if views < wanted:
        sentences.append(f"Within cache.max_gb={limit:g} {views} of {wanted} views an image are kept.")
    return sentences


def known_counts(config: RunConfig) -> Counts:
    """Counts rows by the indices of the data where there are any, else as the data is published or to be rendered."""
    images: dict[str, int] = {}
    captions, sources = 0, []
    for name in config.data_sets:
        source = config.preset.data[name]
        indexed = read_index_of(name, source)
        if indexed:
            kept = [row.caption for row in indexed.rows if row.width and inside(row.width / row.height, source)]
            images[name], distinct = len(kept), len(set(kept))
            sources.append(f"{len(kept):,} {name} images by the index of {locate_data(name, source)[0]}")
        else:
            images[name], origin = _assumed_count(name, source)
            distinct = images[name]
            sources.append(f"{images[name]:,} {name} images {origin}")
        captions = distinct if name == config.preset.training_set else captions
    return Counts(images, captions, "; ".join(sources))


def _assumed_count(name: str, source: DataSource) -> tuple[int, str]:
    """Returns how many images a data set that was not opened yet has, and where the number is from.

    Raises:
        ConfigError: the number is not known.
    """
    assumption = ", none filtered out and each with a caption of its own (an assumption)"
    if source.is_rendered and source.rendered_images:
        return source.rendered_images, f"to be rendered{assumption}"
    here = source.root is not None and not locations.is_url(source.root) and locations.is_folder(source.root)
    if here and (listed := len(LAYOUTS[source.layout].find(locations.absolute(str(source.root))).images)):
        return listed, f"as its folder lists them{assumption}"
    if source.published is None:
        raise ConfigError(f"data.{name}: how many images it has is not known; data check {name} counts them")
    is_elsewhere = source.root and not here and not locations.is_url(source.root)
    missing = f", for {source.root} is not on this machine" if is_elsewhere else ""
    return source.published.images, f"as published{assumption}{missing}"


def read_index_of(name: str, source: DataSource) -> index.Index | None:
    """Reads the index of a data set without looking at the data; None where there is none."""
    if source.root is None and not source.is_rendered:
        return None
    return index.read(data_index(name, locate_data(name, source)[0]))


def _parts(config: RunConfig, kinds: Collection[str], views: int, counts: Counts) -> tuple[Part, ...]:
    rates, sizes = read_json(cache_rates(), {}), []
    for kind, part in all_parts(config, views).items():
        if kind in kinds:
            rows = part.rows(counts.images[part.data_set], counts.captions)
            measured = rates.get(part.rate_key, {})
            rate = measured.get("rows_per_second") or part.assumed_rate
            sizes.append(Part(kind, part.title, rows, rows * part.row_bytes, rate, measured.get("where")))
    return tuple(sizes)
