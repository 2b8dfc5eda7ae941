"""A map of the pool's images in two dimensions by their frozen features, and similar images with other labels.

In: resources and a candidate whose features are read. Out: points for the report's map, and for some rows the neighbours that
speak against their label. t-SNE where there is time for it, else the first two principal components.
Does NOT cover: drawing. Source: van der Maaten and Hinton 2008; the time of t-SNE was measured, see `TSNE_S_EACH`.
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import Float32s, Float64s, Rows
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.insight import suspects
from advisor.records.insight_messages import FeaturesMapped, MapFeatures
from advisor.runtime import rng

MOST = 2_000  # points: a random part of a larger pool
COMPONENTS = 30  # that t-SNE reads
LEAST_TSNE, TSNE_S_EACH = (
    50,
    0.01,
)  # images; seconds per image that are taken for granted (half of that on an idle core)
UNBOUNDED_S = 20.0  # for t-SNE where there is no limit


def measure(resources: Resources, job: MapFeatures) -> FeaturesMapped:
    """Map the images to the plane, and list the opposing neighbours of the rows that are asked for."""
    plan = resources.plan(job.candidate, np.arange(len(resources.labels)))
    backbone = resources.registry.backbone(job.candidate.backbone)
    features, _ = trainer.head_features(resources, backbone, job.candidate, plan)
    rows = np.sort(rng.permutation(job.seed, "feature map", 0, len(features))[:MOST])
    limit_s = UNBOUNDED_S if job.limit_s is None else job.limit_s
    points, method = lay_out(features[rows], limit_s)
    asked = np.array(job.rows, dtype=np.int64)
    opposing = suspects.opposing(features, resources.labels, asked) if len(asked) else []
    return FeaturesMapped(
        points=tuple((int(row), float(x), float(y)) for row, (x, y) in zip(rows, points, strict=True)),
        neighbours=tuple(tuple(near) for near in opposing),
        method=method,
    )


def lay_out(features_ND: Float32s, limit_s: float) -> tuple[Float64s, str]:
    """Return a position (N, 2) for each row, and how it was computed; deterministic."""
    components = _principal(features_ND)
    if len(components) < LEAST_TSNE or len(components) * TSNE_S_EACH > limit_s:
        return components[:, :2], "principal components"
    from sklearn.manifold import TSNE

    start = components[:, :2] / max(float(components[:, 0].std()), 1e-12) * 1e-4
    tsne = TSNE(init=start, perplexity=min(30.0, len(components) / 4), random_state=0, n_jobs=1)
    return np.asarray(tsne.fit_transform(components), dtype=np.float64), "t-SNE"


def _principal(features_ND: Float32s) -> Float64s:
    """Return the first principal components (N, at least 2) of unit rows, from a factorization of the smaller side."""
    x = np.asarray(features_ND, dtype=np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    x = x - x.mean(axis=0)
    gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x
    values, vectors = np.linalg.eigh(gram)
    order: Rows = np.argsort(-values)[:COMPONENTS]
    scores = (
        vectors[:, order] * np.sqrt(np.maximum(values[order], 0.0)) if len(x) <= x.shape[1] else x @ vectors[:, order]
    )
    return np.asarray(np.pad(scores, ((0, 0), (0, max(0, 2 - scores.shape[1])))))
