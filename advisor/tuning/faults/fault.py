"""One thing that a search goes on without, and the rows and sentences that a result says it with.

In: `Fault` records. Out: `LeftOut` rows for networks, warnings for strategies. Pure. Does NOT cover: when something is
left out (`left_out`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from advisor.records import LeftOut


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A network (`backbone`), one input size of it (`size_px`) or a `strategy` that is left out; `reason` says what failed.

    `trials`: those of the strategy that cannot be trained on all images, and so cannot win; where there are none, the
    strategy is not tried any more, and what was scored before may win.
    `passing`: of a cause that may be over when the run is resumed, such as short memory.
    """

    backbone: str = ""
    size_px: int | None = None
    strategy: str = ""
    trials: tuple[int, ...] = ()
    reason: str = ""
    passing: bool = False

    def __str__(self) -> str:
        if self.trials:
            which = ", ".join(f"trial {n}" if n >= 0 else f"probe {-n}" for n in self.trials)
            which = which if len(self.trials) <= 3 else f"{len(self.trials)} trials"
            return f"strategy {self.strategy} ({which}) cannot win: it was not refitted on all images: {self.reason}"
        if self.strategy:
            return f"strategy {self.strategy} is left out: {self.reason}"
        at = f" at {self.size_px} px" if self.size_px is not None else ""
        return f"{self.backbone}{at} is left out: {self.reason}"


def rows(faults: Iterable[Fault]) -> tuple[LeftOut, ...]:
    """Return one row per reason for the networks, with their number; of a network as a whole its sizes are in it."""
    listed = list(faults)
    whole = {f.backbone for f in listed if f.backbone and f.size_px is None}
    names: dict[str, list[str]] = {}
    for fault in listed:
        if not fault.backbone or (fault.size_px is not None and fault.backbone in whole):
            continue
        reason = fault.reason if fault.size_px is None else f"at {fault.size_px} px: {fault.reason}"
        names.setdefault(reason, []).append(fault.backbone)
    return tuple(LeftOut(backbone=n[0], reason=reason, command="", count=len(n)) for reason, n in names.items())


def warnings(faults: Iterable[Fault]) -> tuple[str, ...]:
    """Return one sentence for every strategy."""
    return tuple(str(fault) for fault in faults if fault.strategy)
