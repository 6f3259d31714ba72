"""The last screen of a run: short, in 80 columns, and with commands that can be typed as they stand."""

import io
import json
import shlex
import shutil

import pytest

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.console import Terminal
from fashion_sweep.report.page import write_report, write_results
from fashion_sweep.report.results import collect
from fashion_sweep.report.summary import show_summary
from fashion_sweep.run.specs import Suggestion
from fashion_sweep.storage.files import read_json, write_json
from tests.report.synthetic_run import finish_trial, finished_run, judgement, make_run, set_status
from tests.report.test_verdict import judged_run

SECONDS = {"prepare": 38.0, "train": 183.0, "judge": 80.0, "start-up and waiting": 72.0, "total": 373.0}


def last_screen(run) -> list[str]:
    write_results(run, SECONDS)
    out = io.StringIO()
    show_summary(run, Terminal(file=out, width=80))
    return out.getvalue().splitlines()


def height(lines) -> int:
    """As a terminal of 80 columns breaks them."""
    return sum(max(1, -(-len(line.rstrip()) // 80)) for line in lines)


def commands(lines) -> list[str]:
    text = "\n".join(lines).replace(" \\\n      ", " ")
    return [line.removeprefix("next: ") for line in text.splitlines() if line.startswith("next: ")]


def test_a_decided_run_ends_with_what_to_take_and_how_to_draw_with_it(tmp_path):
    shifts = {"unet-r1": 1.0, "unet-r2": 0.0, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.0}
    run = judged_run(tmp_path / "run", shifts, n=300)
    lines = last_screen(run)
    assert lines[0].startswith("Take UNet rank 2: as good as the best of five")
    assert height(lines) <= 25
    assert "time: 6m 13s, of it prepare 10%, train 49%, judge 21%, start-up and waiting 19%" in lines
    draw, look = commands(lines)
    assert draw.startswith(f"python -m fashion_sweep generate --adapter {run.trial('unet-r2').root} --prompt ")
    assert look == "python -m fashion_sweep ui"


def test_in_a_file_the_verdict_is_one_line(tmp_path):
    shifts = {"unet-r1": 1.0, "unet-r2": 0.0, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.0}
    run = judged_run(tmp_path / "run", shifts, n=300)
    write_results(run, SECONDS)
    out = io.StringIO()
    show_summary(run, Terminal(file=out))
    first = out.getvalue().splitlines()[0]
    assert first == "Take UNet rank 2: as good as the best of five, 97 % fewer parameters than rank 64."
    assert len(first) > 80


def test_names_that_would_look_alike_when_cut_stay_whole(tmp_path):
    alike = {"lora_alpha": "rank", "learning_rate": 0.001, "schedule": "linear", "warmup_steps": 10}
    trials = [{"unet": 8, **alike, "optimizer": optimizer} for optimizer in ("adafactor", "prodigy")]
    run = make_run(tmp_path / "run", settings=[f"sweep.trials={json.dumps(trials)}"])
    for values in trials:
        finish_trial(run, TrialSpec.of(values), 73728, {"fashion": judgement(16.0, 23.0)})
    lines = last_screen(run)
    assert not any("…" in line for line in lines)
    assert all(any(name in line for line in lines) for name in ("adafactor", "prodigy"))
    assert height(lines) <= 25


def test_a_name_of_several_parts_is_whole_where_the_screen_has_room(tmp_path):
    trials = "sweep.trials=[{unet: 64}, {unet: 1, text_encoders: 4}, {text_encoders: 8}]"
    shifts = {"unet-r64": 0.0, "unet-r1-text_encoders-r4": 0.0, "text_encoders-r8": 0.0}
    run = judged_run(tmp_path / "run", shifts, settings=[trials], n=300)
    lines = last_screen(run)
    (width,) = (line.index("parameters") for line in lines if line.startswith("configuration"))
    assert "UNet rank 1, text encoders rank 4" in " ".join(line[:width].strip() for line in lines[3:])


def write_many_captions(run) -> None:
    known = [{"name": f"{i}.jpg", "caption": f"A shirt, {i}."} for i in range(20_000)]
    write_json(run.catalogue("fashion"), {"records": known, "filtered": 0, "problems": []})


def test_more_images_than_there_are_captions_are_called_so(tmp_path):
    shifts = {"unet-r1": 0.0, "unet-r2": 0.01, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.0}
    settings = ["sweep.choose={margins: {clip_score: 0.05}}"]
    lines = last_screen(judged_run(tmp_path / "run", shifts, n=10, settings=settings))
    assert "there are captions for 10" in " ".join(line.strip() for line in lines)


def test_a_run_with_settings_of_its_own_is_not_told_to_be_called_again_without_them(tmp_path):
    shifts = {"unet-r1": 0.0, "unet-r2": 0.01, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.0}
    prompts = [f"{i}.jpg" for i in range(250)]
    run = judged_run(
        tmp_path / "run",
        shifts,
        n=250,
        prompts=prompts,
        settings=["sweep.choose={margins: {clip_score: 0.02}}"],
        noise=1.0,
    )
    known = [{"name": f"{i}.jpg", "caption": f"A shirt, {i}."} for i in range(100_000)]
    write_json(run.catalogue("fashion"), {"records": known, "filtered": 0, "problems": []})
    lines = last_screen(run)
    assert lines[0].startswith("Undecided between all five. About ")
    assert height(lines) <= 25
    assert commands(lines)[0].startswith("python -m fashion_sweep generate")


def test_an_undecided_run_ends_with_the_command_that_would_decide(tmp_path):
    shifts = dict.fromkeys(["unet-r1", "unet-r2", "unet-r4", "unet-r8", "unet-r64"], 0.0)
    run = judged_run(tmp_path / "run", shifts, n=2048, fixed=(), noise=8.0)
    write_many_captions(run)
    again = shlex.split(commands(last_screen(run))[0])
    assert again[3:9] == ["run", "exp2", "--preset", "tiny", "--adapters-from", "run"]
    assert again[9] == "--set"
    assert again[10].startswith("evaluation.samples=")


def test_a_hundred_trials_are_shown_by_the_first_and_counted(tmp_path):
    run = make_run(tmp_path / "run", "search", ["sweep.search.trials=100"])
    for index in range(100):
        spec = TrialSpec.of({"unet": 1 + index % 4, "learning_rate": 0.001 + index / 1e5})
        Suggestion(index, spec, 9216).write(run)
        finish_trial(run, spec, 9216, {"fashion": judgement(16.9)}, steps=50)
    lines = last_screen(run)
    assert height(lines) <= 25
    assert "92 more rows in the report" in " ".join(line.strip() for line in lines)


def test_two_evaluation_sets_and_a_failure_fit_as_well(tmp_path):
    run = make_run(tmp_path / "run", "exp2", ["sweep.judge=[fashion, general]"])
    judged = {"fashion": judgement(16.9), "general": judgement(55.5)}
    for rank in (1, 2, 4, 8):
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, judged)
    set_status(run, TrialSpec.of({"unet": 64}), "failed", error="loss=nan")
    lines = last_screen(run)
    assert height(lines) <= 25
    assert "1 of 5 trials failed: python -m fashion_sweep status run tells why" in lines


LONG = "{unet: 1, text_encoders: 2, learning_rate: 0.01}, {unet: 2, text_encoders: 2, learning_rate: 0.001}"
LONG += ", {unet: 4, text_encoders: 4, learning_rate: 0.02}, {unet: 8, text_encoders: 8, learning_rate: 0.003}"


@pytest.mark.parametrize("judge", ["[fashion]", "[fashion, general]"])
@pytest.mark.parametrize("trials", [None, LONG])
@pytest.mark.parametrize("missing", [0, 1])
def test_the_screen_fits_with_intervals_long_names_and_what_was_registered(tmp_path, judge, trials, missing):
    settings = [f"sweep.judge={judge}", *([f"sweep.trials=[{trials}]"] if trials else [])]
    names = [spec.trial_id for spec in collect(make_run(tmp_path / "names", "exp2", settings)).config.specs]
    shifts = {name: 0.1 * index for index, name in enumerate(names[missing:])}
    run = judged_run(tmp_path / "a-name-of-a-run-that-says-all-of-what-it-was-for", shifts, settings=settings, n=200)
    if "general" in judge:
        judge_alike(run, names[missing:])
    told = "models:/exp2-tiny/12: UNet rank 8, though none could be chosen; now models:/exp2-tiny@best"
    write_json(run.mirror, {"registered": told})
    lines = last_screen(run)
    assert height(lines) <= 25
    assert sum(" to " in line for line in lines) >= len(collect(run).config.sweep.judge)  # intervals
    assert any(line.startswith("registered: ") for line in lines)


def judge_alike(run, names) -> None:
    """On general as on fashion."""
    for name in names:
        result = read_json(run.trial(name).result)
        result["evaluations"]["general"] = result["evaluations"]["fashion"]
        write_json(run.trial(name).result, result)
        for path in run.trial(name).root.glob("estimates/fashion-*"):
            shutil.copy(path, path.with_name(path.name.replace("fashion", "general")))
    shutil.copy(run.catalogue("fashion"), run.catalogue("general"))


def test_what_is_in_the_report_is_not_printed_again(tmp_path):
    run = finished_run(tmp_path / "run")
    screen = "\n".join(last_screen(run))
    write_report(run)
    report = run.report.read_text()
    for text in ("Published for SDXL", "as computed", "Where the time went"):
        assert text not in screen
        assert text in report


def test_a_file_gets_sentences_whole_however_long_they_are():
    out = io.StringIO()
    Terminal(file=out).print("word " * 60)
    assert out.getvalue().count("\n") == 1
