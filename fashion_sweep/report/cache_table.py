"""The shared cache of a sweep to come: its size, and the time it takes to fill."""

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.encodings.size import CacheSize, Counts, left_out
from fashion_sweep.planning.cost import FILE_S
from fashion_sweep.planning.gpu import ASSUMED
from fashion_sweep.report.tables import Table, duration


def cache_table(config: RunConfig, size: CacheSize) -> Table:
    workers = config.preset.resources.workers_per_trial
    rows = [
        (part.title, f"{part.rows:,}", f"{part.bytes / 1e9:.3g}", duration(part.seconds(workers)))
        for part in size.parts
    ]
    times = [part.seconds(workers) for part in size.parts]
    total = sum(seconds or 0 for seconds in times) if all(seconds is not None for seconds in times) else None
    rows.append(("all", "", f"{size.bytes / 1e9:.3g}", duration(total)))
    with_workers = f"time, {workers} worker{'s' if workers > 1 else ''}"
    return Table("Shared cache, filled once", ("part", "rows", "GB", with_workers), tuple(rows))


def cache_sentences(config: RunConfig, size: CacheSize, counts: Counts) -> list[str]:
    """Says what the table's numbers rest on, and what the limit leaves out."""
    lines = [f"Counts: {counts.source}. {size.views} view{'s' if size.views > 1 else ''} an image."]
    measured: dict[str, list[str]] = {}
    for part in size.parts:
        if part.measured:
            measured.setdefault(part.measured, []).append(part.title)
    lines += [f"Measured on {where}: {', '.join(names)}." for where, names in measured.items()]
    assumed = [part.title for part in size.parts if part.rows_per_second and not part.measured]
    if assumed:
        lines.append(
            f"Assumed, for an A100-class GPU that sustains {ASSUMED.bfloat16 / 1e12:.2g} TFLOP/s in bfloat16, "
            f"{ASSUMED.tf32 / 1e12:.2g} in TF32 (autoencoder), {ASSUMED.float32 / 1e12:.2g} in float32 (Inception) "
            f"and {1000 * FILE_S:g} ms of a CPU core for a photograph: {', '.join(assumed)}."
        )
    if any(part.rows_per_second is None for part in size.parts):
        lines.append("The time is known once a run has filled such a cache here.")
    return lines + left_out(config, size.without_captions, size.views)
