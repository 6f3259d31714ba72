"""What strangers hand in: files, names, addresses. It is read as data, stays in its folder, and runs nothing."""

import ast
import csv
import io
import json
import os
import shutil
import struct
import sys
import zlib

import pytest

from fashion_sweep.cli import app as cli
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.images import UNDECODABLE, read_header
from fashion_sweep.data.index import Index, open_index
from fashion_sweep.data.layouts import deepfashion
from fashion_sweep.data.listing import Problem, problems_csv
from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.report.console import Terminal
from fashion_sweep.report.page import write_report
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.run.specs import suggestions
from tests.conftest import write_fashion
from tests.report.synthetic_run import finished_run, set_status
from tests.test_layers import PACKAGE, imported_by, modules

ESCAPE = "\x1b]0;mine\x07\x1b[31m[red]x[/]"
PRETRAINING = PACKAGE / "tiny" / "making" / "fit.py"
"""Reads its own optimizer's state, with `weights_only`."""
ANCHORS = "".join(f"{a}: &{a} [{', '.join([f'*{b}'] * 9)}]\n" for a, b in zip("bcdefghi", "abcdefgh", strict=True))


def refused(*words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", ["fashion-sweep", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_package_neither_unpickles_nor_evaluates(path):
    assert not imported_by(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        name, options = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name not in {"eval", "exec", "compile", "__import__", "os.system", "yaml.unsafe_load", "yaml.full_load"}
        assert name != "yaml.load" or options["Loader"] == "_Loader"
        assert name != "torch.load" or (path == PRETRAINING and options["weights_only"] == "True")
        assert not name.endswith("load_state_dict_from_url") or options["weights_only"] == "True"
        assert name != "np.load" or options.get("allow_pickle", "False") == "False"
        assert options.get("shell", "False") == options.get("trust_remote_code", "False") == "False"
        assert not name.endswith(".load_lora_weights") or options["use_safetensors"] == "True"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question: !!python/object/apply:os.mkdir [MARK]", "could not determine a constructor"),
        (f"a: &a [x]\n{ANCHORS}question: *i", "aliases are not read"),
        ("question: &a [*a]", "aliases are not read"),
        ("question: " + "[" * 3000, "not valid YAML"),
        ("question: x\ntrials: [{unet: " + "9" * 5000 + "}]", "not valid YAML"),
        ("question: 2026-99-99", "not valid YAML"),
        ("question: a\nquestion: b", "'question' is given twice"),
        ('question: "\\e[31m"', "holds the control character '\\x1b'"),
        ('question: "a\\u202eb"', "holds the control character '\\u202e'"),
        ('question: "\\ud800"', "\\ud800"),
        ("question: " + "x" * 2**20, "which no configuration needs"),
        ("name: ../../evil\nquestion: x\ntrials: [{unet: 1}]", "name: string should match pattern"),
        ("question: x\ntrials: [{../../x: 1}]", "is no part of this model"),
        ("question: x\ntrials: [{unet: 1, target_modules: [../x]}]", "string should match pattern"),
    ],
)
def test_a_sweep_file_is_data_and_no_more_than_a_sweep_needs(text, said, tmp_path, capsys, monkeypatch):
    path = tmp_path / "sweep.yaml"
    path.write_text(text.replace("MARK", str(tmp_path / "ran")))
    assert said.lower() in refused("plan", str(path), capsys=capsys, monkeypatch=monkeypatch).lower()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "setting",
    [
        "data.fashion.root=s3://AKIA:sec/ret@bucket/x",
        "data.fashion.root=https://host/x?X-Amz-Signature=sec/ret",
        "model.base=https://me:sec/ret@host/x",
        "model.base=https://sec%2fret@host/x",
        "sweep.question=see ftp://me:sec/ret@host",
        "data.fashion.root=https://host/x?api_key=sec/ret",
        "data.fashion.root=s3://bucket/x?access_key=a&pwd=sec/ret",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(setting, capsys, monkeypatch):
    said = refused("run", "exp2", "--set", setting, capsys=capsys, monkeypatch=monkeypatch)
    assert "credentials belong in the environment" in said
    assert "sec/ret" not in said


@pytest.mark.parametrize("root", ["s3://bucket/a:b@c", "memory://host:80/x", "sftp://me@host/x", "abfs://box@me.net/x"])
def test_addresses_without_a_password_are_taken(root):
    assert load_run_config("exp2", settings=[f"data.fashion.root={root}"]).preset.data["fashion"].root == root


def test_the_runs_folder_is_no_address_with_a_password(monkeypatch):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", "s3://key:secret@bucket")
    with pytest.raises(ConfigError) as raised:
        runs_root()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "setting",
    [
        "evaluation.clip_model=hf-hub:stranger/clip",  # its config may ask for trust_remote_code
        "evaluation.clip_model=random:local-dir:/tmp",
        "evaluation.clip_model=embedded:../base",
        "evaluation.clip_pretrained=weights.pt",
        "model.base=embedded:../..",
        "model.base=embedded:/etc",
        "model.base=random:../../x",
    ],
)
def test_models_come_from_where_nothing_of_theirs_is_run(setting, capsys, monkeypatch):
    assert setting.partition("=")[0] in refused("run", "exp2", "--set", setting, capsys=capsys, monkeypatch=monkeypatch)


def png(width: int, height: int, *more: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * min((3 * width + 1) * height, 10**6))
    parts = [(b"IHDR", size), *more, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    "content",
    [
        png(60_000, 60_000),
        png(1, 60_000),
        png(60, 90, (b"zTXt", b"k\0\0" + zlib.compress(b"a" * 10**8))),
        png(60, 90, (b"iCCP", b"k\0\0" + zlib.compress(b"a" * 10**8))),
        png(60, 90)[:60],
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 90\n%%EndComments\n(ran) (w) file\n",
        b"8BPS\0\1" + b"\0" * 100,
        b"",
    ],
    ids=["bomb", "thin", "text", "profile", "cut", "svg", "eps", "psd", "empty"],
)
def test_an_image_that_would_do_more_than_show_something_is_left_out(content):
    with pytest.raises(UNDECODABLE):
        read_header(io.BytesIO(content))


def test_postscript_is_not_even_given_to_its_decoder(monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it was run"))
    with pytest.raises(UNDECODABLE):
        read_header(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 90\n%%EndComments\n"))


@pytest.fixture
def strange_data(tmp_path) -> Index:
    root = write_fashion(tmp_path / "data", {f"{i}.jpg": (60, 90) for i in range(3)})
    outside = tmp_path / "elsewhere.jpg"
    shutil.copy(root / "images" / "0.jpg", outside)
    images, captions = root / "images", json.loads((root / "captions.json").read_text())
    (images / "out.jpg").symlink_to(outside)
    (images / "in.jpg").symlink_to("0.jpg")
    (images / "round.jpg").symlink_to("round.jpg")
    (images / "endless.jpg").symlink_to("/dev/zero")
    os.mkfifo(images / "pipe.jpg")
    shutil.copy(outside, images / "\x1b[31m.jpg")
    names = ["out.jpg", "in.jpg", "round.jpg", "endless.jpg", "pipe.jpg", "\x1b[31m.jpg", "../../elsewhere.jpg"]
    captions |= dict.fromkeys([*names, str(outside), "nul\0.jpg", "=cmd()|x.jpg", "\ud800.jpg"], "A shirt.")
    (root / "captions.json").write_text(json.dumps(captions))
    return open_index(deepfashion.LAYOUT, str(root), tmp_path / "index.jsonl")


def test_names_in_the_data_reach_nothing_outside_its_folder_and_end_nothing(strange_data):
    assert [row.name for row in strange_data.rows if row.width] == ["0.jpg", "1.jpg", "2.jpg", "in.jpg"]
    reasons = {problem.file: problem.reason for problem in strange_data.problems}
    assert reasons.pop("out.jpg") == "link out of the data folder"
    assert reasons.pop("\\x1b[31m.jpg") == "control characters in its name"
    assert set(reasons.values()) == {"caption without image"}
    assert len(reasons) == 8


def test_a_list_of_problems_holds_no_formulas_and_can_be_written(strange_data):
    text = problems_csv({"fashion": (*strange_data.problems, Problem("-1+1", "@SUM(A1)"))})
    rows = list(csv.reader(io.StringIO(text)))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert "\x1b" not in text
    text.encode()


def test_text_reaches_the_terminal_as_it_reads():
    out = io.StringIO()
    Terminal(file=out, force_terminal=True, width=200).print(ESCAPE)
    assert out.getvalue() == "\\x1b]0;mine\\x07\\x1b[31m[red]x[/]\n"


def test_an_error_does_not_steer_the_terminal(capsys, monkeypatch):
    assert "\x1b" not in refused("report", "\x1b[31m", capsys=capsys, monkeypatch=monkeypatch)


def test_a_stranger_s_run_folder_is_shown_as_it_reads(tmp_path, capsys, monkeypatch):
    run = finished_run(tmp_path / "run")
    set_status(run, TrialSpec.of({"unet": 64}), "failed", error=ESCAPE)
    run.trial("unet-r64").result.unlink()
    run.facts.write_text(json.dumps({"started": ESCAPE, "versions": {ESCAPE: ESCAPE}}))
    run.mirror.write_text(json.dumps({"registered": ESCAPE}))
    monkeypatch.setattr(sys, "argv", ["fashion-sweep", "report", str(run.root)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "\x1b" not in capsys.readouterr().out
    assert "\x1b" not in run.report.read_text()


@pytest.mark.parametrize(
    "facts", [{"hardware": [1]}, {"versions": [1]}, {"data": [1]}, {"data": {"fashion": 1}}], ids=str
)
def test_a_stranger_s_record_of_another_shape_is_told(facts, tmp_path):
    run = finished_run(tmp_path / "run")
    run.facts.write_text(json.dumps(facts))
    with pytest.raises(DataError, match="is damaged"):
        write_report(run, {})


@pytest.mark.parametrize(
    "said",
    [
        {"number": 0, "architecture": "sdxl", "values": {"../../x": 1}, "parameters": 1},
        {"number": 0, "architecture": "sdxl", "values": {"unet": "../../x"}, "parameters": 1},
        {"number": 0, "architecture": "sdxl", "values": {"unet": 3}, "parameters": 1},
        {"number": 0, "architecture": "sdxl", "values": {"unet": 2, "target_modules": ["../x"]}, "parameters": 1},
        {},
        [1],
    ],
)
def test_a_suggestion_names_no_trial_but_that_of_its_folder(said, tmp_path):
    run = RunPaths(tmp_path)
    run.trial("unet-r2").root.mkdir(parents=True)
    run.trial("unet-r2").suggestion.write_text(json.dumps(said))
    with pytest.raises(DataError, match="is damaged"):
        suggestions(run)
