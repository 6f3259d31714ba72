"""Every command that a page shows is run here on tiny settings; of one that is not, the page says why."""

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fashion_sweep.cli.app import main
from fashion_sweep.cluster.worker import TrainFn, Worker
from fashion_sweep.config.loading import load_preset, load_run_config
from fashion_sweep.config.preset import Preset
from fashion_sweep.config.settable import settable, settable_name
from fashion_sweep.models.loaded import forget_models
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.garment.recipe import check_settings
from tests.conftest import noise_image, write_fashion, write_folder
from tests.docs.pages import COMMAND, LANGUAGES, ROOT, blocks, inline_code, options, own_calls, pages, parsed

DRAWING = ["generation.num_inference_steps=2", "generation.refine_fraction=0"]
RENDERED = ["data.fashion.rendered_images=200", "data.general.rendered_images=200"]
TRAINING = ["training.steps=2", "training.validation_every=2", "training.checkpoint_every=2", "training.views=1"]
SWEEP = [*RENDERED, *TRAINING, *DRAWING, "evaluation.samples=160", "sweep.sample_prompts=[]"]
GARMENT = ["garment.training.steps=2", "garment.training.views=2", "garment.seeds=1", *DRAWING]
GARMENT += ['garment.prompts=["a woman wearing an [v] {kind} with [u] {attribute}."]']
SMALLER = {
    ("run", "exp2"): [*SWEEP, "sweep.trials=[{unet: 1}, {unet: 4}]"],
    ("run",): SWEEP,
    ("garment", "train"): GARMENT,
    ("data", "check"): RENDERED,
}
FEWER = {("garment", "generate"): ["--seeds", "2"]}
OF_OTHERS = {"--no-restart"}
"""Options of tools that are not ours."""
SECTION = re.compile(rf"({'|'.join(Preset.model_fields)})\.[\w.]+")


@dataclass
class Session:
    """One folder that all commands are run in, so that later ones find what earlier ones have made."""

    folder: Path
    tried: set[tuple[str, ...]] = field(default_factory=set)

    def run(self, call: list[str], environment: dict[str, str]) -> None:
        """But once: pages may repeat a command."""
        key = (*environment.items(), *call)
        if key in self.tried:
            return
        self.tried.add(key)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            work_here(patch)
            patch.setattr(sys, "argv", ["fashion-sweep", *made_small(call)])
            with pytest.raises(SystemExit) as ended:
                main()
        assert not ended.value.code, call


def work_here(patch: pytest.MonkeyPatch) -> None:
    """Shards and trials are done in this process: what takes long is the start of Ray's. `tests/cli` has one there."""

    def run_trials(lanes: Any, names: Sequence[str], train: TrainFn) -> dict[str, None]:
        return {name: train(lanes.run, name, Worker(0, 1, "cpu", lambda: None, lambda _: None)) for name in names}

    def map_shards(function: Any, shards: Sequence[Any], *_: object) -> list[Any]:
        made = [function(shard, lambda: None) for shard in shards]
        forget_models()
        return made

    patch.setattr("fashion_sweep.cluster.shards.map_shards", map_shards)

    def lanes(run: RunPaths, *_: object) -> AbstractContextManager[Any]:
        return nullcontext(SimpleNamespace(run=run, start=lambda pieces: None, lost=None))

    patch.setattr("fashion_sweep.cluster.lanes.lanes", lanes)
    patch.setattr("fashion_sweep.cluster.session.ray_session", lambda *_: nullcontext("without Ray"))
    patch.setattr("fashion_sweep.cluster.tune.run_trials", run_trials)


def made_small(call: list[str]) -> list[str]:
    """With tiny settings before its own, which win."""
    names = tuple(call[:2])
    settings = SMALLER.get(names, SMALLER.get(names[:1], []))
    more = [word for setting in settings for word in ("--set", setting)] + FEWER.get(names, [])
    place = 2 if names in SMALLER.keys() | FEWER.keys() else 1
    return [*call[:place], *more, *call[place:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: photographs, data sets, a garment's photo, the pages' own YAML files."""
    made = tmp_path_factory.mktemp("session")
    sizes = {f"MEN-{i:03d}.jpg": (60, 90) for i in range(180)}
    write_folder(made / "my-photographs", sizes)
    write_fashion(made / "data" / "deepfashion-multimodal", sizes)
    coco = made / "data" / "coco2014"
    (coco / "train2014").mkdir(parents=True)
    (coco / "annotations").mkdir()
    names = {i: f"COCO_train2014_{i:012d}.jpg" for i in range(3)}
    for i, name in names.items():
        noise_image(90, 60, i).save(coco / "train2014" / name)
    images = [{"id": i, "file_name": name, "width": 90, "height": 60} for i, name in names.items()]
    captions = [{"id": i, "image_id": i, "caption": "A cat in a sink."} for i in names]
    told = json.dumps({"images": images, "annotations": captions})
    (coco / "annotations" / "captions_train2014.json").write_text(told)
    noise_image(60, 90).save(made / "photo.jpg")
    for block in (block for page in pages() for block in blocks(page, "yaml")):
        (made / block.body.splitlines()[0].removeprefix("# ")).write_text(block.body)
    return made


@pytest.fixture(scope="module")
def shared(folder: Path, put_world: Callable[[Path, int], None]) -> Session:
    put_world(folder / "runs", 200)
    return Session(folder)


@pytest.fixture
def session(shared: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.chdir(shared.folder)
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(shared.folder / "runs"))
    return shared


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_commands_of_a_page_work_as_they_stand(page, session):
    for earlier in pages()[: pages().index(page) + 1]:
        for block in (block for block in blocks(earlier, "sh") if not block.reason):
            for words in block.commands:
                if words[0] != "export":
                    assert words[:3] == COMMAND, f"{earlier.name}: {words}: say why it is not run, or what it is"
                    session.run(words[3:], block.environment)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_commands_that_are_not_run_could_be(page, session, monkeypatch):
    for block in (block for block in blocks(page, "sh") if block.reason):
        for test in re.findall(r"tests/[\w/.]+", block.reason):
            assert (ROOT / test).is_file(), f"{page.name}: {block.reason}"
        for name, value in block.environment.items():
            monkeypatch.setenv(name, value)
        for words in block.commands:
            assert_exists(words)
            for call in own_calls(words):
                assert_understood(call)


def assert_exists(words: list[str]) -> None:
    """What of this repository a command starts."""
    match words:
        case ["make", *targets]:
            assert all(f"\n{target}:" in (ROOT / "Makefile").read_text() for target in targets)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), module
        case [("python" | "sh"), path, *_]:
            assert (ROOT / path).is_file(), path
        case [".ci/run"]:
            assert (ROOT / ".ci/run").is_file()


def assert_understood(call: list[str]) -> None:
    """Its options, and the keys and values that it sets."""
    name, values = parsed(call)
    settings, preset, sweep = (values.get(key) for key in ("settings", "preset", "sweep"))
    if name.startswith("garment"):
        check_settings(settings or ())
    if sweep and sweep != "garment":
        load_run_config(sweep, preset, settings or ())
    elif settings:
        load_preset(preset, settings)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_options_and_keys_that_a_page_names_exist(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES
    known, keys = options() | OF_OTHERS, set(settable())
    for code in inline_code(page):
        if code.startswith("--"):
            assert code.split()[0].split("=")[0] in known, code
        if code.startswith("--set ") and "…" not in code and not code.startswith("--set key="):
            load_run_config("exp2", None, [code.removeprefix("--set ")])
        if SECTION.fullmatch(code):
            assert settable_name(code) in keys, code
