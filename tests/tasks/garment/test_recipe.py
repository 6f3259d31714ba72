"""The configuration of a run over garments."""

import pytest
from safetensors.numpy import save_file

from fashion_sweep.adapters.metadata import own_keys
from fashion_sweep.config.loading import load_preset, load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.rehearsal.scale import with_random_weights
from fashion_sweep.tasks.garment import recipe
from fashion_sweep.tasks.garment.recipe import garment_config, placement_like
from fashion_sweep.tasks.garment.rehearsing import GARMENT
from fashion_sweep.tasks.preflight import check_config
from fashion_sweep.tracking.fetching import Fetched


@pytest.mark.parametrize("preset", ["tiny", "sdxl"])
@pytest.mark.parametrize("settings", [(), ("garment.prior={images: 4}",)])
def test_the_recipe_of_each_preset_can_be_run(preset, settings):
    config = garment_config(with_random_weights(load_preset(preset, settings)), [GARMENT])
    check_config(config)
    assert config.preset.resources.workers_per_trial <= config.preset.training.batch_size


def test_learned_tokens_stand_for_the_garment_where_nothing_else_is_said():
    tokens = "{kind: prompt_tokens, num_tokens: 2}"
    settings = [f"garment.adapters={{unet: 4, text_encoders: {tokens}}}", "garment.token=zwx"]
    spec = garment_config(load_preset("tiny", settings), [GARMENT]).specs[0]
    assert [adapter.placement for adapter in spec.adapters] == ["unet", "text_encoders"]
    assert (spec.adapters[1].options.token, spec.prompt_prefix) == ("zwx", "")
    with pytest.raises(ConfigError, match=r"garment\.adapters: 'unt' is no part of this model; did you mean 'unet'"):
        garment_config(load_preset("tiny", ["garment.adapters={unt: 4}"]), [GARMENT])
    given = garment_config(load_preset("tiny", settings), [GARMENT], {"unet": 1}).specs[0]
    assert given.configuration.adapters == TrialSpec.of({"unet": 1}).adapters


def test_a_sweep_file_has_no_garments(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("question: x\ntrials: [{unet: 1}]\njudge: []\ngarments: [{name: a, photo: a.jpg, kind: shirt}]")
    with pytest.raises(ConfigError, match="garment train takes their photos"):
        load_run_config(str(path))


def test_an_adapter_like_another_adapts_the_same_layers_at_the_same_rank(tmp_path, monkeypatch):
    config = load_run_config("exp2", "tiny", ["sweep.trials=[{unet: 2, target_modules: [to_q]}]"])
    (spec,) = config.specs
    path = tmp_path / "adapter.safetensors"
    save_file({}, path, metadata=own_keys(config, spec, "mine"))
    monkeypatch.setattr(recipe, "fetch", lambda *given: Fetched("models:/x/1", path, {}, None))
    like = placement_like("models:/x@best")
    made = garment_config(load_preset("tiny"), [GARMENT], like).specs[0]
    assert made.configuration.adapters == TrialSpec.of({"unet": 2}).adapters
    assert dict(made.training) == dict(spec.training)
