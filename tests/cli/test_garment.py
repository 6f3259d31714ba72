"""Likely mistakes at `garment …`: one line, exit code 2, and nothing left behind."""

import sys

import pytest
from PIL import Image

from fashion_sweep.cli import app as cli

MISTAKES = [
    (["train", "PHOTO"], "--kind: say what the garment is"),
    (["train", "nowhere.jpg", "--kind", "sweater"], "nowhere.jpg: there is no such file"),
    (["train", "embedded:0"], "say how many garments of the embedded world"),
    (["train", "PHOTO", "--kind", "sweater", "--name", "../x"], "garment name: '../x'"),
    (["train", "PHOTO", "PHOTO", "--kind", "sweater"], "two garments are called 'photo'"),
    (["train", "PHOTO", "--kind", "sweater", "--set", "garment.token=shirt"], "shirt"),
    (["train", "PHOTO", "--kind", "sweater", "--set", "garment.token=ukj"], "stands for the garment already"),
    (["train", "PHOTO", "--kind", "sweater", "--set", "garment=null"], "has no garment section"),
    (
        ["train", "PHOTO", "--kind", "sweater", "--set", "garment.prior={image: 3}"],
        "mean 'garment.prior.images'?",
    ),
    (
        ["train", "PHOTO", "--kind", "sweater", "--set", 'garment.prompts=["a {colour} top"]'],
        "{colour} is unknown; known: [v]",
    ),
    (["train", "PHOTO", "--kind", "sweater", "--name", "my top"], "without spaces"),
    (["train", "PHOTO", "--kind", "sweater", "--preset", "tny"], "did you mean 'tiny'?"),
    (["train", "PHOTO", "--kind", "sweater", "--set", "training.steps=7"], "garments have garment.training.steps"),
    (["train", "PHOTO", "--kind", "sweater", "--set", "data.fashion.root=/x"], "the photos are named in the command"),
    (["train", "PHOTO", "--kind", "sweater", "--name", "base-model"], "trial 'base-model' is listed twice"),
    (["train", "https://me:secret@shop/a.png", "--kind", "sweater"], "credentials belong in the environment"),
    (["generate", "blue"], "blue"),
    (["generate", "blue", "--seeds", "0"], "greater than or equal to 1"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[" ".join(words[:3]) for words, _ in MISTAKES])
def test_a_mistake_is_one_line(words, said, tmp_path, monkeypatch, capsys):
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (60, 80), "blue").save(photo)
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(sys, "argv", ["fashion-sweep", "garment", *(str(photo) if w == "PHOTO" else w for w in words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not [path for path in tmp_path.glob("runs/*") if (path / "config.yaml").exists()]


@pytest.mark.parametrize("stem", ["a b" * 30, "é" * 59], ids=["long", "accents"])
@pytest.mark.parametrize("photos", [1, 2])
def test_a_photo_may_be_called_as_long_as_a_file_may(stem, photos, tmp_path, monkeypatch):
    """Its garment and its run are called so too, by a name of their own."""
    begun = []
    monkeypatch.setattr("fashion_sweep.cli.runs.carry_out", lambda config, paths: begun.append((config, paths)))
    names = [tmp_path / f"{stem}{number}.png" for number in range(2)]
    for path in names:
        Image.new("RGB", (60, 80), "blue").save(path)
    for first in (names, names[::-1]):
        words = ["train", *map(str, first[:photos]), "--kind", "sweater"]
        monkeypatch.setattr(sys, "argv", ["fashion-sweep", "garment", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
    runs = {paths.name for _, paths in begun}
    assert len(runs) == 2
    assert all(len(name.encode()) <= 100 and name.endswith("-tiny") for name in runs)
    garments = {one.name for config, _ in begun for one in config.sweep.garments}
    assert len(garments) == 2
    assert max(map(len, garments)) <= 60


def test_a_run_that_cannot_be_called_so_is_put_down_to_its_option(tmp_path, monkeypatch, capsys):
    Image.new("RGB", (60, 80), "blue").save(tmp_path / "photo.png")
    words = ["train", str(tmp_path / "photo.png"), "--kind", "sweater", "--run", "a/b"]
    monkeypatch.setattr(sys, "argv", ["fashion-sweep", "garment", *words])
    with pytest.raises(SystemExit):
        cli.main()
    assert "--run 'a/b': becomes a folder's name" in capsys.readouterr().err
