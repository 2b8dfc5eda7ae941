"""What prototypes and nearest neighbours share: standardised rows, a factor that calibrates, and a fit for each fold.

Legend: N items, D features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from advisor.aliases import Bools, Float32s, Folds, Ints
from advisor.heads import standardise
from advisor.heads.kind import HeadKind, TrainingRows
from advisor.heads.outputs import predict
from advisor.metrics import classification
from advisor.records import Head


@dataclass(frozen=True)
class StandardisedRows:
    """Rows x = (features - mean) * scale. `in_company` marks items whose class has another item."""

    x_ND: Tensor
    labels_N: Tensor
    mean_D: Tensor
    scale_D: Tensor
    in_company: Bools
    labels: Ints

    @staticmethod
    def of(rows: TrainingRows) -> StandardisedRows:
        """Standardise by the mean and deviations of the rows themselves."""
        mean_D, scale_D = standardise.standardiser(rows.features, np.ones(len(rows.labels)), rows.blocks)
        x_ND = ((torch.from_numpy(np.array(rows.features, dtype=np.float32)) - mean_D) * scale_D).float()
        labels_N = torch.from_numpy(np.asarray(rows.labels, dtype=np.int64))
        in_company = torch.bincount(labels_N, minlength=rows.classes)[labels_N].numpy() > 1
        return StandardisedRows(x_ND, labels_N, mean_D, scale_D, in_company, rows.labels)

    def calibration(self, left_out_NK: Tensor) -> float:
        """Return the factor that calibrates leave-one-out scores; an item alone in its class has none."""
        return 1.0 / classification.fit_temperature(left_out_NK.numpy()[self.in_company], self.labels[self.in_company])


def fit_each_fold(kind: HeadKind, head: Head, rows: TrainingRows, folds: Folds) -> Float32s:
    """Return each validation row's logits from the head fitted on its fold's training rows, nan in other rows."""
    logits = np.full((len(rows.labels), rows.classes), np.nan, dtype=np.float32)
    for train, val in folds:
        logits[val] = predict(kind.fit(head, rows.take(train)), rows.features[val])
    return logits
