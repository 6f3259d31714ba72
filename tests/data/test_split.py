from pathlib import Path

from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.split import evaluation_order, split


def catalogue(count: int) -> Catalogue:
    return Catalogue(tuple(Record(f"{i:03d}", Path("x"), "c", 2, 3) for i in range(count)), 0, ())


def test_the_split_is_95_to_5_without_overlap_and_by_seed():
    training, validation = split(catalogue(200), 0.05, seed=0)
    assert (len(training), len(validation)) == (190, 10)
    assert {record.name for record in [*training, *validation]} == {f"{i:03d}" for i in range(200)}
    assert split(catalogue(200), 0.05, seed=0) == (training, validation)
    assert split(catalogue(200), 0.05, seed=1)[1] != validation


def test_the_first_n_evaluation_samples_are_the_same_whatever_n():
    assert evaluation_order(catalogue(50), 0)[:10] == evaluation_order(catalogue(50), 0)[:10]
    assert evaluation_order(catalogue(50), 0) != list(catalogue(50).records)


def test_the_original_size_is_the_most_common_one():
    records = [Record(str(i), Path("x"), "c", 750, 1101 if i else 900) for i in range(3)]
    assert Catalogue(tuple(records), 0, ()).original_size == (1101, 750)
