"""A race as it is read from a run folder, and as people see it."""

import io

import pytest
from rich.console import Console

from fashion_sweep.judging.race import out_of_time, races_of
from fashion_sweep.judging.standing import read_standings, standings, write_standings
from fashion_sweep.report.blocks import Text
from fashion_sweep.report.live import LiveTable
from fashion_sweep.report.page import write_report
from fashion_sweep.report.results import collect
from fashion_sweep.report.run_status import show_standing, standing
from fashion_sweep.report.study import study_beside_ours
from fashion_sweep.report.verdict import verdicts_of
from fashion_sweep.storage.files import read_json, write_json
from fashion_sweep.tasks.racing import due_of
from tests.report.test_verdict import judged_run

SHIFTS = {"unet-r1": 1.0, "unet-r2": 0.0, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.0}


@pytest.fixture
def run(tmp_path):
    """Rank 1 is out at once; the others are close, and noisy."""
    return judged_run(tmp_path / "run", SHIFTS, n=2048, fixed=(), noise=3.0)


def shown(render) -> str:
    to = Console(file=io.StringIO(), width=160, color_system=None)
    render(to)
    return to.file.getvalue()


def test_who_is_out_stays_at_the_look_at_which_that_was_shown(run):
    race = races_of(run, collect(run).config)["fashion"]
    assert race.out == ("UNet rank 1",)
    assert race.images["UNet rank 1"] == 256
    assert race.chosen == "UNet rank 2"
    assert max(race.images.values()) > 256
    assert sum(race.images.values()) < 5 * 2048


def test_the_report_tells_each_configurations_images_and_shows_the_race(run):
    write_report(run, {})
    page, verdict = run.report.read_text(), verdicts_of(run, collect(run))["fashion"]
    assert (run.plots / "race-fashion.png").is_file()
    assert "| UNet rank 1 | out | " in page
    assert "| UNet rank 2 | chosen | the smallest shown to be as good as the best | " in page
    assert f"{verdict.images_drawn:,} images, " in page
    assert "256 to " in verdict.basis
    assert "after any of four looks" in verdict.basis
    assert verdict.end == "decided"
    for title, one in verdict.standings.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| {title} | {one.state} | "))
        assert row.endswith(f" than {one.rival}{'' if one.on == one.images else f', on {one.on:,} images'} |")


def test_without_a_race_there_is_none_in_the_report(tmp_path):
    run = judged_run(tmp_path / "run", SHIFTS, n=300)
    write_report(run, {})
    assert "## Race" not in run.report.read_text()
    assert not list(run.plots.glob("race-*"))


def without_its_longest(run) -> tuple[str, int]:
    """Removes the last look of the trial that was judged on most images; returns trial and images."""
    config = collect(run).config
    images = races_of(run, config)["fashion"].images
    longest = max(images, key=images.__getitem__)
    spec = next(spec for spec in config.specs if spec.title == longest)
    run.trial(spec.trial_id).estimates("fashion", images[longest]).unlink()
    return spec.trial_id, images[longest]


def test_what_is_missing_is_asked_for_and_makes_the_answer_preliminary(run):
    config, (trial_id, images) = collect(run).config, without_its_longest(run)
    races = races_of(run, config)
    assert due_of(run, config, races) == {trial_id: {"fashion": images}}
    write_report(run, {})
    assert read_json(run.results)["headline"].startswith("So far, while the race goes on: ")


def test_a_look_that_a_trials_result_does_not_tell_of_is_asked_for_again(run):
    """Its worker was killed after the estimates were written."""
    config, trial = collect(run).config, run.trial("unet-r2")
    result = read_json(trial.result)
    last = str(races_of(run, config)["fashion"].images["UNet rank 2"])
    del result["evaluations"]["fashion"]["looks"][last]
    write_json(trial.result, result)
    assert due_of(run, config, races_of(run, config)) == {"unet-r2": {"fashion": int(last)}}


@pytest.mark.parametrize(("complete", "count"), [("winner", 1), ("all", 5)])
def test_numbers_to_be_published_are_completed_once_the_race_is_over(tmp_path, complete, count):
    run = judged_run(tmp_path / "run", SHIFTS, n=2048, fixed=(f"sweep.choose.complete={complete}",))
    config = collect(run).config
    for spec in config.specs:
        run.trial(spec.trial_id).estimates("fashion", 2048).unlink()
    races = races_of(run, config)
    assert races["fashion"].end == "decided"
    due = due_of(run, config, races)
    assert (len(due), set(due["unet-r2"].items())) == (count, {("fashion", 2048)})
    assert due_of(run, config, races, all_there=False) == {}


def test_when_the_hours_are_over_no_round_is_begun(tmp_path):
    run = judged_run(tmp_path / "run", SHIFTS, n=2048, fixed=("sweep.choose.budget={hours: 0.01}",), noise=3.0)
    config = collect(run).config
    for spec in config.specs:
        for images in (512, 1024, 2048):
            run.trial(spec.trial_id).estimates("fashion", images).unlink()
    assert out_of_time(run, config)  # 21 s each
    (race,) = races_of(run, config).values()
    assert (race.end, race.due) == ("budget", {})
    for spec in config.specs:
        result = read_json(run.trial(spec.trial_id).result)
        write_json(run.trial(spec.trial_id).result, result | {"seconds": {"judge": 1.0}})
    assert races_of(run, config)["fashion"].due


def test_how_it_stands_is_told_while_it_goes_on(run):
    races = races_of(run, collect(run).config)
    write_standings(run, races, is_over=True)
    assert read_standings(run)["fashion"] == standings(races["fashion"], is_over=True)
    titles = {spec.trial_id: spec.title for spec in collect(run).config.specs}
    text = shown(lambda to: to.print(LiveTable(run, list(titles), titles, to).table()))
    assert "256 out, " in text
    narrow = Console(file=io.StringIO(), width=80, color_system=None)
    narrow.print(LiveTable(run, list(titles), titles, narrow).table())
    assert "race on fashion: UNet rank 2 is chosen, 1 out, " in narrow.file.getvalue()
    text = shown(lambda to: show_standing(run, False, to))
    assert "UNet rank 1: 256 images of fashion, out: " in text
    assert standing(run, False)["races"]["fashion"]["UNet rank 2"]["state"] == "chosen"
    to = Console(file=io.StringIO(), width=160, color_system=None)
    with LiveTable(run, list(titles), titles, to):
        pass
    assert to.file.getvalue().count("UNet rank 1 is out after 256 images of fashion: ") == 1


def test_a_damaged_account_of_the_race_shows_nothing(run):
    write_json(run.race, {"fashion": {"UNet rank 1": {"images": 3}}})
    assert read_standings(run) == {}
    write_json(run.race, [1])
    assert read_standings(run) == {}


def test_who_waits_for_its_rival_goes_on_and_does_not_rest(run):
    without_its_longest(run)
    race = races_of(run, collect(run).config)["fashion"]
    assert race.due.keys() < set(race.wanted)
    assert {standings(race, is_over=True)[name].state for name in race.wanted} <= {"goes on", "ahead", "good"}


def test_nobody_is_chosen_while_others_are_still_trained(run):
    race = races_of(run, collect(run).config)["fashion"]
    assert race.end == "decided"
    states = [{one.state for one in standings(race, is_over).values()} for is_over in (True, False)]
    assert ["chosen" in one for one in states] == [True, False]
    assert "ahead" in states[1]


def test_the_best_is_found_on_the_images_that_two_have_in_common(run):
    """As single numbers, those on few images would be compared with those on many."""
    race = races_of(run, collect(run).config)["fashion"]
    for metric in race.metrics:
        best = race.best_in(metric)
        rivals = [one for one in race.measured if one is not best]
        least = max(race.worse_by(metric, best, one).value for one in rivals)
        for ours in rivals:
            others = [one for one in race.measured if one is not ours]
            assert least <= max(race.worse_by(metric, ours, one).value for one in others)


def test_the_order_beside_the_study_is_that_on_images_which_all_have(run):
    results = collect(run)
    verdicts = verdicts_of(run, results)
    looks, images = verdicts["fashion"].looks, verdicts["fashion"].images
    assert len(set(images.values())) > 1
    shared = looks[max(look for look, at in looks.items() if at.keys() >= images.keys())]
    order = sorted(images, key=lambda title: shared[title]["fid"].value)
    texts = [one.text for one in study_beside_ours(results, verdicts) if isinstance(one, Text)]
    assert any(text.startswith("By FID the order on fashion") and " < ".join(order) in text for text in texts)


def test_the_picture_has_the_bounds_that_decide(run):
    (verdict,) = verdicts_of(run, collect(run)).values()
    race = races_of(run, collect(run).config)["fashion"]
    checked = 0
    for title, standing_ in verdict.standings.items():
        leader = verdict.leaders[standing_.metric]
        if standing_.rival == leader and standing_.state in ("chosen", "good"):
            shown_ = verdict.looks[standing_.on][title][standing_.metric]
            assert shown_.high >= standing_.worse_by[2] - 1e-9  # an earlier look may have shown more
            assert shown_.value == pytest.approx(standing_.worse_by[0])
            checked += 1
    assert checked
    assert set(verdict.looks) == set(race.comparisons)


@pytest.mark.parametrize("images", ["x", None, [256]])
def test_a_damaged_file_of_the_race_is_as_none(run, images):
    write_standings(run, races_of(run, collect(run).config), is_over=True)
    values = read_json(run.race)
    values["fashion"]["UNet rank 1"]["images"] = images
    write_json(run.race, values)
    assert read_standings(run) == {}
