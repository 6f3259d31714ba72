"""What strangers hand in as weights or adapters, and what is said of them: read as tensors and text, run by nothing."""

import ast
import json
import os
import pickle
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fashion_sweep.adapters.formats import CONFIG_KEY
from fashion_sweep.adapters.reading import misfit
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.handover.adapters import find_adapter
from fashion_sweep.handover.model_card import Card
from fashion_sweep.metrics.networks import Inception
from fashion_sweep.models.registry import load_model
from fashion_sweep.models.sdxl.architecture import SDXL
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.report.results import TrialResult
from fashion_sweep.tasks.catalogue.task import CATALOGUE
from fashion_sweep.tiny import WEIGHTS


class Marks:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def rebuilt(tmp_path: Path, index: Any = None, **parts: Any) -> SDXLConfig:
    """The embedded base model in a folder of its own, with other parts."""
    folder = tmp_path / "model"
    shutil.copytree(WEIGHTS / "base", folder)
    path = folder / "model_index.json"
    path.write_text(json.dumps(index or json.loads(path.read_text()) | parts))
    return SDXLConfig(base=str(folder), dtype="float32")


@pytest.mark.parametrize(
    "parts",
    [
        {"unet": ["mine", "Mine"]},
        {"scheduler": ["subprocess", "Popen"]},
        {"more": ["antigravity", "fly"]},
        {"text_encoder": ["transformers", "AutoModel"]},
        {"_class_name": ["pipeline", "Mine"]},
        {"unet": None},
        {"index": [1]},
    ],
    ids=str,
)
def test_a_model_folder_consists_of_the_parts_of_sdxl_alone(parts, tmp_path):
    with pytest.raises(ConfigError, match=r"no part of a Stable Diffusion XL|holds no parts"):
        load_model(rebuilt(tmp_path, **parts), "cpu")


@pytest.mark.parametrize("kept", ["*.bin", "*.safetensors"])
def test_a_pickle_is_not_read_whatever_it_is_called(kept, tmp_path):
    config, content = rebuilt(tmp_path), pickle.dumps(Marks(tmp_path / "ran"))
    unet = Path(config.base) / "unet"
    weights = next(unet.glob("*.safetensors"))
    (weights.with_suffix(".bin") if kept == "*.bin" else weights).write_bytes(content)
    if kept == "*.bin":
        weights.unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(config, "cpu")
    assert not (tmp_path / "ran").exists()


def test_the_published_inception_gives_tensors_and_runs_nothing(tmp_path, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / Path(URL_INCEPTION_V3).name
    torch.save({"fc.bias": Marks(tmp_path / "ran")}, file)
    with pytest.raises(pickle.UnpicklingError):
        Inception(torch.device("cpu"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"unet.target_modules": "((.*)*)*!"}, "no list of names"),
        ({"unet.r": 10**9}, "no rank"),
        ({"unet.r": "1"}, "no rank"),
        ({"unet.rank_pattern": {"x": 10**9}}, "no rank"),
        ({"unet.rank_pattern": {"(.*.*)*!": 2}}, "a pattern in place of names"),
        ({"unet.alpha_pattern": {"x": "2"}}, "no number"),
        ({"unet.lora_alpha": "1"}, "no number"),
        ({"unet.modules_to_save": ["conv_in"]}, "asks for unet.modules_to_save"),
        ({"unet.use_dora": True}, "asks for unet.use_dora"),
        ({"unet.bias": "all"}, "asks for unet.bias"),
        ("[", "no JSON object"),
        (None, "not finite"),
    ],
    ids=str,
)
def test_a_stranger_s_adapter_asks_for_nothing_but_its_ranks(said, reason, model, tmp_path):
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    width = model.pipeline.unet.get_submodule(layer.removeprefix("unet.")).weight.shape[1]
    metadata = {} if said is None else {CONFIG_KEY: said if isinstance(said, str) else json.dumps(said)}
    values = {f"{layer}.lora_A.weight": np.full((1, width), np.nan, "f4")}
    save_file(values, tmp_path / "theirs.safetensors", metadata)
    assert reason in (misfit(tmp_path / "theirs.safetensors", SDXL, model.components) or "")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"{}x", pickle.dumps([1])],
    ids=["empty", "negative", "huge", "loose-end", "pickle"],
)
def test_what_is_no_safetensors_file_is_no_adapter(content, tmp_path):
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no whole safetensors file"):
        find_adapter(str(path), tmp_path)


def test_a_model_card_is_one_whatever_its_names_say():
    hostile = 'x")\nimport os\n```\n---\n`a` <script>'
    config, spec = load_run_config("exp2"), TrialSpec.of({"unet": 1})
    verdicts = {"fashion": {"sentence": hostile, "basis": hostile, "best": hostile}}
    trial = TrialResult(spec, "done", adapter_from=hostile)
    told = CATALOGUE.card(config, trial, verdicts)
    text = Card(hostile, config, trial, told, "diffusers", "a.safetensors", hostile, [hostile], (1, 1)).text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^import (\w+)", code, re.MULTILINE)) == {"torch"}
    ast.parse(code)
    assert text.count("\n---\n") == 1
    assert re.search(r"(?<!\\)<script", re.sub("`[^`]*`", "", text.partition("## Use")[0].split("---")[-1])) is None
