"""Training on the embedded model with a small cache made by the real encoder."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from safetensors.torch import load_file

from fashion_sweep.adapters.attaching import attach
from fashion_sweep.adapters.dropout import SampleDropout
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import load_catalogue
from fashion_sweep.data.layouts import deepfashion
from fashion_sweep.doors import OPTIMIZERS, SCHEDULES
from fashion_sweep.encodings.encoders import encode_captions, encode_images
from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.errors import TrialError
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.run.events import Observer
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.training.adapt import Adaptation
from fashion_sweep.training.averaging import Average
from fashion_sweep.training.loop import Share
from tests.conftest import write_fashion

STEPS, LEARNING_RATE = 6, 3e-3


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(catalogue, images, captions) of 24 encoded images."""
    root = tmp_path_factory.mktemp("world")
    config = load_run_config("exp2", "tiny", ["training.views=2"])
    model = SDXLModel.load(config.preset.model, "cpu")
    folder = write_fashion(root / "data", {f"{i:02d}.jpg": (60, 90) for i in range(24)})
    catalogue = load_catalogue(deepfashion.LAYOUT, folder, config.preset.data["fashion"])
    images = ShardedCache(root / "images", len(catalogue.records))
    images.write(0, encode_images(model, config.preset.training, catalogue.records))
    captions = ShardedCache(root / "captions", len(catalogue.distinct_captions))
    captions.write(0, encode_captions(model, catalogue.distinct_captions))
    return catalogue, images, captions


def adaptation(world, ranks=None, **changes) -> Adaptation:
    settings = {"steps": STEPS, "batch_size": 4, "views": 2, "validation_every": 3, "checkpoint_every": 2}
    settings |= {"learning_rate": LEARNING_RATE}
    config = load_run_config("exp2", "tiny").preset.training.model_copy(update=settings | changes)
    catalogue, images, captions = world
    return Adaptation(TrialSpec.of(ranks or {"unet": 1}), config, 0, catalogue, images, captions, rank=0, workers=1)


def trained(world, folder, *, stop_at=None, said=None, **changes):
    """(adapter tensors, reports) of a training; `stop_at` kills it after that many steps, `said` gets its notes."""
    said = [] if said is None else said
    reports = []
    model = SDXLModel.load(load_run_config("exp2", "tiny").preset.model, "cpu")

    class Killer(Observer):
        def step(self, values):
            if values["step"] == stop_at:
                raise KeyboardInterrupt

        def note(self, text):
            said.append(text)

    paths = TrialPaths(folder)
    try:
        adaptation(world, **changes).run(model, paths, reports.append, Killer())
    except KeyboardInterrupt:
        return None, reports
    return load_file(paths.adapter), reports


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    return trained(world, tmp_path_factory.mktemp("undisturbed"))


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_two_trainings_give_the_same_adapter_bit_for_bit(world, undisturbed, tmp_path):
    assert same(trained(world, tmp_path)[0], undisturbed[0])


def test_another_seed_gives_another_adapter(world, undisturbed, tmp_path):
    assert not same(trained(world, tmp_path, seed=1)[0], undisturbed[0])


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_killed_training_ends_in_the_same_adapter_and_reports(world, undisturbed, tmp_path, stop_at):
    assert trained(world, tmp_path, stop_at=stop_at)[0] is None
    assert saved_steps(tmp_path) == [step for step in (2, 4) if step < stop_at]
    adapter, reports = trained(world, tmp_path)
    assert same(adapter, undisturbed[0])
    assert [told(report) for report in reports] == [told(report) for report in undisturbed[1]][-len(reports) :]


def saved_steps(folder):
    return sorted(int(path.stem) for path in folder.glob("checkpoints/*"))


@pytest.mark.parametrize("how", ["torn", "flipped", "empty"])
@pytest.mark.parametrize(("damaged", "goes_on_from"), [([4], 2), ([4, 2], 0)])
def test_a_damaged_checkpoint_is_left_out_and_told_of(world, undisturbed, tmp_path, how, damaged, goes_on_from):
    trained(world, tmp_path, stop_at=5)
    for step in damaged:
        spoil(tmp_path / "checkpoints" / f"{step:08d}.safetensors", how)
    said = []
    adapter, reports = trained(world, tmp_path, said=said)
    assert same(adapter, undisturbed[0])
    assert said == [f"the checkpoint of step {step} was damaged and is left out" for step in damaged]
    assert (reports[0]["step"] == 0) == (goes_on_from == 0)


def spoil(path, how):
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[-1] ^= 1
    path.write_bytes(content[: {"torn": len(content) // 2, "flipped": len(content), "empty": 0}[how]])


def test_the_newest_checkpoints_are_kept_and_no_others(world, tmp_path):
    trained(world, tmp_path, steps=10, stop_at=9)
    assert saved_steps(tmp_path) == [6, 8]


def told(report):
    """A report but for its timing."""
    return {name: value for name, value in report.items() if name != "seconds_per_step"}


def test_micro_batches_do_not_change_the_result_beyond_rounding(world, undisturbed, tmp_path):
    adapter, reports = trained(world, tmp_path, micro_batch_size=1)
    # Adam turns the rounding of a gradient that is all but zero into a step like any other: few values, small ones
    moved = sum(((adapter[name] - values) ** 2).sum() for name, values in undisturbed[0].items())
    assert moved < 1e-4 * sum((values**2).sum() for values in undisturbed[0].values())
    assert reports[-1]["train_loss"] == pytest.approx(undisturbed[1][-1]["train_loss"], rel=1e-5)


def test_captions_that_are_encoded_while_training_give_the_same_adapter_as_cached_ones(world, undisturbed, tmp_path):
    catalogue, images, _ = world
    adapter, reports = trained((catalogue, images, None), tmp_path)
    moved = sum(((adapter[name] - values) ** 2).sum() for name, values in undisturbed[0].items())
    assert moved < 1e-4 * sum((values**2).sum() for values in undisturbed[0].values())
    for ours, theirs in zip(reports, undisturbed[1], strict=True):
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-4)


def test_validation_and_training_loss_are_reported_by_step(undisturbed):
    reports = undisturbed[1]
    assert [report["step"] for report in reports] == [0, 3, 6]
    assert "train_loss" not in reports[0]
    assert all(report["val_loss"] > 0 for report in reports)


def test_training_lowers_the_validation_loss_on_what_it_saw(world, tmp_path):
    _, reports = trained(world, tmp_path, steps=30, learning_rate=1e-2, batch_size=8, ranks={"unet": 4})
    assert reports[-1]["val_loss"] < reports[0]["val_loss"]


def test_the_learning_rate_is_half_a_cosine_to_zero(undisturbed):
    assert undisturbed[1][1]["learning_rate"] == pytest.approx(0.75 * LEARNING_RATE)
    assert undisturbed[1][2]["learning_rate"] < 0.1 * LEARNING_RATE


@pytest.mark.parametrize("name", OPTIMIZERS.names)
def test_a_killed_training_goes_on_with_whatever_optimizer(world, tmp_path, name):
    rate = {"learning_rate": 1.0} if name == "prodigy" else {}
    # 8-bit states are for tensors of at least 4,096 values, which rank 64 has here
    ranks = {"unet": 64 if name == "adamw_8bit" else 1}
    whole, reports = trained(world, tmp_path / "whole", optimizer=name, ranks=ranks, **rate)
    trained(world, tmp_path / "killed", optimizer=name, ranks=ranks, stop_at=5, **rate)
    resumed, again = trained(world, tmp_path / "killed", optimizer=name, ranks=ranks, **rate)
    assert same(resumed, whole)
    assert told(again[-1]) == told(reports[-1])
    assert any(values.abs().max() > 0 for key, values in whole.items() if "lora_B" in key)


def test_optimizers_differ(world, undisturbed, tmp_path):
    adapters = [trained(world, tmp_path / name, optimizer=name)[0] for name in ("adafactor", "prodigy")]
    assert not any(same(one, undisturbed[0]) for one in adapters)


def test_the_rate_rises_for_as_many_steps_as_are_said_and_then_takes_its_course(world, tmp_path):
    changes = {"schedule": "linear", "warmup_steps": 2, "validation_every": 1}
    _, reports = trained(world, tmp_path, **changes)
    shares = [report["learning_rate"] / LEARNING_RATE for report in reports[1:]]
    assert shares == pytest.approx([0, 0.5, 1, 0.75, 0.5, 0.25])


def halving(warmup_steps, steps):
    return lambda step: 0.5**step


def test_a_schedule_may_come_from_elsewhere(world, tmp_path, monkeypatch):
    monkeypatch.setitem(SCHEDULES.places, "halving", f"{__name__}:halving")
    _, reports = trained(world, tmp_path, schedule="halving", steps=3, validation_every=1)
    assert [report["learning_rate"] / LEARNING_RATE for report in reports[1:]] == [1, 0.5, 0.25]


def test_b_learns_as_much_faster_as_lora_plus_says(world, tmp_path):
    """Adam's first step is as long as its rate, whatever the gradient."""
    changes = {"steps": 1, "schedule": "constant", "max_grad_norm": 1e9, "weight_decay": 0.0}
    ends = [
        trained(world, tmp_path / str(ratio), ranks={"unet": {"rank": 1, "loraplus_lr_ratio": ratio}}, **changes)[0]
        for ratio in (1, 16)
    ]
    for name, values in ends[0].items():
        ratio = 16 if "lora_B" in name else 1
        moved = [end[name].abs().max() for end in ends] if "lora_B" in name else [values.max(), ends[1][name].max()]
        assert moved[1] == pytest.approx(ratio * moved[0], rel=1e-3)


@pytest.mark.parametrize(
    "changes",
    [{"snr_gamma": 1.0}, {"noise_offset": 0.1}, {"proportion_empty_prompts": 0.5}, {"ema_decay": 0.9}],
    ids=lambda changes: next(iter(changes)),
)
def test_an_option_changes_the_adapter_and_a_killed_training_goes_on_with_it(world, undisturbed, tmp_path, changes):
    whole, reports = trained(world, tmp_path / "whole", **changes)
    assert not same(whole, undisturbed[0])
    assert reports[0]["val_loss"] == undisturbed[1][0]["val_loss"]  # all are validated alike
    assert reports[-1]["val_loss"] != undisturbed[1][-1]["val_loss"]  # by what is saved
    trained(world, tmp_path / "killed", stop_at=5, **changes)
    resumed, again = trained(world, tmp_path / "killed", **changes)
    assert same(resumed, whole)
    assert told(again[-1]) == told(reports[-1])


def test_no_timestep_counts_for_more_than_the_largest_ratio_of_signal_to_noise(world):
    model = SDXLModel.load(load_run_config("exp2", "tiny").preset.model, "cpu")
    timesteps = torch.tensor([0, 10, 300, 700, 999])
    alphas = model.scheduler.alphas_cumprod[timesteps]
    ratio = alphas / (1 - alphas)
    assert model.min_snr_weights(timesteps, 5.0) == pytest.approx(torch.minimum(ratio, torch.tensor(5.0)) / ratio)


def test_where_velocity_is_predicted_the_weights_are_those_of_the_same_loss(world):
    model = SDXLModel.load(load_run_config("exp2", "tiny").preset.model, "cpu")
    model.scheduler.register_to_config(prediction_type="v_prediction")
    timesteps = torch.tensor([0, 300, 999])
    alphas = model.scheduler.alphas_cumprod[timesteps]
    ratio = alphas / (1 - alphas)
    expected = torch.minimum(ratio, torch.tensor(5.0)) / (ratio + 1)
    assert model.min_snr_weights(timesteps, 5.0) == pytest.approx(expected)


def test_every_schedule_takes_a_course_of_its_own():
    courses = {name: [SCHEDULES[name](10, 100)(step) for step in range(100)] for name in SCHEDULES.names}
    for first, second in combinations(courses.values(), 2):
        assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 0.05
    assert all(course[5] == pytest.approx(0.5) for course in courses.values())


def test_as_many_captions_are_left_out_as_said(world):
    made = adaptation(world, proportion_empty_prompts=0.3)
    samples = made._training_set(SDXLModel.load(load_run_config("exp2", "tiny").preset.model, "cpu"))
    (empty,) = samples.empty_caption.conditioning([0])["pooled"]
    batches = [samples.training_batch(step, 16, range(16)).conditioning["pooled"] for step in range(20)]
    left_out = torch.cat([(batch == empty).all(dim=1) for batch in batches]).float().mean()
    assert 0.2 < left_out < 0.4


def test_each_layer_has_a_dropout_of_its_own(world):
    model = SDXLModel.load(load_run_config("exp2", "tiny").preset.model, "cpu")
    spec = TrialSpec.of({"unet": {"rank": 1, "lora_dropout": 0.5}})
    attach(model.components, spec, adaptation(world).config, seed=0)
    numbers = [one.layer for one in model.components["unet"].modules() if isinstance(one, SampleDropout)]
    assert len(set(numbers)) == len(numbers) > 20


def test_where_all_captions_are_left_out_only_the_empty_one_is_learnt(world, tmp_path):
    """Of text encoders that read nothing but padding, the same are trained whatever the captions were."""
    catalogue, images, captions = world
    records = [replace(record, caption="something else") for record in catalogue.records]
    changes = {"proportion_empty_prompts": 1.0, "ranks": {"text_encoders": 1}}
    first, _ = trained(world, tmp_path / "first", **changes)
    other, _ = trained((replace(catalogue, records=records), images, captions), tmp_path / "other", **changes)
    assert same(first, other)


def test_what_all_pixels_have_in_common_is_as_large_as_said(world):
    def batch(offset):
        made = adaptation(world, noise_offset=offset)
        return made._training_set(SDXLModel.load(load_run_config("exp2", "tiny").preset.model, "cpu"))

    plain, shifted = (batch(offset).training_batch(0, 16, range(16)).noise for offset in (0.0, 0.1))
    shift = shifted - plain
    assert torch.allclose(shift, shift.mean(dim=(2, 3), keepdim=True), atol=1e-6)
    assert 0.07 < shift[:, :, 0, 0].std() < 0.13
    assert (shift[:, 0, 0, 0] - shift[:, 1, 0, 0]).abs().mean() > 0.05  # each channel by its own


def test_the_average_is_that_of_all_steps_and_makes_way_for_what_is_trained():
    values = {"a": torch.nn.Parameter(torch.zeros(3))}
    average, expected = Average(values, decay=0.5), torch.zeros(3)
    for step in range(1, 6):
        values["a"].data = torch.full((3,), float(step))
        average.step()
        decay = min(0.5, (1 + step - 1) / (10 + step - 1)) if step > 1 else 0.0
        expected = decay * expected + (1 - decay) * step
    with average.in_place():
        assert torch.allclose(values["a"], expected)
    assert values["a"].tolist() == [5.0] * 3


def test_gradient_checkpointing_changes_memory_and_not_the_adapter(world, undisturbed, tmp_path):
    adapter, _ = trained(world, tmp_path, gradient_checkpointing=True)
    assert all(torch.allclose(adapter[name], values, atol=1e-6) for name, values in undisturbed[0].items())


@pytest.mark.filterwarnings("error::FutureWarning")
def test_gradient_checkpointing_of_text_encoders_warns_of_nothing(world, tmp_path):
    adapter, _ = trained(world, tmp_path, gradient_checkpointing=True, ranks={"text_encoders": 2}, steps=1)
    assert adapter


def test_text_encoders_are_trained_where_the_trial_says_so(world, tmp_path):
    adapter, _ = trained(world, tmp_path, ranks={"text_encoders": 2})
    moved = {name.split(".")[0] for name, values in adapter.items() if "lora_B" in name and values.abs().max() > 0}
    assert moved == {"text_encoder", "text_encoder_2"}


@pytest.mark.parametrize(
    ("held_out", "said"), [(False, "loss=nan at step 0, by 1 of 4 samples: {}$"), (True, "val_loss=nan at step 0")]
)
def test_a_loss_that_is_not_finite_stops_before_the_step_and_names_the_samples(world, tmp_path, held_out, said):
    catalogue, images, captions = world
    data, names = data_of(world), [record.name for record in catalogue.records]
    name = (data.validation_batch([0]) if held_out else data.training_batch(0, 4, [2])).names[0]
    broken, latents = ShardedCache(tmp_path / "images", len(names)), images.all("latents")
    latents[names.index(name)] *= float("nan")
    broken.write(0, {"latents": latents, "time_ids": images.all("time_ids")})
    with pytest.raises(TrialError, match=said.format(name)):
        trained((catalogue, broken, captions), tmp_path / "trial")
    assert not (tmp_path / "trial").exists()


def data_of(world):
    model = SDXLModel.load(load_run_config("exp2", "tiny").preset.model, "cpu")
    return adaptation(world)._training_set(model)


def test_samples_noise_and_timesteps_of_a_step_do_not_depend_on_how_the_batch_is_shared(world):
    data = data_of(world)
    whole = data.training_batch(7, 8, range(8))
    for workers, micro in [(2, 4), (4, 1), (1, 3)]:
        shares = [Share(rank, workers, 8, micro) for rank in range(workers)]
        slots = sorted(slot for share in shares for part in share.micro_batches for slot in part)
        assert slots == list(range(8))
        part_slots = shares[-1].micro_batches[0]
        part = data.training_batch(7, 8, part_slots)
        assert torch.equal(part.noise, whole.noise[part_slots])
        assert torch.equal(part.latents, whole.latents[part_slots])
        assert torch.equal(part.timesteps, whole.timesteps[part_slots])


def test_an_epoch_sees_every_training_image_once_and_no_held_out_one(world):
    data = data_of(world)
    count = len(data.training_rows)
    names = [data.training_batch(0, count, [slot]).names[0] for slot in range(count)]
    assert len(set(names)) == count
    held_out = {data.names[row] for row in data.validation_rows}
    assert not held_out & set(names)


def test_captions_and_sizes_belong_to_their_image(world):
    data = data_of(world)
    catalogue, images, captions = world
    batch = data.training_batch(3, 4, range(4))
    rows = {record.name: row for row, record in enumerate(catalogue.records)}
    texts = catalogue.distinct_captions
    for i, name in enumerate(batch.names):
        record = catalogue.records[rows[name]]
        expected = captions.row("pooled", texts.index(record.caption)).float()
        assert torch.equal(batch.conditioning["pooled"][i], expected)
        assert batch.conditioning["time_ids"][i, :2].tolist() == [record.height, record.width]
        assert any(torch.equal(batch.latents[i], view.float()) for view in images.row("latents", rows[name]))


def test_dropout_is_the_same_in_micro_batches_and_after_a_kill_and_changes_what_is_learnt(world, undisturbed, tmp_path):
    ranks = {"unet": {"rank": 1, "lora_dropout": 0.5}, "text_encoders": {"rank": 1, "lora_dropout": 0.2}}
    adapter, reports = trained(world, tmp_path / "whole", ranks=ranks)
    trained(world, tmp_path / "killed", ranks=ranks, stop_at=3)
    assert same(adapter, trained(world, tmp_path / "killed", ranks=ranks)[0])
    single, single_reports = trained(world, tmp_path / "single", ranks=ranks, micro_batch_size=1)
    moved = sum(((adapter[name] - values) ** 2).sum() for name, values in single.items())
    assert moved < 1e-4 * sum((values**2).sum() for values in single.values())
    assert reports[-1]["train_loss"] == pytest.approx(single_reports[-1]["train_loss"], rel=1e-5)
    without = trained(world, tmp_path / "without", ranks={"unet": 1, "text_encoders": 1})[0]
    assert not same(adapter, without)


def test_dropout_is_left_out_of_validation(world, tmp_path):
    ranks = {"unet": {"rank": 1, "lora_dropout": 0.9}}
    reports = trained(world, tmp_path / "with", ranks=ranks)[1]
    checkpointed = trained(world, tmp_path / "again", ranks=ranks, gradient_checkpointing=True)[1]
    assert [told(one) for one in checkpointed] == [pytest.approx(told(one), rel=1e-4) for one in reports]
