"""Whether the stated errors of FID and of its paired differences are what repetition shows: a simulation.

    OMP_NUM_THREADS=1 python benchmarks/errors.py    # 2,000 repetitions a case, a quarter of an hour
    python benchmarks/errors.py --repetitions 200

Two configurations with the same covariance as the real images, whose features share .8 of their variance; the FID of
one is larger by .5. Features are Gaussian, or heavy-tailed (each image's by Student's t of 8 degrees); in one case
eight images share a prompt, and with it half of what they share. Beside each other: the error with what influences'
own noise adds to it, and without, as ratio to the spread over repetitions; how often 95 % intervals cover; and the mean
of the larger FID, which is 1.5, as computed, less its bias, and as it is shown.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from simulated import drawn, in_common, of_a_configuration, standard_normal_images

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.evaluate import evaluate
from fashion_sweep.metrics.fid import FID
from fashion_sweep.metrics.metric import Estimate, RealImages
from fashion_sweep.statistics.comparison import Candidate, Comparison, Influence, measure

DIFFERENCE = 0.5
EVALUATION = load_run_config("exp2", "tiny").preset.evaluation


@dataclass(frozen=True)
class Case:
    """So many images of d features; `freedom` of Student's t, None for Gaussian; images of one prompt."""

    images: int
    dimension: int
    freedom: float | None = None
    of_a_prompt: int = 1

    @property
    def name(self) -> str:
        tails = f", t of {self.freedom:g}" if self.freedom else ""
        return f"n={self.images}, d={self.dimension}{tails}" + (
            f", {self.of_a_prompt} a prompt" if self.of_a_prompt > 1 else ""
        )


CASES = [
    *(Case(n, d, freedom) for n, d in ((256, 64), (1024, 64), (1024, 32), (4096, 64)) for freedom in (None, 8.0)),
    Case(160, 64),
    Case(2048, 32, None, 8),
]


def estimate(features: np.ndarray, groups: np.ndarray) -> Estimate:
    """Estimates FID as a trial does, from real images of mean 0 and covariance 1."""
    kept, given = {"features": features}, standard_normal_images(features.shape[1])
    return evaluate([FID], kept, RealImages(kept, given), EVALUATION, groups)["fid"]


def repeated(case: Case, repetitions: int) -> tuple[list[float], list[float], list[float]]:
    """Returns the ratio of errors to the spread, and the coverage; first as influences say it, then less their noise.
    Then the mean of the larger FID as computed, less its usual bias, and as shown."""
    generator = np.random.default_rng(0)
    groups = np.arange(case.images) // case.of_a_prompt
    values, naive, stated = np.empty((3, repetitions))
    larger = np.empty((repetitions, 3))
    for index in range(repetitions):
        shared = in_common(generator, groups, case.dimension, case.freedom)
        candidates = []
        for number, fid in enumerate((1.0 + DIFFERENCE, 1.0)):
            own = drawn(generator, case.images, case.dimension, case.freedom)
            features = of_a_configuration(shared, own)
            features[:, 0] += np.sqrt(fid)
            candidates.append(Candidate(str(number), number, [{"fid": estimate(features, groups)}]))
        fid = candidates[0].by_seed[0]["fid"]
        larger[index] = fid.value, fid.value - fid.bias, fid.value - fid.bias - fid.rest
        comparison = Comparison([measure(one, [FID]) for one in candidates], groups, [FID])
        difference = comparison.difference("fid", *comparison.measured)
        influence = comparison.measured[0].metrics["fid"].influence - comparison.measured[1].metrics["fid"].influence
        values[index], stated[index] = difference.value, difference.image_variance
        naive[index] = comparison.image_variance(Influence(influence.whole, None))
    ratios = [float(np.sqrt(one.mean()) / values.std(ddof=1)) for one in (naive, stated)]
    covered = [float(np.mean(np.abs(values - DIFFERENCE) < 1.96 * np.sqrt(one))) for one in (naive, stated)]
    return ratios, covered, list(larger.mean(axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    known = parser.parse_args()
    table = Table(
        "images",
        "naive error",
        "covers",
        "stated error",
        "covers",
        "FID of 1.5",
        "less bias",
        "shown",
        title="errors of a paired FID difference",
    )
    for case in CASES:
        (naive, stated), (naive_covers, covers), means = repeated(case, known.repetitions)
        errors = [f"{naive:.2f}", f"{naive_covers:.1%}", f"{stated:.2f}", f"{covers:.1%}"]
        table.add_row(case.name, *errors, *(f"{mean:.2f}" for mean in means))
    Console().print(table)


if __name__ == "__main__":
    main()
