"""Which attention runs, with an xformers of the tests' making."""

import importlib
import json
import logging
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.attention import choose_attention
from fashion_sweep.tasks.preflight import check_config

ASKED_FOR = ["model.attention=xformers"]


def good_kernel(query, key, value):
    return scaled_dot_product_attention(*(part.transpose(1, 2) for part in (query, key, value))).transpose(1, 2)


def no_kernel(query, key, value):
    raise NotImplementedError("No operator found for `memory_efficient_attention_forward`\n with inputs: …")


def forward_only(query, key, value):
    return good_kernel(query, key, value).detach()


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Installs an xformers that wants some torch, with an operator; an error in its place is raised at its import."""
    real_version, real_import = metadata.version, importlib.import_module

    def install(operator=None, torch_wanted="torch>=2.10", version="0.0.35", built_for=None):
        if built_for:
            (tmp_path / "cpp_lib.json").write_text(json.dumps({"version": {"torch": built_for}}))
        located = SimpleNamespace(locate_file=lambda name: tmp_path / name.rpartition("/")[2])
        real_distribution = metadata.distribution
        monkeypatch.setattr(
            metadata, "distribution", lambda name: located if name == "xformers" else real_distribution(name)
        )

        def import_module(name):
            if name != "xformers.ops":
                return real_import(name)
            if isinstance(operator, Exception):
                raise operator
            return SimpleNamespace(memory_efficient_attention=operator)

        def version_of(name):
            if name == "xformers" and version is None:
                raise metadata.PackageNotFoundError(name)
            return version if name == "xformers" else real_version(name)

        monkeypatch.setattr(metadata, "version", version_of)
        monkeypatch.setattr(metadata, "requires", lambda name: ["numpy", torch_wanted])
        monkeypatch.setattr(importlib, "import_module", import_module)

    return install


@pytest.mark.parametrize("wanted", ["auto", "xformers"])
def test_xformers_is_taken_where_its_operator_runs(installed, wanted):
    installed(good_kernel)
    assert choose_attention(wanted, "cpu") == "xformers"


def test_sdpa_is_taken_where_it_is_asked_for_whatever_is_installed(installed):
    installed(good_kernel)
    assert choose_attention("sdpa", "cpu") == "sdpa"


FAULTS = [
    ({"version": None}, "xformers is not installed"),
    ({"operator": good_kernel, "torch_wanted": "torch==2.10.0"}, "xformers 0.0.35 wants torch==2.10.0, and torch 2."),
    ({"operator": no_kernel}, "does not run on cpu (No operator found for `memory_efficient_attention_forward`)"),
    ({"operator": no_kernel, "built_for": "2.10.0+cu128"}, "it was built for torch 2.10.0+cu128, torch 2."),
    ({"operator": ImportError("_C.so: undefined symbol")}, "(_C.so: undefined symbol); it wants torch>=2.10, torch 2."),
    ({"operator": forward_only}, "does not run on cpu"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS)
def test_where_xformers_does_not_run_auto_takes_sdpa_and_the_log_says_why(installed, caplog, fault, said):
    installed(**fault)
    with caplog.at_level(logging.INFO):
        assert choose_attention("auto", "cpu") == "sdpa"
    assert caplog.messages[0].startswith("attention: sdpa, since xformers")
    assert said in caplog.text


@pytest.mark.parametrize(("fault", "said"), FAULTS)
def test_where_xformers_is_asked_for_and_does_not_run_the_error_is_one_line(installed, fault, said):
    installed(**fault)
    with pytest.raises(ConfigError) as raised:
        choose_attention("xformers", "cpu")
    assert str(raised.value).startswith("model.attention: xformers")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("fault", "said"), FAULTS[:2])
def test_what_the_packages_say_of_themselves_is_told_before_anything_starts(installed, fault, said):
    installed(**fault)
    with pytest.raises(ConfigError, match=said):
        check_config(load_run_config("exp2", "tiny", ASKED_FOR))


def test_the_probe_is_small_and_in_the_frozen_weights_precision(installed):
    seen = []
    installed(lambda *inputs: seen.append(inputs[0]) or good_kernel(*inputs))
    choose_attention("auto", "cpu")
    assert seen[0].dtype == torch.bfloat16
    assert seen[0].numel() < 1000
