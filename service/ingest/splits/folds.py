"""k-fold cross-validation: which fold holds a row out. Row for row as scikit-learn's splitters do it."""

import numpy as np
import numpy.typing as npt

Folds = npt.NDArray[np.int64]  # (N,): 0 to k - 1


def draw_folds(y: npt.NDArray[np.generic], folds: int, seed: int, classes: int) -> Folds:
    """Return folds of equal size, drawn at random: stratified by y (N,), unless `classes` is 0.

    As `StratifiedKFold` or `KFold(folds, shuffle=True, random_state=seed)`.
    """
    draw = np.random.RandomState(seed)
    if not classes:
        order = draw.permutation(len(y))
        found = np.empty(len(y), np.int64)
        for fold, rows in enumerate(np.array_split(order, folds)):
            found[rows] = fold
        return found
    _, first, index = np.unique(y, return_index=True, return_inverse=True)
    appearance = np.argsort(np.argsort(first))[index]  # classes by their first row
    ordered = np.sort(appearance)
    counts = np.array([np.bincount(ordered[fold::folds], minlength=len(first)) for fold in range(folds)])
    found = np.empty(len(y), np.int64)
    for label in range(len(first)):
        dealt = np.arange(folds).repeat(counts[:, label])
        draw.shuffle(dealt)
        found[appearance == label] = dealt
    return found


def deal_groups(group: npt.NDArray[np.int64], folds: int) -> Folds:
    """Return folds of whole groups (N,): the largest group goes into the lightest fold, as with `GroupKFold`."""
    _, index = np.unique(group, return_inverse=True)
    sizes = np.bincount(index)
    weights = np.zeros(folds)
    fold_of = np.empty(len(sizes), np.int64)
    for at in np.argsort(sizes, kind="stable")[::-1]:
        fold_of[at] = lightest = int(np.argmin(weights))
        weights[lightest] += sizes[at]
    return fold_of[index]
