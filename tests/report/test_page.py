import hashlib
import io
import re
from pathlib import Path

from PIL import Image
from rich.console import Console

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.grid import CELL_WIDTH, write_grid
from fashion_sweep.report.page import write_report
from fashion_sweep.report.results import collect
from fashion_sweep.report.tables import Table, markdown, published_tables, terminal, time_table, trial_tables
from fashion_sweep.report.words import GAP
from tests.report.synthetic_run import finish_trial, finished_run, judgement, make_run, set_status


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_report_written_again_from_the_folder_alone_is_the_same(tmp_path):
    run = finished_run(tmp_path / "run")
    write_report(run, {"prepare": 30.0, "total": 100.0})
    first = digests(run.root)
    write_report(run)
    assert digests(run.root) == first


def test_report_links_only_files_that_exist(tmp_path):
    run = finished_run(tmp_path / "run")
    write_report(run, {})
    links = re.findall(r"!\[.*?\]\((.*?)\)", run.report.read_text())
    assert len(links) == 4
    assert all((run.root / link).is_file() for link in links)


def test_report_of_a_run_in_which_nothing_finished_shows_gaps(tmp_path):
    run = make_run(tmp_path / "run")
    set_status(run, TrialSpec.of({"unet": 1}), "failed", error="loss=nan at step 12")
    write_report(run, {})
    text = run.report.read_text()
    assert "UNet rank 1 (failed) | – | – | – | – | – | – |" in text
    assert "loss=nan at step 12" in text
    assert "![" not in text


def test_fid_is_shown_with_its_count_and_extractor_and_apart_from_the_published_one(tmp_path):
    results = collect(finished_run(tmp_path / "run"))
    (ours,), (theirs,) = trial_tables(results), published_tables(results)
    assert "256 generated images" in ours.caption
    assert "tiny-clip features (64 dimensions)" in ours.caption
    assert "1,042 real ones" in ours.caption
    assert "another model" in theirs.title
    assert not {row[2] for row in theirs.rows} & {row[2] for row in ours.rows}


def test_each_evaluation_set_has_a_table_of_its_own(tmp_path):
    run = make_run(tmp_path / "run", "exp3", ["sweep.judge=[fashion, general]"])
    judged = {"fashion": judgement(16.9), "general": judgement(55.5)}
    finish_trial(run, TrialSpec.of({"unet": 1}), 9216, judged)
    assert [table.rows[1][3] for table in trial_tables(collect(run))] == ["16.90", "55.50"]


def test_a_missing_number_is_a_gap_in_terminal_and_markdown(tmp_path):
    run = make_run(tmp_path / "run", "exp3")
    finish_trial(run, TrialSpec.of({"unet": 1}), 9216, {"fashion": judgement(None, None)}, seconds={})
    (table,) = trial_tables(collect(run))
    assert table.rows[1] == ("UNet rank 1", "9,216", "256", GAP, "1.2 ± 0.1", *[GAP] * 5)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(terminal(table))
    assert "1.2 ± 0.1" in console.export_text()
    assert "| UNet rank 1 | 9,216 | 256 | – | 1.2 ± 0.1 | – | – | – | – | – |" in markdown(table)


def test_time_table_shares_are_of_the_total(tmp_path):
    run = finished_run(tmp_path / "run")
    write_report(run, {"prepare": 25.0, "start-up and waiting": 5.0, "total": 100.0})
    table = time_table(collect(run))
    assert table is not None
    assert table.rows[0] == ("prepare", "25.0s", "25%")
    assert table.rows[1][0] == "start-up and waiting"
    assert table.rows[-1] == ("total", "1m 40s", "100%")


def test_grid_puts_rows_and_columns_in_order_and_shows_missing_images_as_gaps(tmp_path):
    colours = {(0, 0): "#ff0000", (0, 1): "#00ff00", (1, 0): "#0000ff"}
    cells = [[tmp_path / f"{row}{column}.png" for column in range(2)] for row in range(2)]
    for (row, column), colour in colours.items():
        Image.new("RGB", (48, 64), colour).save(cells[row][column])
    write_grid(tmp_path / "grid.png", ["one", "two"], ["a long prompt " * 8, "short"], cells)
    with Image.open(tmp_path / "grid.png") as opened:
        pixels = opened.convert("RGB")
    boxes = {c: pixels_of(pixels, tuple(bytes.fromhex(c[1:]))) for c in colours.values()}
    red, green, blue = boxes["#ff0000"], boxes["#00ff00"], boxes["#0000ff"]
    assert red[2] - red[0] == CELL_WIDTH
    assert red[1] == green[1]
    assert red[0] == blue[0]
    assert green[0] > red[2]
    assert blue[1] > red[3]
    gap = pixels.crop((green[0], blue[1], green[2], blue[3]))
    assert 1 < len(gap.convert("L").getcolors()) < 256  # a frame and words, no picture


def pixels_of(image: Image.Image, colour: tuple[int, ...]) -> tuple[int, int, int, int]:
    mask = Image.new("L", image.size)
    mask.putdata([255 * (pixel == colour) for pixel in image.getdata()])
    box = mask.getbbox()
    assert box is not None
    return box


def test_a_name_that_looks_like_markup_is_shown_as_it_is():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal(Table("[/red]", ("a",), (("[red]x[/]",),), "[/bold]")))
    shown = console.export_text()
    assert all(text in shown for text in ("[/red]", "[red]x[/]", "[/bold]"))


def test_a_trial_whose_memory_did_not_suffice_is_named_with_the_sizes_it_went_on_with(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.trials=[{unet: 1}, {unet: 2}]", "generation.batch_size=32"])
    whole = {"fashion": judgement(7.0, images_at_once=32)}
    finish_trial(run, TrialSpec.of({"unet": 1}), 9216, whole, micro_batch_size=8)
    write_report(run, {})
    assert "Memory" not in run.report.read_text()
    parts = {"fashion": judgement(7.0, images_at_once=16)}
    finish_trial(run, TrialSpec.of({"unet": 2}), 18432, parts, micro_batch_size=4)
    write_report(run, {})
    text = run.report.read_text()
    assert "UNet rank 2 trained with 4 samples at a time, not 8; " in text
    assert "UNet rank 2 drew 16 fashion images at a time, not 32" in text


def test_a_sweep_that_judges_nothing_says_so_and_shows_no_numbers(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.judge=[]", "sweep.trials=[{unet: 1}]"])
    finish_trial(run, TrialSpec.of({"unet": 1}), 9216, {})
    write_report(run, {})
    text = run.report.read_text()
    assert "**Nothing was judged, as the sweep wants it:" in text
    assert "FID" not in text
    assert "## Samples" in text
