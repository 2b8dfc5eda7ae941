"""Usable backbones -> probes, cheapest first, and from them the backbones and input sizes that the search visits.

In: a run. Out: its probes, written to probes.json; the untuned default, fixed from cards before the first of them.
A probe is a closed-form head on frozen features, scored out of fold: seconds, and a strong floor for everything deeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from advisor.errors import InputError
from advisor.hooks import Backbone, Strategy
from advisor.records import Candidate, Trial
from advisor.records.messages import Probe, Probed
from advisor.records.trials import DEFAULT
from advisor.runtime import durations
from advisor.tuning import budget, candidates, cost_model, policy
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchFacts, SearchState

QUICK = "ridge"  # the head of a probe: one factorization scores all of its strengths


def default(state: SearchState, backbones: Sequence[Backbone]) -> Candidate:
    """Fix the untuned default from cards alone: backbone, the prior regime's strategy, its first guess.

    Where the budget affords no training at all, it is the head of a frozen backbone.
    Raises InputError where no strategy that may be used applies to any of the backbones.
    """
    budget_s = state.settings.budget_s
    for regime_name in (state.regime.name, "feature_extraction"):
        choice = candidates.default_strategy(replace(state.regime, name=regime_name), state.strategies, state.images)
        guesses = {b.name: guess for b in backbones if (guess := _first_guess(state, b, choice)) is not None}
        if not guesses:
            continue
        # Searching and refitting cost about two trainings.
        cost_s = {name: 2.0 * cost_model.card_s(state, guess, state.images) for name, guess in guesses.items()}
        chosen = candidates.default_backbone([b for b in backbones if b.name in guesses], cost_s, budget_s)
        fits = budget_s is None or cost_s[chosen.name] <= policy.DEFAULT_WORK_SHARE * budget_s
        if fits or regime_name == "feature_extraction":
            return guesses[chosen.name]
    raise InputError(f"no strategy that may be used applies here: {_why_not(state, backbones[0])}.")


def _why_not(state: SearchState, backbone: Backbone) -> str:
    context = state.context(backbone.name, state.sizes[backbone.name][0])
    reasons = ((name, strategy.applies(context)) for name, strategy in state.strategies.items())
    return "; ".join(f"{name}: {reason}" for name, reason in reasons if reason)


def _first_guess(state: SearchState, backbone: Backbone, strategy: str) -> Candidate | None:
    size_px = state.sizes[backbone.name][0]  # nearest to the images' own; others must earn their cost
    guesses = candidates.guesses(
        {strategy: state.registry.strategy(strategy)},
        state.context(backbone.name, size_px),
        backbone=backbone.name,
        size_px=size_px,
    )
    return replace(guesses[0], origin=DEFAULT) if guesses else None


def probe_all(run: SearchRun, backbones: Sequence[Backbone]) -> None:
    """Probe every backbone and size, cheapest first, within the probes' share of the budget; at least one."""
    run.probes = list(run.rundir.read("probes.json", list[Trial]) or [])
    done = {BackboneAtSize.of(p.candidate) for p in run.probes}
    cost_s = _pass_costs(run.facts, backbones)
    allowed_s = policy.PROBES_SHARE * (run.facts.settings.budget_s or policy.UNBOUNDED_BUDGET_S)
    spent_s = 0.0
    for at, card_s in sorted(cost_s.items(), key=lambda kv: (kv[1], kv[0])):
        needed_s = card_s * (run.speeds.passes.ratio(at.name) if run.facts.has_deadline else 1.0)
        if spent_s and spent_s + needed_s > allowed_s:
            run.listener.note(f"{at.name} at {at.size_px} px is not probed: it would take {durations.words(needed_s)}")
            continue
        spent_s += needed_s
        if at not in done:
            _probe(run, at, card_s)
    if run.probes and not run.rundir.recipe.exists():  # killed between a probe and its recipe
        run.on_better(run, min(run.probes, key=lambda p: (p.log_loss, p.number)))


def _pass_costs(facts: SearchFacts, backbones: Sequence[Backbone]) -> dict[BackboneAtSize, float]:
    """Predict from cards the seconds of one pass over the pool, for every backbone and size."""
    return {
        BackboneAtSize(b.name, size): budget.extraction_s(
            facts.images, budget.at_size(b.macs, b.preprocess.size, size), facts.device
        )
        for b in backbones
        for size in facts.sizes[b.name]
    }


def _probe(run: SearchRun, at: BackboneAtSize, predicted_s: float) -> None:
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
        timed=run.facts.has_deadline,
    )
    probed = run.ask(job, Probed)
    if probed.images_per_s:  # the pass alone, without the start of a process
        run.speeds.passes.learn(at.name, predicted_s, run.facts.images / probed.images_per_s)
    run.record_probes(probed.trials)


def _heads(facts: SearchFacts) -> dict[str, Strategy]:
    """Choose the probe's head: ridge, also where a person allows only other strategies, since they start from it."""
    if QUICK in facts.registry.strategies:
        return {QUICK: facts.registry.strategies[QUICK]}
    return {n: s for n, s in facts.registry.strategies.items() if s.regime == "feature_extraction"}


def shortlist(state: SearchState) -> list[BackboneAtSize]:
    """Rank backbones and sizes by their best probe: all sizes of the best few and of the most accurate published one."""
    best: dict[BackboneAtSize, float] = {}
    for probe in state.probes:
        at = BackboneAtSize.of(probe.candidate)
        best[at] = min(best.get(at, float("inf")), probe.log_loss)
    ranked = sorted(best, key=lambda at: (best[at], at))
    names = list(dict.fromkeys(at.name for at in ranked))
    published = max(names, key=lambda n: (state.registry.backbone(n).published_accuracy or 0.0, n), default=None)
    chosen = {*names[: policy.SHORTLIST], published}
    return [at for at in ranked if at.name in chosen]
