import random

import pytest
import yaml

from fashion_sweep.config.loading import load_preset, load_run_config, read_run_config
from fashion_sweep.config.named_files import PRESETS, SWEEPS
from fashion_sweep.errors import ConfigError
from fashion_sweep.tiny.pictures import PORTRAIT_FILE, SQUARE_FILE


@pytest.mark.parametrize("preset", [path.stem for path in PRESETS.glob("*.yaml")])
@pytest.mark.parametrize("sweep", [path.stem for path in SWEEPS.glob("*.yaml")])
def test_every_sweep_goes_with_every_preset(sweep, preset):
    config = load_run_config(sweep, preset)
    assert config.preset.name == preset
    assert config.sweep.sample_prompts


def test_the_sdxl_preset_is_the_studys_protocol():
    preset = load_run_config("exp2", "sdxl").preset
    fashion, general, training = preset.data["fashion"], preset.data["general"], preset.training
    assert (fashion.min_aspect_ratio, fashion.max_aspect_ratio) == (None, 0.69)
    assert (general.min_aspect_ratio, general.max_aspect_ratio) == (1.33, None)
    assert tuple(fashion.evaluation.model_dump().values()) == (512, 360, 360)
    assert tuple(general.evaluation.model_dump().values()) == (480, 640, 480)
    assert tuple(training.image.model_dump().values()) == (512, 360, 368)
    assert (training.epochs, training.batch_size, training.learning_rate, training.lora_alpha) == (20, 16, 1e-5, 1)
    assert (training.betas, training.weight_decay, training.schedule) == ((0.9, 0.999), 1e-2, "cosine")
    assert (training.max_grad_norm, training.autocast, training.validation_fraction) == (1.0, "bf16", 0.05)
    generation, evaluation = preset.generation, preset.evaluation
    assert (generation.guidance_scale, generation.refine_fraction, generation.seed, generation.batch_size) == (
        5,
        0.2,
        0,
        8,
    )
    assert generation.base_negative_prompt == "drawing, cartoon, painting, illustration, 3d, render, cgi"
    assert (evaluation.samples, evaluation.features) == (40_000, "inception-v3")


def test_the_tiny_preset_filters_on_the_sides_that_the_studys_does():
    """Its figures stand in frames of 3 to 4, in which crops leave them whole."""
    tiny, sdxl = (load_run_config("exp2", name).preset.data for name in ("tiny", "sdxl"))
    assert tiny["general"].min_aspect_ratio == sdxl["general"].min_aspect_ratio
    assert [one["fashion"].min_aspect_ratio for one in (tiny, sdxl)] == [None, None]
    assert PORTRAIT_FILE[0] / PORTRAIT_FILE[1] < tiny["fashion"].max_aspect_ratio < SQUARE_FILE[0] / SQUARE_FILE[1]


def test_what_is_shown_is_written_out_for_each_set_that_is_judged():
    def shown(preset, *settings):
        return load_run_config("exp4", preset, [f"sweep.{one}" for one in settings]).sweep.show

    assert shown("sdxl") == {"general": ["kid"]}
    assert shown("tiny", "judge=[general, fashion]") == {
        "general": ["kid"],
        "fashion": ["kid", "attributes", "whole_figures"],
    }
    assert shown("tiny", "judge=[general, fashion]", "show=[cmmd]") == {"general": ["cmmd"], "fashion": ["cmmd"]}
    assert shown("tiny", "judge=[general, fashion]", "show={general: [cmmd]}") == {
        "general": ["cmmd"],
        "fashion": ["kid"],
    }
    with pytest.raises(ConfigError, match=r"show.fahsion: is no set that is judged; did you mean 'fashion'"):
        shown("tiny", "judge=[general, fashion]", "show={fahsion: [cmmd]}")


def test_a_preset_is_like_another_but_for_its_model_and_what_it_says(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("like: tiny\nmodel: {base: 'embedded:base', dtype: float32}\ntraining: {steps: 7}\n")
    mine, tiny = load_preset(str(path)), load_preset("tiny")
    assert (mine.name, mine.model.refiner, mine.training.steps) == ("mine", None, 7)
    same = {"name", "like", "model", "training"}
    assert mine.model_dump(exclude=same) == tiny.model_dump(exclude=same)
    assert mine.training.model_copy(update={"steps": 300}) == tiny.training


def test_a_preset_like_one_that_is_like_another_has_the_sweeps_of_both(tmp_path):
    between, mine = tmp_path / "between.yaml", tmp_path / "mine.yaml"
    between.write_text("like: tiny-sd3\ntraining: {steps: 7}\n")
    mine.write_text(f"like: {between}\ntraining: {{batch_size: 4}}\n")
    config, of_tiny = load_run_config("exp5", str(mine)), load_run_config("exp5", "tiny-sd3")
    assert config.sweep == of_tiny.sweep
    assert config.preset.model == of_tiny.preset.model
    assert (config.preset.training.steps, config.preset.training.batch_size) == (7, 4)
    between.write_text(f"like: {mine}")
    with pytest.raises(ConfigError, match=r"mine.yaml: like: is like itself, by way of mine and between"):
        load_preset(str(mine))


def test_what_a_preset_is_like_cannot_be_set():
    with pytest.raises(ConfigError, match="--set like: belongs into a preset's file; --preset sdxl chooses"):
        load_preset("tiny", ["like=sdxl"])


def test_what_a_preset_shows_of_rendered_pictures_alone_is_not_shown_of_photographs(tmp_path):
    own = load_run_config("exp2", "tiny").sweep.show["fashion"]
    assert own == ["kid", "attributes", "whole_figures"]
    photographs = ["data.fashion.root=/photos"]
    assert load_run_config("exp2", "tiny", photographs).sweep.show["fashion"] == ["kid"]
    asked = [*photographs, "data.fashion.show=[cmmd]"]
    assert load_run_config("exp2", "tiny", asked).sweep.show["fashion"] == ["kid", "cmmd"]
    twin = load_run_config("exp9", "tiny", photographs).sweep.show["fashion_nf4"]
    (mine := tmp_path / "mine.yaml").write_text("like: tiny\ndata: {fashion: {root: /photos}}")
    assert twin == load_run_config("exp2", str(mine)).sweep.show["fashion"] == ["kid"]


@pytest.mark.parametrize(
    ("preset", "setting"), [("sdxl", "sweep.show=[attributes]"), ("tiny", "data.fashion.show=[attributes]")]
)
def test_photographs_are_not_read_as_rendered(preset, setting):
    with pytest.raises(ConfigError, match=r"sweep: attributes is for rendered pictures, and those of data.fashion"):
        load_run_config("exp2", preset, ["data.fashion.root=/photos", setting])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("like: tniy", "unknown preset 'tniy'; did you mean 'tiny'"),
        ("like: [tiny]", "mine.yaml: like: must be the name of a preset"),
        ("like: nowhere.yaml", "preset file nowhere.yaml does not exist"),
    ],
)
def test_what_a_preset_cannot_be_like_is_told(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_preset(str(path))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_set_wins_over_the_files(tmp_path):
    sweep = tmp_path / "mine.yaml"
    sweep.write_text(yaml.safe_dump({"question": "?", "trials": [{"unet": 1}]}))
    config = load_run_config(str(sweep), "tiny", ["training.steps=9", "sweep.question=Why?"])
    assert (config.preset.training.steps, config.sweep.question, config.sweep.name) == (9, "Why?", "mine")


def test_the_environment_chooses_the_preset(monkeypatch):
    monkeypatch.setenv("FASHION_SWEEP_PRESET", "sdxl")
    assert load_run_config("exp2").preset.name == "sdxl"


def test_the_resolved_config_survives_its_file(tmp_path):
    config = load_run_config("exp2", "tiny", ["training.learning_rate=1e-4", "data.fashion.root=/a/b"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert read_run_config(path) == config
    assert config.preset.training.learning_rate == 1e-4


TEXTS = [
    "/photos #2",
    "2024",
    "no",
    "@home",
    "a: b",
    "1e5",
    "[x",
    "{}",
    "'a'",
    "~",
    "*all",
    "&a",
    "!b",
    "%c",
    " a ",
    "Null",
]
TEXTS += ["".join(random.Random(seed).choices("a1 #:'\"[]{},&*!|>%@`=-?\\~.\t\né猫", k=9)) + "x" for seed in range(30)]


@pytest.mark.parametrize("texts", [TEXTS[start : start + 6] for start in range(0, len(TEXTS), 6)])
def test_a_key_that_holds_text_takes_it_as_it_is_written_and_a_run_goes_on_with_it(texts, tmp_path):
    for text in texts:
        keys = ("data.fashion.root", "generation.base_negative_prompt", "garment.prefix", "sweep.question")
        config = load_run_config("exp2", "tiny", [f"{key}={text}" for key in keys])
        preset = config.preset
        told = (preset.data["fashion"].root, preset.generation.base_negative_prompt, preset.garment.prefix)
        assert (*told, config.sweep.question) == (text,) * 4
        (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        assert read_run_config(tmp_path / "config.yaml") == config


def test_null_is_nothing_where_a_key_may_hold_nothing_and_two_quotes_are_empty_text():
    preset = load_preset("tiny", ["model.refiner=null", "garment.prefix=null", "training.autocast=no"])
    assert (preset.model.refiner, preset.garment.prefix, preset.training.autocast) == (None, "null", "no")
    assert load_preset("tiny", ['garment.prefix=""']).garment.prefix == ""


def test_a_section_that_a_file_leaves_out_can_be_set():
    config = load_run_config("exp2", "tiny", ["sweep.choose.level=0.9", "garment.prior.caption=A #1 {kind}"])
    assert (config.sweep.choose.level, config.preset.garment.prior.caption) == (0.9, "A #1 {kind}")


@pytest.mark.parametrize("key", ["data.fashion.root", "model.vae", "training.steps", "garment.prefix", "sweep.judge"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_is_refused_by_its_key(key, empty):
    with pytest.raises(ConfigError, match=rf"^--set {key}: is empty; write {key}=null where nothing is meant$"):
        load_run_config("exp2", "tiny", [f"{key}={empty}"])


@pytest.mark.parametrize("key", ["model.base", "model.refiner", "model.vae", "data.general.root", "garment.token"])
def test_an_empty_path_or_word_in_a_file_is_no_folder_of_this_place(key, tmp_path):
    values = load_preset("tiny").model_dump(mode="json")
    inner, (*section, name) = values, key.split(".")
    for part in section:
        inner = inner[part]
    inner[name] = ""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=f"{key}: string should have at least 1 character"):
        load_preset(str(path))


SHOES = ["data.shoes.layout=folder", "data.shoes.root=/shoes", "training.data_set=shoes"]


def test_a_data_set_of_any_name_can_be_trained_and_judged_on():
    config = load_run_config("exp2", "tiny", SHOES)
    assert (config.preset.training_set, list(config.sweep.judge), config.data_sets) == ("shoes", ["shoes"], ["shoes"])
    config = load_run_config("exp2", "tiny", [*SHOES, "sweep.judge=[general, fashion]"])
    assert config.data_sets == ["shoes", "general", "fashion"]


@pytest.mark.parametrize("preset", ["tiny", "sdxl"])
def test_pictures_are_as_large_as_the_images_trained_on_where_nothing_else_is_said(preset):
    config = load_run_config("exp2", preset, SHOES)
    assert config.preset.picture_size() == config.preset.picture_size("shoes") == config.preset.picture_size("fashion")


@pytest.mark.parametrize("number", ["010", "1:30"])
def test_a_number_that_yaml_would_read_as_another_is_refused(number):
    with pytest.raises(ConfigError, match=f"{number} would be another number; write it in decimal digits"):
        load_preset("tiny", [f"training.steps={number}"])


def test_rank_zero_everywhere_is_the_base_model(tmp_path):
    sweep = tmp_path / "mine.yaml"
    sweep.write_text(yaml.safe_dump({"question": "?", "trials": [{"unet": 0}, {"text_encoders": 2, "unet": 1}]}))
    base, both = load_run_config(str(sweep)).specs
    assert base.is_base_model
    assert both.adapter_values == {"unet": 1, "text_encoders": 2}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("exp22",), "unknown sweep 'exp22'; did you mean 'exp2'?"),
        (("exp2", "tinny"), "unknown preset 'tinny'; did you mean 'tiny'?"),
        (("missing.yaml",), "sweep file missing.yaml does not exist"),
        (("exp2", "tiny", ["training.stepss=3"]), "unknown key 'training.stepss'; did you mean 'training.steps'?"),
        (("exp2", "tiny", ["trainin.steps=3"]), "unknown key 'trainin.steps'; did you mean 'training.steps'?"),
        (("exp2", "tiny", ["steps=3"]), "--set: unknown key 'steps'; did you mean 'training.steps'?"),
        (("exp2", "tiny", ["sweep.jugde=[fashion]"]), "--set: unknown key 'sweep.jugde'; did you mean 'sweep.judge'?"),
        (("exp2", "tiny", ["model.t5=false"]), "--set: model.t5 is of another architecture: sd3"),
        (("exp2", "tiny", ["foo.bar.baz=3"]), "unknown key 'foo.bar.baz'; known: cache, data"),
        (("exp2", "tiny", ["training.steps=many"]), "training.steps: input should be a valid integer"),
        (("exp2", "tiny", ["training.steps=0"]), "training.steps: input should be greater than 0 (not 0)"),
        (("exp2", "tiny", ["training.micro_batch_size=big"]), "as an integer, or 'auto' (not 'big')"),
        (("exp2", "tiny", ["model.compile=7x"]), "model.compile: input should be a valid boolean"),
        (("exp2", "tiny", ["training.learning_rate=.inf"]), "training.learning_rate: input should be a finite number"),
        (("exp2", "tiny", ["training.betas=[0.9, 1]"]), "training.betas.1: input should be less than 1"),
        (("exp2", "tiny", ["evaluation.kid_subset_size=1"]), "evaluation.kid_subset_size: input should be greater"),
        (("exp2", "tiny", ["sweep.judge=[fashion, fashion]"]), "judge: an evaluation set is listed twice"),
        (("exp2", "tiny", ["training.steps"]), "write it as key=value"),
        (("exp2", "tiny", ["training.epochs=3"]), "exactly one of epochs and steps must be set"),
        (("exp2", "tiny", ["generation.num_inference_steps=21"]), "must be a whole number"),
        (("exp2", "tiny", ["sweep.trials=[{unett: 1}]"]), "did you mean 'unet'?"),
        (("exp2", "tiny", ["sweep.trials=[{transformer: 1}]"]), "no part of this model; its denoiser is 'unet'"),
        (("exp2", "tiny", ["sweep.trials=[{unet: 1, optimiser: adamw}]"]), "did you mean 'optimizer'?"),
        (("exp2", "tiny", ["sweep.trials=[{unet: {rank: 1, lora_alpha: sqrt}}]"]), "a number, rank or sqrt_rank (not"),
        (("exp2", "tiny", ["sweep.trials=[{unet: 1}, {unet: 1}]"]), "'unet-r1' is listed twice"),
        (("exp2", "tiny", ["sweep.trials=[{text_encoder: 1, text_encoders: 2}]"]), "is given two adapters"),
        (("exp2", "tiny", ["sweep.judge=[fashon]"]), "there is no data set 'fashon'; did you mean 'fashion'?"),
        (("exp2", "tiny", ["training.data_set=fashon"]), "there is no data set 'fashon'; did you mean 'fashion'?"),
        (("exp2", "tiny", ["training.data_set=null"]), "training.data_set is missing; name one of fashion, general"),
        (("exp2", "tiny", ["data.fashoin.root=/a"]), "fashoin.layout is missing, one of folder, deepfashion, coco"),
        (("exp2", "tiny", ["data.fashoin.root=/a"]), "did you mean 'fashion'?"),
        (("exp2", "tiny", ["data.shoes.layout=foldr"]), "unknown data layout; did you mean 'folder'? (not 'foldr')"),
        (("exp2", "tiny", ["data.fashion.rot=/a"]), "'data.fashion.rot'; did you mean 'data.fashion.root'?"),
        (("exp2", "tiny", ["data.caches.layout=folder"]), "--set: data.caches: a run keeps a file called caches; give"),
        (("exp2", "tiny", ["data.my/shoes.layout=folder"]), "data.my/shoes"),
        (("exp2", "tiny", ["data.fashion=[]"]), "data.fashion"),
        (("exp2", "tiny", ["training.image.shorter_side=10"]), "smaller than the 64x48 crop"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(arguments, said):
    with pytest.raises(ConfigError) as raised:
        load_run_config(*arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_mistake_in_a_file_is_put_down_to_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("question: Which?\ntrials: [{unet: 1}]\njudg: [fashion]\n")
    with pytest.raises(ConfigError, match=r"^mine.yaml: unknown key 'judg'; did you mean 'judge'\?$"):
        load_run_config(str(path), "tiny", ["training.steps=3"])


def test_broken_yaml_is_one_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("trials: [\n - {")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_run_config(str(path))


def test_a_key_that_a_file_gives_twice_is_told(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("question: One?\nquestion: Two?\ntrials: [{unet: 1}]\n")
    with pytest.raises(ConfigError, match="'question' is given twice"):
        load_run_config(str(path), "tiny")


def test_a_run_that_another_version_began_is_told_as_that(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("preset: {name: tiny, model: {base: embedded:base}}\nsweep: {name: x}\n")
    with pytest.raises(ConfigError, match="begun by another version"):
        read_run_config(path)


def test_a_mapping_that_takes_any_key_may_be_set_key_by_key_where_the_file_has_none():
    config = load_run_config("exp2", "tiny", ["sweep.choose.margins.fid=1"])
    assert dict(config.sweep.choose.margins) == {"fid": 1.0}
    with pytest.raises(ConfigError, match="there is no metric 'fdi'; did you mean 'fid'"):
        load_run_config("exp2", "tiny", ["sweep.choose.margins.fdi=1"])
