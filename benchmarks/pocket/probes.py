"""Linear probes on features_ND: ridge with exact leave-one-out, and logistic regression for plain pixels.

In: training features and labels, test features and labels. Out: test accuracy, 0..1. Strengths are chosen on the
training images alone. Source of the closed form: Golub, Heath and Wahba 1979.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

STRENGTHS = np.logspace(-4, 2, 13)  # of the mean eigenvalue
DECAYS = (1e-3, 1e-2, 1e-1, 1.0)


def standardise(train_ND: np.ndarray, test_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale both by the training images' statistics; near-constant columns are left small."""
    mean_D, std_D = train_ND.mean(0), train_ND.std(0)
    std_D = np.maximum(std_D, 1e-2 * std_D.mean() + 1e-8)
    return (train_ND - mean_D) / std_D, (test_ND - mean_D) / std_D


def ridge(train_ND: np.ndarray, train_N: np.ndarray, test_ND: np.ndarray, test_N: np.ndarray) -> float:
    """Fit one-against-rest ridge; the strength with the best leave-one-out accuracy on the training images."""
    a_ND, b_ND = standardise(train_ND.astype(np.float32), test_ND.astype(np.float32))
    targets_NK = np.eye(train_N.max() + 1, dtype=np.float32)[train_N]
    offset_K = targets_NK.mean(0)
    centred_NK = targets_NK - offset_K
    if len(a_ND) >= a_ND.shape[1]:
        values, right = np.linalg.eigh((a_ND.T @ a_ND).astype(np.float64))
        left = None
    else:
        values, left = np.linalg.eigh((a_ND @ a_ND.T).astype(np.float64))
        right = a_ND.T @ left / np.sqrt(np.maximum(values, 1e-12))
    keep = values > values.max() * 1e-7
    values, right = values[keep], right[:, keep].astype(np.float32)
    left = a_ND @ right / np.sqrt(values).astype(np.float32) if left is None else left[:, keep].astype(np.float32)
    projected = left.T @ centred_NK
    best = (-1.0, np.zeros((a_ND.shape[1], 1), np.float32))
    for strength in STRENGTHS * values.mean() * 10:
        shrink = (values / (values + strength)).astype(np.float32)
        leverage_N1 = (left**2 @ shrink + 1 / len(a_ND))[:, None]
        fitted_NK = left @ (shrink[:, None] * projected)
        out_NK = centred_NK - (centred_NK - fitted_NK) / np.maximum(1 - leverage_N1, 1e-6)
        score = float(((out_NK + offset_K).argmax(1) == train_N).mean())
        if score >= best[0]:  # of equals the strongest
            best = (score, right @ ((shrink / np.sqrt(values).astype(np.float32))[:, None] * projected))
    return float(((b_ND @ best[1] + offset_K).argmax(1) == test_N).mean())


def logistic(train_ND: np.ndarray, train_N: np.ndarray, test_ND: np.ndarray, test_N: np.ndarray) -> float:
    """Fit softmax regression by L-BFGS; the decay that is best on a fifth of the training images, then all of them."""
    a, b = (torch.from_numpy(x) for x in standardise(train_ND.astype(np.float32), test_ND.astype(np.float32)))
    labels_N = torch.from_numpy(train_N)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(a)))
    held, used = order[: len(a) // 5], order[len(a) // 5 :]
    scores = []
    for decay in DECAYS:
        weight, bias = _fit(a[used], labels_N[used], decay)
        scores.append(float(((a[held] @ weight + bias).argmax(1) == labels_N[held]).float().mean()))
    weight, bias = _fit(a, labels_N, DECAYS[int(np.argmax(scores))])
    return float(((b @ weight + bias).argmax(1).numpy() == test_N).mean())


def _fit(a_ND: torch.Tensor, labels_N: torch.Tensor, decay: float) -> tuple[torch.Tensor, torch.Tensor]:
    classes = int(labels_N.max()) + 1
    weight = torch.zeros(a_ND.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = functional.cross_entropy(a_ND @ weight + bias, labels_N) + 0.5 * decay * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return weight.detach(), bias.detach()
