from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.labels import label_points, numbered
from fashion_sweep.report.losses import loss_figure
from fashion_sweep.report.plots import write_plots
from fashion_sweep.report.results import collect
from fashion_sweep.storage.files import write_json_lines
from tests.report.synthetic_run import finish_trial, finished_run, judgement, log_losses, make_run, set_status


@pytest.mark.parametrize("count", [5, 40, 200])
def test_labels_lie_in_the_plot_and_never_over_another(count):
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    x, y = np.random.default_rng(0).random((2, count))
    axes.plot(x, y, "o")
    label_points(axes, [(a, b, f"configuration {index}") for index, (a, b) in enumerate(zip(x, y, strict=True))])
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) >= 5
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    frame = axes.get_window_extent(renderer)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_many_configurations_are_numbered_and_few_are_named():
    assert numbered(["a", "b"]) == {"a": "a", "b": "b"}
    assert list(numbered([str(i) + "th" for i in range(20)]).values()) == [str(i) for i in range(1, 21)]


def test_each_plot_is_written_as_png_and_svg(tmp_path):
    run = finished_run(tmp_path / "run")
    pictures, losses = write_plots(run, collect(run), {})
    written = [*(picture.path for picture in pictures), losses]
    assert [path.stem for path in written] == ["parameters-fashion", "quality-fashion", "loss"]
    assert all(path.is_file() and path.with_suffix(".svg").is_file() for path in written)


def test_the_loss_scale_is_that_of_the_validation_after_the_first_report_and_of_no_trial_gone_astray(tmp_path):
    run = make_run(tmp_path / "run")
    for rank in (1, 2, 4):
        log_losses(run, TrialSpec.of({"unet": rank}), 1, 300)
    astray = [{"step": step, "val_loss": 50.0} for step in (50, 100)]
    write_json_lines(run.trial("unet-r8").metrics, astray)
    figure = loss_figure(run, collect(run))
    assert figure is not None
    low, high = figure.axes[0].get_ylim()
    assert 0.05 < low < high < 0.25  # the first report, at step 50, is above 0.2; one trial is at 50


def test_a_loss_curve_that_was_damaged_is_drawn_as_far_as_it_is_known_and_says_so(tmp_path):
    run = make_run(tmp_path / "run")
    log_losses(run, TrialSpec.of({"unet": 1}), 1, 300)
    metrics = run.trial("unet-r1").metrics
    metrics.write_text(metrics.read_text()[:-20])
    figure = loss_figure(run, collect(run))
    assert figure is not None
    assert "steps are missing, since metrics.jsonl was damaged: UNet rank 1" in figure.axes[0].get_title()
    assert write_plots(run, collect(run), {}) == ([], run.plots / "loss.png")


def test_replicates_share_a_colour_and_one_entry_of_the_legend(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.trials=[{unet: 1}, {unet: 2}]", "sweep.seeds=3"])
    for spec in collect(run).config.specs:
        log_losses(run, spec, 1, 100)
    figure = loss_figure(run, collect(run))
    assert figure is not None
    assert sorted(text.get_text() for text in figure.legends[0].get_texts()) == ["UNet rank 1", "UNet rank 2"]
    assert len({line.get_color() for line in figure.axes[0].lines}) == 2


def test_a_run_of_which_nothing_is_judged_has_loss_curves_alone(tmp_path):
    run = make_run(tmp_path / "run")
    log_losses(run, TrialSpec.of({"unet": 1}), 1, 50)
    set_status(run, TrialSpec.of({"unet": 2}), "failed", error="no")
    assert write_plots(run, collect(run), {}) == ([], run.plots / "loss.png")


def test_a_base_model_far_off_does_not_press_the_others_together(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.trials=[{}, {unet: 1}, {unet: 2}, {unet: 4}]"])
    finish_trial(run, TrialSpec.of({}), 0, {"fashion": judgement(90.0)})
    for rank, fid in ((1, 5.0), (2, 5.5), (4, 6.0)):
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, {"fashion": judgement(fid)})
    from fashion_sweep.report.configurations import configurations
    from fashion_sweep.report.plots import _quality

    results = collect(run)
    figure = _quality(results, "fashion", configurations(results, "fashion", None), None)
    assert figure is not None
    assert figure.axes[0].get_ylim()[1] < 10
    assert any("90.00, off the scale" in text.get_text() for text in figure.axes[0].texts)
