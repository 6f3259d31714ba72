import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import ConfigError
from fashion_sweep.run.timing import wall_clock_by_stage
from fashion_sweep.tasks.preflight import check_config


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([("train", 0, 10), ("judge", 10, 14)], {"train": 10, "judge": 4}),
        ([("train", 0, 10), ("train", 0, 10)], {"train": 10, "judge": 0}),
        ([("train", 0, 10), ("judge", 6, 12)], {"train": 8, "judge": 4}),
        ([("load", 0, 5), ("train", 5, 6)], {"train": 1, "judge": 0}),
        ([("train", -20, -10), ("train", -5, 5)], {"train": 5, "judge": 0}),
        ([], {"train": 0, "judge": 0}),
    ],
)
def test_each_second_is_shared_by_the_trials_that_worked_then(stages, expected):
    assert wall_clock_by_stage(stages, started=0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.base=embedded:bse"], "did you mean 'embedded:base'?"),
        (["model.refiner=./nowhere"], "model.refiner: './nowhere' is neither a folder nor a hub id"),
        (["evaluation.clip_model=ViT-B-32"], "needs evaluation.clip_model=embedded:clip"),
        (["evaluation.samples=1", "sweep.judge={fashion: [cmmd]}", "sweep.show=[]"], "1 images are too few for CMMD"),
        (["evaluation.samples=100"], "evaluation.samples: 100 images are too few for FID with the 64 features"),
        (
            ["evaluation.kid_subset_size=200", "evaluation.samples=256"],
            "evaluation.samples: 256 images are too few for two KID subsets of 200",
        ),
        (["resources.workers_per_trial=3"], "training.batch_size: 8 does not divide among 3 workers"),
        (
            ["data.fashion.evaluation={height: 66, width: 48, shorter_side: 48}"],
            "evaluation: 66x48 pixels do not divide",
        ),
        (["training.image={height: 64, width: 50, shorter_side: 50}"], "training.image: 64x50 pixels do not divide by"),
        (["training.micro_batch_size=5"], "training.micro_batch_size: 5 does not divide"),
        (["data.fashion.rendered_images=null"], "data.fashion.root is not set"),
        (["sweep.choose.looks=[64]"], "sweep.choose.looks: 64 images are too few for FID with the 64 features"),
        (["sweep.choose.budget.images=500"], "sweep.choose.budget.images: 500 are fewer than the 1280 that the first"),
        (["sweep.choose.looks=[512, 5000]"], "sweep.choose.looks: 5000 images are more than the evaluation.samples"),
    ],
)
def test_what_cannot_work_together_is_told_before_anything_starts(settings, said):
    with pytest.raises(ConfigError) as raised:
        check_config(load_run_config("exp2", "tiny", settings))
    assert said in str(raised.value)
