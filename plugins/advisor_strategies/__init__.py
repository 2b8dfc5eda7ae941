"""First-party strategies: heads on frozen features, fine-tuning in its variants, adaptation, training from scratch.

One family a file: `frozen`, `finetune`, `staged` (who trains when), `narrow` (norms, biases, one stage), `lora` (low-rank
updates), `anchored` (held near the start), `episodic` (few-shot), `adapt` (to a target domain), `distill` (from a larger
model), `scratch`. Parameters
that they share are in `knobs`. Nothing here imports torch, except what a plan names: terms and `low_rank`.
"""

from __future__ import annotations

from advisor.hooks import Strategy, hookimpl


@hookimpl
def advisor_strategies() -> list[Strategy]:
    """Offer the first-party strategies."""
    from advisor_strategies import adapt, anchored, distill, episodic, finetune, frozen, lora, narrow, scratch, staged

    families = (frozen, finetune, staged, narrow, lora, anchored, episodic, adapt, distill, scratch)
    return [strategy for family in families for strategy in family.STRATEGIES]
