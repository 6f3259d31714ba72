"""Features of generated images as simulations draw them, beside real images whose distribution is known."""

import numpy as np

SHARED = 0.8
"""The share of their variance that configurations have in common, which draw the same prompts from the same noise."""


def drawn(generator: np.random.Generator, rows: int, columns: int, freedom: float | None = None) -> np.ndarray:
    """Draws features (rows, columns) of variance 1: Gaussian, or with tails of Student's t, the same for an image."""
    values = generator.standard_normal((rows, columns))
    if freedom is not None:
        values *= np.sqrt((freedom - 2) / generator.chisquare(freedom, (rows, 1)))
    return values


def in_common(
    generator: np.random.Generator, prompts: np.ndarray, columns: int, freedom: float | None = None
) -> np.ndarray:
    """Draws what configurations share of each image; images of one prompt have half of it in common."""
    shared = drawn(generator, len(prompts), columns, freedom)
    if prompts[-1] + 1 == len(prompts):
        return shared
    return np.sqrt(0.5) * (shared + drawn(generator, prompts[-1] + 1, columns, freedom)[prompts])


def of_a_configuration(shared: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Puts together what an image has in common with those of other configurations, and what is its own."""
    return np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own


def standard_normal_images(columns: int) -> dict[str, np.ndarray]:
    """Returns what is known of real images of mean 0 and covariance 1, as metrics ask for it."""
    return {"fid.mean": np.zeros(columns), "fid.covariance": np.eye(columns), "fid.count": np.array(10**9)}
