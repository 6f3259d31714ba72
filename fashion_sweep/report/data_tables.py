"""Tables and sentences of what `data check` says of a data set."""

from fashion_sweep.config.judging import DECIDING, beside
from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.data.catalogue import OUTSIDE
from fashion_sweep.metrics.metric import metrics_of, too_few
from fashion_sweep.planning.inspection import DataCheck, Spread
from fashion_sweep.report.tables import Table
from fashion_sweep.report.words import GAP


def data_tables(check: DataCheck) -> list[Table]:
    return [_files(check), _sizes(check), _common_sizes(check), _tokens(check)]


def data_sentences(check: DataCheck, evaluation: EvaluationConfig) -> list[str]:
    """Says what no table holds: repeated captions, equal files, the split."""
    caption, times = check.most_repeated_caption
    read = f"{check.headers_read:,} headers were read now" if check.headers_read else "all headers were known"
    lines = [
        f"{check.root}: {check.bytes / 1e9:.3g} GB of images; {read}.",
        f"Captions: {check.captions:,} in all; {check.distinct_captions:,} distinct among the "
        f"{check.kept:,} that are used"
        + (f", the most common {times:,} times: {_short(caption)}" if times > 1 else "")
        + ".",
    ]
    if check.duplicate_files:
        examples = "; ".join(" = ".join(group[:3]) for group in check.duplicate_examples)
        lines.append(f"Equal files: {check.duplicate_files:,} more than there are contents, for instance {examples}.")
    else:
        lines.append("Equal files: none.")
    if check.training is not None:
        lines.append(f"Split: {check.training:,} images train, {check.validation:,} validate.")
    few = ", all there are" if check.judged < evaluation.samples else ""
    lines.append(
        f"Judged, where a sweep judges {check.name}: {evaluation.samples:,} pictures of {check.judged:,} captions{few}."
    )
    usual = metrics_of([*DECIDING, *beside(DECIDING)])
    if problem := too_few(usual, min(evaluation.samples, check.kept), evaluation):
        lines.append(
            f"A run would refuse to judge this: data.{check.name}: {problem}; sweep.judge=[] trains without judging."
        )
    if check.kept < check.images / 2 and OUTSIDE in check.dropped:
        without = " ".join(f"--set data.{check.name}.{name}=null" for name in check.filter)
        lines.append(f"Most images are not used; {without} sets the filter aside.")
    if check.problem_files:
        lines.append(f"Left out, for instance: {'; '.join(check.problem_files)}.")
    return lines


def _files(check: DataCheck) -> Table:
    bounds = " and ".join(
        f"width/height {'at least' if name.startswith('min') else 'at most'} {value:g}"
        for name, value in check.filter.items()
    )
    counts = {"kept": check.kept, **check.dropped}
    rows = [(kind, f"{count:,}", f"{100 * count / check.images:.2f}") for kind, count in counts.items()]
    rows.append(("all", f"{check.images:,}", "100.00"))
    caption = f"The filter keeps {bounds}." if bounds else "No filter."
    return Table(f"{check.name} data", ("images", "count", "share, %"), tuple(rows), caption)


def _sizes(check: DataCheck) -> Table:
    digits = {"aspect_ratio": 3, "kilobytes": 1}
    names = {"width": "width, pixels", "height": "height, pixels", "aspect_ratio": "width/height", "kilobytes": "kB"}
    rows = [(names[name], *_shown(spread, digits.get(name, 0))) for name, spread in check.sizes.items()]
    return Table("", ("of readable images", "min", "median", "max"), tuple(rows))


def _shown(spread: Spread, digits: int) -> tuple[str, str, str]:
    low, middle, high = (f"{value:,.{digits}f}" for value in (spread.minimum, spread.median, spread.maximum))
    return low, middle, high


def _common_sizes(check: DataCheck) -> Table:
    rows = [
        (f"{size.width}x{size.height}", f"{size.images:,}", f"{size.width / size.height:.3f}", _kept(size.kept))
        for size in check.common_sizes
    ]
    rest = check.distinct_sizes - len(rows)
    caption = f"And {rest:,} other sizes." if rest else ""
    shown = 4 if check.filter else 3
    columns = ("most common sizes", "images", "width/height", "filter")[:shown]
    return Table("", columns, tuple(row[:shown] for row in rows), caption)


def _kept(kept: bool) -> str:
    return "keeps" if kept else "drops"


def _tokens(check: DataCheck) -> Table:
    rows = [
        (t.tokenizer, f"{t.shortest}", f"{t.median:g}", f"{t.longest}", f"{t.cut:,}", _share(t.cut, check.kept))
        for t in check.tokens
    ]
    limit = check.tokens[0].limit
    columns = ("tokens of a caption", "min", "median", "max", f"cut at {limit}", "share, %")
    return Table("", columns, tuple(rows), "With begin and end.")


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.2f}" if of else GAP


def _short(text: str, length: int = 60) -> str:
    return repr(text if len(text) <= length else text[: length - 1] + "…")
