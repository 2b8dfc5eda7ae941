"""What a coordinator publishes in a shared study, so that a worker elsewhere can join: the data set, the plugins, the pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One search, as it is offered to workers. `plugins` maps an entry point to "distribution version".

    `pool` are the paths of the images that trials see, zlib and base64; `lease_s` is how long a worker may be silent.
    """

    version: str
    fingerprint: str
    test_split: str
    plugins: dict[str, str]
    weights: dict[str, str]  # SHA-256 by backbone, of those that trials may use
    classes: tuple[str, ...]
    pool: str
    folds: int
    seed: int
    has_groups: bool
    lease_s: float
