"""Folds: scikit-learn is the referee, row for row."""

import numpy as np
import pytest

from service.ingest.splits.assignment import FIRST_FOLD, TEST, by_group_folds, parts_of_fold
from service.ingest.splits.column_values import Labels
from service.ingest.splits.folds import deal_groups, draw_folds

DRAW = np.random.RandomState(1)
CLASSES = DRAW.choice(5, 203, p=[0.3, 0.25, 0.2, 0.15, 0.1])


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("seed", [0, 7])
def test_folds_are_drawn_as_scikit_learn_draws_them(folds: int, seed: int) -> None:
    from sklearn.model_selection import KFold, StratifiedKFold

    for classes, splitter in ((0, KFold), (5, StratifiedKFold)):
        found = draw_folds(CLASSES, folds, seed, classes)
        theirs = splitter(folds, shuffle=True, random_state=seed).split(CLASSES[:, None], CLASSES)
        for fold, (_, held_out) in enumerate(theirs):
            assert np.flatnonzero(found == fold).tolist() == held_out.tolist()
        sizes = np.bincount(found)
        assert sizes.max() == -(-len(CLASSES) // folds)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_groups_are_dealt_as_scikit_learn_deals_them(folds: int) -> None:
    from sklearn.model_selection import GroupKFold

    for seed in range(5):
        groups = np.random.RandomState(seed).randint(0, 15, 200)
        found = deal_groups(groups, folds)
        for fold, (_, held_out) in enumerate(GroupKFold(folds).split(groups, groups=groups)):
            assert np.flatnonzero(found == fold).tolist() == held_out.tolist()


def test_a_test_part_of_groups_is_in_no_fold() -> None:
    groups = np.random.RandomState(0).randint(0, 20, 300)
    labels = Labels(tuple(map(str, range(20))), groups)
    parts = by_group_folds(labels, 0.2, 3, "g", 4)
    owners = [set(groups[parts == code]) for code in (TEST, *range(FIRST_FOLD, FIRST_FOLD + 4))]
    assert len(owners[0]) == 4
    assert sum(map(len, owners)) == len(set.union(*owners)) == 20
    held_out = [parts_of_fold(parts, fold) for fold in range(4)]
    assert sum((each == 1).sum() for each in held_out) == (parts != TEST).sum()
    assert all(((each == 2) == (parts == TEST)).all() for each in held_out)
