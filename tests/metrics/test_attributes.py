"""Shares of what was asked of figures, with their errors."""

import numpy as np
import pytest
import torch

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.attributes import ATTRIBUTE_READER, ATTRIBUTES_RIGHT, READER_NAME, WHOLE_FIGURES
from fashion_sweep.metrics.evaluate import as_result, evaluate
from fashion_sweep.metrics.metric import RealImages, metrics_of
from fashion_sweep.tiny.attributes import ATTRIBUTES, HEADS

EVALUATION = load_run_config("exp2", "tiny").preset.evaluation
NOTHING_REAL = RealImages({}, {})


class Read:
    """A batch in which the reader is sure of what it saw."""

    def __init__(self, captions, seen):
        self.captions = captions
        rows = []
        for whole, figure in seen:
            row = torch.zeros(HEADS["whole"])
            row[int(whole)] = 1
            parts = [torch.tensor([float(value == figure[name]) for value in ATTRIBUTES[name]]) for name in ATTRIBUTES]
            rows.append(torch.cat([row, *parts]))
        self.logits = torch.stack(rows)

    def features(self, name):
        assert name == READER_NAME
        return self.logits


RED_SHIRT = {
    "person": "woman",
    "garment": "shirt",
    "sleeves": "long",
    "color": "red",
    "pattern": "striped",
    "neckline": "lapel",
}


def judged(metric, batch):
    kept = {name: rows.numpy() for name, rows in metric.per_image(batch).items()}
    return metric.estimate(kept, NOTHING_REAL, EVALUATION)


def test_only_what_a_caption_names_is_asked():
    batch = Read(
        ["A woman in a red shirt.", "A man in a red sweater.", "A bus."],
        [(True, RED_SHIRT), (True, RED_SHIRT), (True, RED_SHIRT)],
    )
    found = judged(ATTRIBUTES_RIGHT, batch)
    assert found.value == pytest.approx(100 * (3 + 1) / 6)
    assert found.influence.mean() == pytest.approx(0, abs=1e-9)
    assert found.influence[2] == 0


def test_figures_that_are_asked_for_are_whole_or_not():
    batch = Read(
        ["A woman in a red shirt.", "A man in a red sweater.", "A bus."],
        [(True, RED_SHIRT), (False, RED_SHIRT)] + [(False, RED_SHIRT)],
    )
    assert judged(WHOLE_FIGURES, batch).value == pytest.approx(50)


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    values, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        asked = rng.integers(0, 7, 200).astype(np.float32)
        right = rng.binomial(asked.astype(int), rng.beta(4, 1, 200)).astype(np.float32)
        found = ATTRIBUTES_RIGHT.estimate({"attributes": np.stack([right, asked], axis=1)}, NOTHING_REAL, EVALUATION)
        values.append(found.value)
        errors.append(found.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_what_none_of_the_pictures_was_asked_is_left_out():
    nothing = {"attributes": np.zeros((8, 2), np.float32)}
    assert ATTRIBUTES_RIGHT.estimate(nothing, NOTHING_REAL, EVALUATION) is None
    assert evaluate([ATTRIBUTES_RIGHT], nothing, NOTHING_REAL, EVALUATION, np.arange(8)) == {}


def test_what_it_was_measured_with_is_told():
    metrics = metrics_of(["attributes", "clip_score"])
    real = RealImages({}, {})
    kept = {"attributes": np.ones((20, 2), np.float32), "clip_scores": np.arange(20.0)}
    estimates = evaluate(metrics, kept, real, EVALUATION, np.arange(20))
    told = as_result(metrics, estimates, real, EVALUATION)
    assert told["other_networks"] == ATTRIBUTE_READER.identity(EVALUATION)
    assert told["clip_model"] == "embedded:clip"
