import base64
import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.judging.standing import RaceStanding
from fashion_sweep.report import page
from fashion_sweep.report.configurations import configurations
from fashion_sweep.report.page import write_report
from fashion_sweep.report.results import Results, collect
from fashion_sweep.report.verdict import Interval, SharedLook, Verdict
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.statistics.bounds import Margins
from fashion_sweep.storage.files import write_text
from tests.report.synthetic_run import finish_trial, finished_run, judgement, make_run, set_status

HOSTILE = "<script>alert(1)</script><img src=http://example.org/x onerror=alert(2)>![x](http://example.org/y)"
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background"}


class Elements(HTMLParser):
    """Every element with its attributes, and the headings' text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "h2" and data.strip():
            self.headings.append(data)


def apart(titles):
    """The variance of each difference of two."""
    return [[0.08 * (one != other) for other in titles] for one in titles]


def concluded(run: RunPaths, results: Results) -> dict[str, Verdict]:
    titles = [trial.spec.configuration.title for trial in results.trials if trial.state == "done"]
    values = {"fid": Interval(15.5, 15.1, 15.9), "clip_score": Interval(22.0, 21.5, 22.5)}
    first = titles[0]
    one = Verdict(
        evaluation_set="fashion",
        margins=Margins({"fid": 0.5, "clip_score": 0.3}),
        images=dict.fromkeys(titles, 256),
        images_drawn=256 * len(titles),
        images_in_all=256 * len(titles),
        leaders=dict.fromkeys(values, first),
        looks={},
        shared=SharedLook(256, dict.fromkeys(titles, values), dict.fromkeys(values, apart(titles))),
        standings={title: RaceStanding(256, "chosen" if title == first else "open", "why not") for title in titles},
        end="decided",
        captions=1042,
        images_needed=None,
        seeds=1,
        estimates=dict.fromkeys(titles, values),
        front=(first,),
        possible=tuple(titles),
        chosen=first,
        best=first,
        best_trial="unet-r1",
        headline="Take the first.",
        sentence="The first is the smallest.",
        basis="256 images each.",
    )
    return {"fashion": one}


def test_page_loads_nothing_from_elsewhere_and_holds_every_picture(tmp_path):
    run = finished_run(tmp_path / "run")
    write_report(run, {})
    elements = Elements(run.page.read_text()).found
    loaded = [value or "" for _, attributes in elements for key, value in attributes.items() if key in LOADING]
    assert len(loaded) == 4
    for uri in loaded:
        kind, _, content = uri.partition(";base64,")
        assert kind in {"data:image/svg+xml", "data:image/png"}
        assert len(base64.b64decode(content, validate=True)) > 1000
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in elements}
    assert "@import" not in run.page.read_text()


def test_nothing_that_a_question_a_prompt_or_an_error_says_becomes_markup(tmp_path):
    run = make_run(tmp_path / "run")
    said = run.config.read_text().replace("Which rank does an adapter of the denoiser alone need?", f"'{HOSTILE}'")
    assert HOSTILE in said
    write_text(run.config, said)
    finish_trial(run, TrialSpec.of({"unet": 1}), 9216, {"fashion": judgement(16.9, features=HOSTILE)})
    set_status(run, TrialSpec.of({"unet": 2}), "failed", error=HOSTILE)
    write_report(run, {})
    elements = Elements(run.page.read_text()).found
    assert "script" not in {tag for tag, _ in elements}
    assert not any(key.startswith("on") for _, attributes in elements for key in attributes)
    assert all((attributes["src"] or "").startswith("data:") for tag, attributes in elements if tag == "img")
    markdown = run.report.read_text()
    assert not re.search(r"(?<!\\)<(script|img)", markdown)
    assert not re.search(r"!\[x\]", markdown)


def test_sections_come_in_the_order_of_a_reader_s_questions_in_both_renderings(tmp_path):
    run = finished_run(tmp_path / "run")
    set_status(run, TrialSpec.of({"unet": 64}), "failed", error="out of memory")
    run.trial("unet-r64").result.unlink()
    write_report(run, {"total": 100.0})
    order = [
        "Verdict",
        "Numbers",
        "Quality against size",
        "Samples",
        "Losses",
        "What was run on what",
        "The study's table beside ours",
        "Where the time went",
        "Trials that did not finish",
    ]
    assert Elements(run.page.read_text()).headings == order
    assert re.findall(r"^## (.*)$", run.report.read_text(), re.MULTILINE) == order
    assert "out of memory" in run.page.read_text()


def test_a_conclusion_brings_its_headline_sentence_intervals_and_front(tmp_path, monkeypatch):
    run = finished_run(tmp_path / "run")
    write_report(run, {})
    assert "Pareto front" not in run.page.read_text()
    monkeypatch.setattr(page, "verdicts_of", concluded)
    write_report(run, {})
    text = run.page.read_text()
    assert '<p class="strong">Take the first.</p>' in text
    assert '<p class="small">The first is the smallest. 256 images each.</p>' in text
    assert "15.10 to 15.90" in text
    assert "UNet rank 1 (chosen)" in text
    assert re.findall(r"<td>(yes|perhaps|no)</td>", text) == ["yes", *["perhaps"] * 4]


def rows_of(run: RunPaths) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(run.table.read_text())))


def test_csv_has_a_row_a_trial_with_what_is_known_and_empty_gaps(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "verdicts_of", concluded)
    trials = "[{}, {unet: 1, learning_rate: 0.01}, {unet: 2}]"
    run = make_run(tmp_path / "run", settings=[f"sweep.trials={trials}", "training.learning_rate=0.002"])
    finish_trial(run, TrialSpec.of({}), 0, {"fashion": judgement(19.0, None)})
    finish_trial(run, TrialSpec.of({"unet": 1, "learning_rate": 0.01}), 9216, {"fashion": judgement(16.9, 21.25)})
    write_report(run, {})
    base, adapted, waiting = rows_of(run)
    assert (base["unet_rank"], base["learning_rate"], base["fashion.clip_score"]) == ("0", "", "")
    assert (adapted["unet_rank"], adapted["learning_rate"], adapted["parameters"]) == ("1", "0.01", "9216")
    assert (adapted["fashion.fid"], adapted["fashion.fid_corrected"], adapted["fashion.fid_high"]) == (
        "16.9",
        "15.5",
        "15.9",
    )
    assert (waiting["state"], waiting["learning_rate"], waiting["fashion.fid"]) == ("unfinished", "0.002", "")


def test_csv_has_a_value_and_its_bounds_in_one_unit(tmp_path, monkeypatch):
    def in_tables(run, results):
        made = concluded(run, results)["fashion"]
        estimates = {title: {**one, "kid": Interval(200.0, 150.0, 250.0)} for title, one in made.estimates.items()}
        variances = {**made.shared.variances, "kid": made.shared.variances["fid"]}
        return {"fashion": replace(made, estimates=estimates, shared=SharedLook(256, estimates, variances))}

    monkeypatch.setattr(page, "verdicts_of", in_tables)
    run = make_run(tmp_path / "run", settings=["sweep.judge={fashion: [fid, kid, clip_score]}"])
    for rank in (1, 2):
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, {"fashion": judgement(16.9)})
    write_report(run, {})
    row = rows_of(run)[0]
    kid = float(row["fashion.kid"])
    assert (float(row["fashion.kid_low"]), float(row["fashion.kid_high"])) == (0.15, 0.25)
    assert kid < 1


def test_replicates_of_a_configuration_are_one_point(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.trials=[{unet: 1}]", "sweep.seeds=2"])
    for replicate, fid in enumerate((16.0, 17.0)):
        finish_trial(run, TrialSpec.of({"unet": 1}, replicate=replicate), 9216, {"fashion": judgement(fid)})
    (point,) = configurations(collect(run), "fashion", None)
    assert (point.title, point.metrics["fid"]) == ("UNet rank 1", Interval(16.5, 16.5, 16.5))


def test_without_a_conclusion_nothing_claims_a_front(tmp_path):
    shown = configurations(collect(finished_run(tmp_path / "run")), "fashion", None)
    assert [point.on_front for point in shown] == [None] * 5
