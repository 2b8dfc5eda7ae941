"""Read a data set for a command that cuts its own test or folds: every file decoded, similar images kept together.

In: settings and the seconds that the whole command has. Out: the data set without broken files, similar images joined, and
the sets of them. The one way in for the main job and for commands without a search. Does NOT cover: finding and joining
(`data.profile`), corrected labels, what a recipe recorded (`workflows.finished.recorded_data`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from advisor.aliases import NamedProgress, Note
from advisor.data import dataset, profile
from advisor.data.similarity import crops, joining
from advisor.records import Dataset, DuplicateGroup, Settings
from advisor.runtime import cache

Join = Callable[[Dataset, Sequence[DuplicateGroup]], Dataset]


def read(
    settings: Settings,
    *,
    budget_s: float | None,
    note: Note,
    stage: Note,
    report: NamedProgress,
    join: Join = joining.join,
) -> profile.Decoded:
    """Read, decode and join a data set; `budget_s` bounds the search for crops, None where the command has no limit.

    `note` hears what a person should know, `stage` what begins. Raises DatasetError where nothing can be learned.
    """
    data_set = dataset.read(
        settings.data,
        test_split=settings.test_split,
        options=settings.reading,
        note=note,
        offline=settings.offline,
        progress=partial(report, "read"),
    )
    profile.check_learnable(data_set)
    extent = crops.extent_within(len(data_set.items), budget_s)
    if not extent.parts:
        note(
            f"crops of one image are not searched for among {len(data_set.items):,} images, only mirror images: a longer "
            "--budget has time"
        )
    decoding = partial(report, "decode")
    return profile.decode(data_set, store=cache.Store(), progress=decoding, extent=extent, stage=stage, join=join)
