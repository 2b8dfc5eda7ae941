"""First-party strategies: heads on frozen features, fine-tuning in its variants, training from scratch.

One family a file: `frozen`, `finetune`, `staged` (who trains when), `narrow` (norms, biases, one stage), `anchored`
(held near the start), `scratch`. Parameters that they share are in `knobs`. Nothing here imports torch.
"""

from __future__ import annotations

from advisor.hooks import Strategy, hookimpl


@hookimpl
def advisor_strategies() -> list[Strategy]:
    """Offer the first-party strategies."""
    from advisor_strategies import anchored, finetune, frozen, narrow, scratch, staged

    families = (frozen, finetune, staged, narrow, anchored, scratch)
    return [strategy for family in families for strategy in family.STRATEGIES]
