"""Knows which images are of one prompt: these are no independent draws, so it is their sums that vary.

Prompts are taken as drawn at random from all that there could be. Variances are those of the jackknife that leaves out
one prompt after the other, which hold where prompts are few, or some have many more images than others. Source:
MacKinnon, Nielsen & Webb (2023), Journal of Econometrics 232(2), who call it CV3.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement

import numpy as np

PROMPTS = "prompts"
"""The name, among what is kept of images, of the number of each image's prompt."""


def prompt_groups(captions: Sequence[str]) -> np.ndarray:
    """Returns the number of each image's caption."""
    return np.unique(np.asarray(captions, dtype=object), return_inverse=True)[1]


def prompts_of(images: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the number, from 0 to P−1, of each image's prompt; where nothing is said of them, each has its own."""
    if PROMPTS not in images:
        return np.arange(len(next(iter(images.values()))))
    return np.unique(images[PROMPTS], return_inverse=True)[1]


def correction(prompts: np.ndarray) -> np.ndarray:
    """Returns the factor (P,) of the square of each prompt's sum: a prompt has moved the mean that it is taken from."""
    counts = np.bincount(prompts)
    left = 1 - counts / len(prompts)
    return np.divide(1 - 1 / len(counts), left**2, out=np.ones(len(counts)), where=left > 0)


def variance_of_mean(influence: np.ndarray, prompts: np.ndarray) -> float:
    """Returns the variance of the mean of n influences of images with these prompts, numbered from 0 to P−1."""
    sums = np.bincount(prompts, weights=influence - influence.mean())
    return float(correction(prompts) @ sums**2) / len(influence) ** 2


def third_cumulant_of_mean(influence: np.ndarray, prompts: np.ndarray) -> float:
    """Returns the third cumulant of the mean of n influences: positive where it strays further upwards."""
    return float(np.sum(np.bincount(prompts, weights=influence - influence.mean()) ** 3)) / len(influence) ** 3


def effective_count(prompts: np.ndarray) -> float:
    """Returns the number of equally frequent prompts that would tell as much of a variance."""
    return float(len(prompts) ** 2 / np.sum(np.bincount(prompts).astype(float) ** 2))


def first_half(prompts: np.ndarray) -> np.ndarray:
    """Returns which images are of the first half: prompts with all their images, so that both halves are alike."""
    counts, sizes = np.bincount(prompts), [0, 0]
    is_first = np.zeros(len(counts), dtype=bool)
    for prompt in np.argsort(-counts, kind="stable"):
        is_first[prompt] = sizes[0] <= sizes[1]
        sizes[0 if is_first[prompt] else 1] += counts[prompt]
    return is_first[prompts]


def squared_products(values: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Returns Σ_p (Σ_i v_i v_iᵀ)² over prompts p and their images i, squared element by element.

    Args:
        values: n,d.
        prompts: the number of each row's prompt.

    Returns:
        d,d.
    """
    order, counts = np.argsort(prompts, kind="stable"), np.bincount(prompts)
    starts, total = np.cumsum(counts) - counts, np.zeros((values.shape[1],) * 2)
    for size in np.unique(counts[counts > 0]):
        rows = order[starts[counts == size][:, None] + np.arange(size)]  # prompts, images
        if size > len(rows):
            for of_prompt in values[rows]:
                total += np.square(of_prompt.T @ of_prompt)
        else:
            for one, other in combinations_with_replacement(range(size), 2):
                both = values[rows[:, one]] * values[rows[:, other]]
                total += (1 if one == other else 2) * (both.T @ both)
    return total
