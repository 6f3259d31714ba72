import csv
import io

import pytest
from matplotlib.figure import Figure

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import RunError
from fashion_sweep.report import plots_of_runs
from fashion_sweep.report.side_by_side import folder_name, write_side_by_side
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import write_json
from tests.report.synthetic_run import finish_trial, finished_run, judgement, make_run

RANK_1 = TrialSpec.of({"unet": 1})


def run_with(folder, **judged):
    run = make_run(folder)
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(12.5, **judged)})
    return run


def test_the_same_trial_of_two_runs_is_told_apart_by_the_run(tmp_path):
    runs = [finished_run(tmp_path / "first"), run_with(tmp_path / "second")]
    (table,) = write_side_by_side(runs, tmp_path / "out")
    rank_1 = [(row[1], row[4]) for row in table.rows if row[0] == "UNet rank 1"]
    assert rank_1 == [("first", "16.90"), ("second", "12.50")]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"side-by-side.html", "side-by-side.md", "side-by-side.csv", "parameters-fashion.png"} <= written
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "side-by-side.csv").read_text())))
    assert [row["run"] for row in rows if row["fashion.fid"]] == ["first"] * 5 + ["second"]


def test_winners_of_two_families_share_a_table_and_keep_their_own_columns(tmp_path):
    other = make_run(tmp_path / "other", preset="tiny-sd3")
    finish_trial(other, TrialSpec.of({"transformer": 4}), 56320, {"fashion": judgement(12.5)})
    (table,) = write_side_by_side([finished_run(tmp_path / "first"), other], tmp_path / "out")
    assert [row[:2] for row in table.rows][-2:] == [("UNet rank 64", "first"), ("transformer rank 4", "other")]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "side-by-side.csv").read_text())))
    of_last = {name: [row[name] for row in rows if row["state"] == "done"][-1] for name in rows[0]}
    assert (of_last["transformer_rank"], of_last["unet_rank"], of_last["fashion.fid"]) == ("4", "", "12.5")
    page = (tmp_path / "out" / "side-by-side.md").read_text()
    assert (
        "exp2 on preset tiny-sd3: Which rank does an adapter of the denoiser alone need? So far, with 1 of 5 trials: "
        in page
    )
    columns = list(rows[0])
    assert columns.index("transformer_rank") < columns.index("learning_rate") < columns.index("fashion.fid")


def test_points_of_all_runs_are_named_in_the_plot(tmp_path, monkeypatch):
    figures: list[Figure] = []
    monkeypatch.setattr(plots_of_runs, "write_figure", lambda stem, figure: figures.append(figure))
    write_side_by_side([finished_run(tmp_path / "first"), run_with(tmp_path / "second")], tmp_path / "out")
    written = [text.get_text() for text in figures[0].axes[0].texts]
    assert {f"UNet rank {rank}" for rank in (1, 2, 4, 8, 64)} <= set(written)
    assert written.count("UNet rank 1") == 2


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"features": "inception-v3"}, "feature extractors on fashion differ: first: tiny-clip; second: inception-v3"),
        ({"clip_model": "ViT-L-14"}, "CLIP models on fashion differ: first: embedded:clip; second: ViT-L-14"),
        ({"samples": 512}, "numbers of generated images on fashion differ: first: 256; second: 512"),
        ({"reference_samples": 999}, "numbers of real images on fashion differ: first: 1042; second: 999"),
    ],
)
def test_numbers_of_another_kind_are_refused_and_nothing_is_written(tmp_path, changed, what):
    runs = [finished_run(tmp_path / "first"), run_with(tmp_path / "second", **changed)]
    with pytest.raises(RunError, match=what) as raised:
        write_side_by_side(runs, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_runs_without_a_common_evaluation_set_are_refused(tmp_path):
    general = make_run(tmp_path / "second", settings=["sweep.judge=[general]"])
    finish_trial(general, RANK_1, 9216, {"general": judgement(55.0)})
    with pytest.raises(RunError, match="none in common: first on fashion; second on general"):
        write_side_by_side([finished_run(tmp_path / "first"), general], tmp_path / "out")


def test_only_what_all_runs_were_judged_on_is_compared(tmp_path):
    both = make_run(tmp_path / "second", settings=["sweep.judge=[general, fashion]"])
    finish_trial(both, RANK_1, 9216, {"general": judgement(55.0), "fashion": judgement(12.5)})
    tables = write_side_by_side([finished_run(tmp_path / "first"), both], tmp_path / "out")
    assert [table.title for table in tables] == ["Configurations on fashion"]


def test_as_many_but_other_real_images_are_refused(tmp_path):
    runs = [run_with(tmp_path / "first"), run_with(tmp_path / "second")]
    for run, key in zip(runs, ("aa", "bb"), strict=True):
        write_json(run.caches, {"reference-fashion": [f"/cache/reference-fashion-{key}", 1042]})
    with pytest.raises(RunError, match="real images on fashion differ: first: aa; second: bb"):
        write_side_by_side(runs, tmp_path / "out")


def test_runs_of_one_name_are_refused(tmp_path):
    runs = [run_with(tmp_path / "a" / "run"), run_with(tmp_path / "b" / "run")]
    with pytest.raises(RunError, match="named run"):
        write_side_by_side(runs, tmp_path / "out")


def test_the_folder_is_named_by_the_runs_however_many(tmp_path):
    assert folder_name([RunPaths(tmp_path / "a"), RunPaths(tmp_path / "b")]) == "a+b"
    assert len(folder_name([RunPaths(tmp_path / ("r" * 90 + str(i))) for i in range(9)])) < 100
