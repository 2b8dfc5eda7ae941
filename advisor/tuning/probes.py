"""Probes made: one frozen pass, and a closed-form head on its features, scored out of fold.

In: a run, a backbone and size. Out: `run.probes`, written to probes.json. A probe takes seconds, and is a strong floor for
everything that trains more. Does NOT cover: which are made, in which order (decisions/probe_order.py).
"""

from __future__ import annotations

from dataclasses import replace

from advisor.errors import TooSlowError
from advisor.hooks import Strategy
from advisor.records import Trial
from advisor.records.messages import Probe, Probed
from advisor.tuning import candidates
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.faults import left_out
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchFacts

QUICK = "ridge"  # the head of a probe: one factorization scores all of its strengths


def read(run: SearchRun) -> None:
    """Read the probes that an earlier process of this run made."""
    run.probes = list(run.rundir.read("probes.json", list[Trial]) or [])


def keep_best(run: SearchRun) -> None:
    """Write the best probe's recipe where a kill came between a probe and its recipe."""
    if run.probes and not run.rundir.recipe.exists():
        run.on_better(run, min(run.probes, key=lambda p: p.rank))


def make(run: SearchRun, at: BackboneAtSize, predicted_s: float, limit_s: float | None = None) -> None:
    """Probe a backbone at one size; `predicted_s` are the seconds that cards predict for its pass, `limit_s` what it may take.

    A pass that proves slower than its limit is given up: the time is needed for the end of the run.
    """
    run.listener.stage(f"probing {at.name} at {at.size_px} px")
    context = run.state().context(*at)
    guesses = candidates.guesses(_heads(run.facts), context, backbone=at.name, size_px=at.size_px, each=2)
    if not guesses:
        return
    job = Probe(
        backbone=at.name,
        candidates=tuple(replace(g, origin="probe") for g in guesses),
        first_number=-len(run.probes) - 1,
        seed=run.facts.settings.seed,
        timed=True,
        limit_s=limit_s,
    )
    try:
        probed = run.ask_about(at.name, job, Probed, limit_s=limit_s)
    except left_out.NETWORK_FAILURES as error:
        left_out.add_network(run, at.name, error, at.size_px)
        return
    except TooSlowError as error:
        run.rundir.log("probe stopped", at_s=run.clock.used_s, at=f"{at.name} at {at.size_px} px", error=str(error))
        return
    if probed.images_per_s:  # the pass alone, without the start of a process
        run.observe_slowdown()
        run.speeds.observe_pass(at.name, predicted_s, run.facts.images / probed.images_per_s)
        run.speeds.observe_decoding(probed.decode_s)
        run.write_speeds()  # before the probe: one that a kill makes again is one more reading
    run.record_probes(probed.trials)


def _heads(facts: SearchFacts) -> dict[str, Strategy]:
    """Choose the probe's head: ridge, also where a person allows only other strategies, since they start from it."""
    if QUICK in facts.registry.strategies:
        return {QUICK: facts.registry.strategies[QUICK]}
    return {n: s for n, s in facts.registry.strategies.items() if s.regime == "feature_extraction"}
