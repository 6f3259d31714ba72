"""Prompt tokens: where they stand in captions, how they are learnt, and that diffusers draws with them what we draw."""

import json
import re

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.adapters.formats import (
    CONFIG_KEY,
    WORDS_FILE,
    count_saved,
    formats_of,
    read_adapter,
    read_metadata,
    write_diffusers,
    write_words,
)
from fashion_sweep.adapters.fusing import adapted
from fashion_sweep.adapters.learned_tokens import Words, readable
from fashion_sweep.adapters.metadata import tokens_key
from fashion_sweep.adapters.reading import misfit
from fashion_sweep.adapters.words import begun_with
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.handover.adapters import find_adapter
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.handover.generate import generate
from fashion_sweep.handover.requests import DrawingRequest
from fashion_sweep.models.model import GenerationRequest
from fashion_sweep.models.sdxl.architecture import SDXL
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.models.sdxl.sources import SOURCES
from fashion_sweep.storage.files import read_json
from tests.tasks.prepared import finished_run

TOKENS = {"kind": "prompt_tokens", "num_tokens": 3}
ALONE = {"text_encoders": TOKENS}
BESIDE = {"unet": 2, "text_encoders": 1, "text_encoders.token_embedding": TOKENS}


def fresh(config):
    return SDXLModel.load(config.preset.model.model_copy(update={"refiner": None}), "cpu")


def attach(model, config, values, seed=0):
    return attaching.attach(model.components, TrialSpec.of(values), config.preset.training, seed, model.token_row)


def request(prompt):
    noise = torch.randn(1, 8, 16, 12, generator=torch.Generator().manual_seed(3))
    return GenerationRequest([prompt], noise, original_size=(160, 109))


def picture(model, config, prompt):
    quick = {"num_inference_steps": 3, "refine_fraction": 0.0}
    return model.sample(request(prompt), config.preset.generation.model_copy(update=quick)).int()


@pytest.fixture(scope="module")
def saved(config, tmp_path_factory):
    """The file of tokens beside a LoRA of all components, far from where they start, and what was drawn with it."""
    model, draw = fresh(config), torch.Generator().manual_seed(0)
    for parameter in attach(model, config, BESIDE).values():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    path = tmp_path_factory.mktemp("tokens") / "pytorch_lora_weights.safetensors"
    attaching.save(path, model.components, TrialSpec.of(BESIDE))
    return path, picture(model, config, "<fashion> a red dress")


WORDS = Words("<w>", (5, 6), end=99, padding=0, prepended=True)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([98, 5, 6, 7, 99, 0, 0, 0], [98, 100, 101, 102, 7, 99, 0, 0]),
        ([98, 7, 5, 6, 5, 6, 99, 0], [98, 7, 100, 101, 102, 100, 101, 99]),
        ([98, 5, 7, 6, 99, 0, 0, 0], [98, 5, 7, 6, 99, 0, 0, 0]),
        ([98, 5, 6, 1, 2, 3, 4, 99], [98, 100, 101, 102, 1, 2, 3, 99]),
        ([98, 99, 0, 0, 0, 0, 0, 0], [98, 99, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_the_word_becomes_the_learned_tokens_wherever_it_stands(row, expected):
    assert WORDS.replaced(torch.tensor([row]), 100, 3).tolist() == [expected]


def test_fewer_tokens_than_the_word_has_leave_room_to_pad():
    assert WORDS.replaced(torch.tensor([[98, 5, 6, 7, 99]]), 100, 1).tolist() == [[98, 100, 7, 99, 0]]


def test_they_are_counted_before_they_are_made_and_captions_without_the_word_stay_as_they_were(config):
    model = fresh(config)
    before = model.encode_text(["a red dress"])
    parameters = attach(model, config, ALONE)
    assert sum(one.numel() for one in parameters.values()) == count_parameters(
        config.preset.model.base, TrialSpec.of(ALONE)
    )
    again, tuned = model.encode_text(["a red dress"]), model.encode_text(["<fashion> a red dress"])
    assert all(torch.equal(before[name], again[name]) for name in before)
    assert not torch.allclose(before["prompt_embeds"], tuned["prompt_embeds"], atol=1e-3)


def test_they_start_as_the_words_that_are_given(config):
    model = fresh(config)
    attach(model, config, {"text_encoder": TOKENS | {"initial_words": "shirt"}})
    ids = model.token_row("text_encoder", "shirt")
    shirt = model.pipeline.text_encoder.get_input_embeddings().weight[ids[1]]
    vectors = model.pipeline.text_encoder.get_input_embeddings().vectors
    assert torch.equal(vectors, shirt.expand(3, -1))


def test_taken_off_the_text_encoders_read_the_word_as_before(config):
    model = fresh(config)
    before = model.encode_text(["<fashion> a red dress"])
    attach(model, config, BESIDE)
    attaching.detach(model.components, TrialSpec.of(BESIDE))
    again = model.encode_text(["<fashion> a red dress"])
    assert all(torch.equal(before[name], again[name]) for name in before)


def test_their_own_learning_rate_is_theirs_alone(config):
    values = {"unet": 1, "text_encoders": TOKENS | {"learning_rate": 0.02}}
    rates = attach(fresh(config), config, values).rates
    own = {rate for name, rate in rates.items() if name.endswith(".vectors")}
    assert own == {0.02 / config.preset.training.learning_rate}
    assert {rate for name, rate in rates.items() if name.startswith("unet")} == {1.0}


def test_gradients_reach_them_and_nothing_of_the_vocabulary(config):
    model = fresh(config)
    parameters = attach(model, config, ALONE)
    tokens = model.tokenize(["<fashion> a red dress"])
    model._encode(tokens)["prompt_embeds"].square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in parameters.values())
    assert model.pipeline.text_encoder.get_input_embeddings().base.weight.grad is None


def test_the_file_draws_what_was_drawn_with_them_attached(config, saved):
    path, expected = saved
    assert count_saved(path) == count_parameters(config.preset.model.base, TrialSpec.of(BESIDE))
    model = fresh(config)
    plain = picture(model, config, "<fashion> a red dress")
    with adapted(path, SDXL, model.components):
        assert int((picture(model, config, "<fashion> a red dress") - expected).abs().max()) <= 1
    assert torch.equal(picture(model, config, "<fashion> a red dress"), plain)
    assert int((plain - expected).abs().max()) > 10


def test_a_plain_diffusers_pipeline_draws_the_same_with_the_two_exported_files(config, saved, tmp_path):
    path, expected = saved
    adapter = read_adapter(path)
    write_diffusers(tmp_path / "lora.safetensors", adapter.of_weights, SDXL, {})
    write_words(tmp_path / WORDS_FILE, adapter.of_words, SDXL, {})
    words = load_file(tmp_path / WORDS_FILE)
    assert {key: len(value) for key, value in words.items()} == {"clip_l": 3, "clip_g": 3}
    base = SOURCES.locate(config.preset.model.base, "model.base")
    pipeline = StableDiffusionXLPipeline.from_pretrained(base, dtype=torch.float32)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors")
    for key, encoder, tokenizer in (
        ("clip_l", pipeline.text_encoder, pipeline.tokenizer),
        ("clip_g", pipeline.text_encoder_2, pipeline.tokenizer_2),
    ):
        pipeline.load_textual_inversion(words[key], token="<fashion>", text_encoder=encoder, tokenizer=tokenizer)
    wish = request("<fashion> a red dress")
    images = pipeline(
        prompt=list(wish.prompts),
        latents=wish.noise * pipeline.scheduler.init_noise_sigma,
        height=64,
        width=48,
        original_size=(160, 109),
        target_size=(64, 48),
        num_inference_steps=3,
        guidance_scale=config.preset.generation.guidance_scale,
        output_type="pt",
    ).images
    theirs = (images * 255).round().int()
    assert int((theirs - expected).abs().max()) <= 1


PUNCTUATED = "a dress like <fashion>, red"


def test_a_word_before_a_comma_is_read_as_one_that_stands_alone(config, saved):
    model = fresh(config)
    with adapted(saved[0], SDXL, model.components):
        texts = [PUNCTUATED, "a dress like <fashion> , red", "a dress like <fashion> red"]
        joined, apart, without = (model.encode_text([text])["prompt_embeds"] for text in texts)
    assert torch.equal(joined, apart)
    assert not torch.equal(joined, without)


def test_pictures_are_drawn_by_a_word_before_a_comma_as_by_one_that_stands_alone(config, saved):
    model = fresh(config)
    with adapted(saved[0], SDXL, model.components):
        texts = [PUNCTUATED, "a dress like <fashion> , red", "a dress like , red"]
        joined, apart, without = (picture(model, config, text) for text in texts)
    assert torch.equal(joined, apart)
    assert not torch.equal(joined, without)


@pytest.mark.parametrize(
    ("text", "begun"),
    [
        ("a tired man", "red a tired man"),
        ("a man in red, tired", "a man in red, tired"),
        ("", "red "),
    ],
)
def test_a_prompt_begins_with_a_learned_word_that_it_has_nowhere(text, begun):
    assert begun_with("red ", text) == begun


def test_a_word_inside_another_is_none(config):
    model = fresh(config)
    attach(model, config, {"text_encoder": TOKENS | {"token": "sks"}})
    assert readable(model.pipeline.text_encoder, ["desks, sks, sks."]) == ["desks,  sks ,  sks ."]


def theirs(saved, folder, name="style-x.safetensors", **changed):
    """A file of textual inversion as other trainers write it: no metadata, and called as its word."""
    write_words(folder / WORDS_FILE, read_adapter(saved[0]).of_words, SDXL, {})
    tensors = {key: values for key, values in (load_file(folder / WORDS_FILE) | changed).items() if values is not None}
    save_file(tensors, folder / name)
    return folder / name


def test_a_file_of_textual_inversion_by_others_is_read_by_its_name(config, saved, tmp_path):
    path = theirs(saved, tmp_path)
    found = find_adapter(str(path), tmp_path)
    assert (found.file, found.words, found.prompt_prefix) == (path, None, "style-x ")
    model = fresh(config)
    before = model.encode_text(["a dress, style-x"])
    ours = read_adapter(saved[0])
    write_words(tmp_path / WORDS_FILE, ours.of_words, SDXL, tokens_key(ours.tokens))
    with adapted(tmp_path / WORDS_FILE, SDXL, model.components, 1.0, model.token_row):
        wanted = model.encode_text(["a dress, <fashion>"])["prompt_embeds"]
    with adapted(path, SDXL, model.components, 1.0, model.token_row):
        with_words = model.encode_text(["a dress, style-x"])["prompt_embeds"]
        vectors = model.pipeline.text_encoder_2.get_input_embeddings().vectors
        assert torch.equal(vectors, load_file(path)["clip_g"])
        assert torch.equal(with_words, wanted)
        assert not torch.equal(with_words, before["prompt_embeds"])
    assert torch.equal(model.encode_text(["a dress, style-x"])["prompt_embeds"], before["prompt_embeds"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clip_g": torch.zeros(2, 5)}, "clip_g has the shape"),
        ({"clip_l": torch.full((2, 64), torch.nan)}, "clip_l holds values that are not finite"),
    ],
)
def test_a_file_of_textual_inversion_that_does_not_fit_is_refused_by_its_key(config, saved, tmp_path, changed, said):
    model = fresh(config)
    path = theirs(saved, tmp_path, **changed)
    with pytest.raises(ConfigError, match=said), adapted(path, SDXL, model.components, 1.0, model.token_row):
        pass


def test_they_have_a_place_beside_every_format_of_what_else_a_trial_has():
    assert formats_of(TrialSpec.of(BESIDE)) == ["diffusers", "peft", "kohya"]
    assert TrialSpec.of(BESIDE).prompt_prefix == "<fashion> "
    assert TrialSpec.of({"unet": 1}).prompt_prefix == ""
    assert TrialSpec.of({"text_encoders": TOKENS | {"prepended": False}}).prompt_prefix == ""


def test_each_option_is_in_the_name_and_the_title_of_a_trial():
    options = [
        {},
        {"learning_rate": 0.02},
        {"initial_words": "a fashion photo"},
        {"initial_words": "a fashion-photo"},
        {"token": "<shop>"},
        {"token": "shop"},
        {"prepended": False},
    ]
    specs = [TrialSpec.of({"text_encoders": TOKENS | one}) for one in options]
    assert len({spec.trial_id for spec in specs}) == len({spec.title for spec in specs}) == len(options)
    assert all(re.fullmatch(r"[\w.-]+", spec.trial_id) for spec in specs)
    assert specs[2].title.endswith("prompt tokens, from “a fashion photo”")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"unet": TOKENS}, "unet: has no token_embedding, which prompt tokens are for"),
        ({"text_encoder.layers.0": TOKENS}, "has no token_embedding"),
    ],
)
def test_where_there_are_no_words_they_are_refused(config, values, said):
    with pytest.raises(ConfigError, match=said):
        count_parameters(config.preset.model.base, TrialSpec.of(values))


@pytest.mark.parametrize("change", [{"placeholder": []}, {"placeholder": ["a"]}, {"end": -1}, {"more": 1}])
def test_a_file_whose_settings_do_not_fit_is_refused(config, saved, tmp_path, change):
    settings = json.loads(read_metadata(saved[0])[CONFIG_KEY])
    settings["text_encoder.prompt_tokens"] |= change
    save_file(load_file(saved[0]), tmp_path / "theirs.safetensors", {CONFIG_KEY: json.dumps(settings)})
    model = fresh(config)
    with (
        pytest.raises(ConfigError, match="prompt_tokens have settings that do not fit"),
        adapted(tmp_path / "theirs.safetensors", SDXL, model.components),
    ):
        pass


def test_vectors_of_another_width_are_refused_by_their_key(config, saved, tmp_path):
    tensors = load_file(saved[0])
    key = next(key for key in tensors if key.endswith(".prompt_tokens"))
    tensors[key] = tensors[key][:, :-1].contiguous()
    save_file(tensors, tmp_path / "theirs.safetensors", read_metadata(saved[0]))
    reason = misfit(tmp_path / "theirs.safetensors", SDXL, fresh(config).components) or ""
    assert reason.startswith(f"{key} has the shape [3, ")


QUICK = ["training.steps=3", "training.views=1", "generation.num_inference_steps=2", "generation.refine_fraction=0"]
QUICK += ["evaluation.samples=160"]


def test_a_sweep_of_words_and_an_adapter_is_trained_judged_exported_and_drawn_again(fashion_root, runs_root, tmp_path):
    trials = "[{unet: 1, text_encoders: {kind: prompt_tokens, num_tokens: 2, learning_rate: 0.01}}]"
    config = load_run_config("exp8", "tiny", [f"data.fashion.root={fashion_root}", *QUICK, f"sweep.trials={trials}"])
    (spec,) = config.specs
    run = finished_run("mine", config)
    assert read_json(run.trial(spec.trial_id).result)["parameters"] == 17_184 + 2 * 160
    files = export(ExportRequest(run, "diffusers", spec.trial_id))
    assert [path.name for path in files] == ["README.md", WORDS_FILE, "pytorch_lora_weights.safetensors"]
    card = files[0].read_text(encoding="utf-8")
    assert 'pipeline.load_textual_inversion(words["clip_g"], token="<fashion>"' in card
    assert "A LoRA and prompt tokens adapter of" in card
    assert "Trigger words: `<fashion>`." in card
    assert "| rank | unet 1 |" in card
    assert "| num_tokens | text_encoders 2 |" in card
    assert 'pipeline("<fashion> ' in card
    adapter = find_adapter(str(run.trial(spec.trial_id).root), tmp_path)
    assert adapter.prompt_prefix == "<fashion> "
    pictures = []
    for number, given in enumerate((run.trial(spec.trial_id).root, files[0].parent)):  # of the run, and of the export
        wish = DrawingRequest(("a red dress",), adapters=(str(given),), output=tmp_path / f"{number}.png")
        pictures += generate(wish, None, (), Console(quiet=True))
    assert len({Image.open(path).tobytes() for path in pictures}) == 1
    files[1].unlink()
    with pytest.raises(ConfigError, match="learnt words, which are in learned_embeds"):
        find_adapter(str(files[0].parent), tmp_path)
