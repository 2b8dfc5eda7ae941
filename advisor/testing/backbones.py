"""Rules that every backbone keeps, each looked at on the real network with random weights, and with its own if cached.

In: a backbone. Out: one `Check` a rule. Does NOT cover: whether the features are any good.
Shapes: N images, C, H, W, D features.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from advisor import plugin_validation
from advisor.errors import BrokenPluginError, RuleError
from advisor.hooks import Backbone
from advisor.models import backbone as engine
from advisor.models import pretrained_weights
from advisor.testing.checks import Check, run

if TYPE_CHECKING:
    import torch
    from torch import nn

_TOLERANCE = 1e-4  # of the largest feature: float32 sums in another order differ by less


def check(backbone: Backbone, *, offline: bool, size_px: int | None) -> list[Check]:
    """Check every rule; later ones are left out where a network cannot be built or its stages do not fit it."""
    plain: list[Backbone] = []
    declared = run("declares what hooks.Backbone asks for", lambda: plain.append(_declared(backbone)))
    if not plain:
        return [declared]
    backbone = plain[0]
    built: list[nn.Module] = []
    checks = [declared, run("builds a network", lambda: built.append(engine.build(backbone)))]
    if not built:
        return checks
    module, size = built[0], size_px or backbone.preprocess.size
    checks += [
        run("builds the same network from the same seed", lambda: _repeatable(backbone, module)),
        run("stages cover every parameter and buffer exactly once", lambda: _cover(backbone, module)),
        run("every prefix names something", lambda: _named(backbone, module)),
    ]
    if not all(c.passed for c in checks):
        return checks
    return [
        *checks,
        run("counts its parameters truly", lambda: _count(backbone, module)),
        run("gives (N, dim) in float32", lambda: _shape(backbone, module, size)),
        run("stages composed and pooled equal the forward", lambda: _composed(backbone, module, size)),
        run("pools every stage to (N, d)", lambda: _pooled(backbone, module, size)),
        run("evaluates the same way twice, and image by image", lambda: _deterministic(backbone, module, size)),
        run("gradients reach every stage", lambda: _gradients(backbone, size)),
        run("frozen stages stand still", lambda: _frozen(backbone, module, size)),
        run("takes other input sizes", lambda: _other_sizes(backbone, module, size)),
        run("pretrained weights fill all of it", lambda: _weights(backbone, offline)),
        run("preprocessing is the weights' own", lambda: _preprocess(backbone)),
    ]


def _declared(backbone: Backbone) -> Backbone:
    """Return what the registry would make of any object with the members of a backbone; paths begin at its module."""
    module = sys.modules.get(getattr(getattr(backbone, "build", None), "__module__", None) or "")
    file = getattr(module, "__file__", None)
    try:
        return plugin_validation.backbone(backbone, Path(file).parent if file else None)
    except BrokenPluginError as reason:
        raise RuleError(str(reason)) from None


def _repeatable(backbone: Backbone, module: nn.Module) -> None:
    import torch

    again = engine.build(backbone).state_dict()
    for name, value in module.state_dict().items():
        if name not in again or not torch.equal(value, again[name]):
            raise RuleError(f"{name} differs between two builds from one seed: draw with torch's own generator only")


def _names(module: nn.Module) -> list[str]:
    return [*(n for n, _ in module.named_parameters()), *(n for n, _ in module.named_buffers())]


def _cover(backbone: Backbone, module: nn.Module) -> str:
    names = _names(module)
    owners = {n: [s.name for s in backbone.stages if engine.covers(s, n)] for n in names}
    bad = {n: o for n, o in owners.items() if len(o) != 1}
    if bad:
        name, owner = next(iter(bad.items()))
        fault = f"is in {' and '.join(owner)}" if owner else "is in no stage"
        raise RuleError(f"{name} {fault}" + (f", and {len(bad) - 1} more are wrong" if len(bad) > 1 else ""))
    return f"{len(names)} names in {len(backbone.stages)} stages"


def _named(backbone: Backbone, module: nn.Module) -> None:
    names = {*_names(module), *(n for n, _ in module.named_modules())}
    for stage in backbone.stages:
        for prefix in stage.prefixes:
            if prefix not in names:
                raise RuleError(f'stage {stage.name}: nothing in the network is called "{prefix}"')


def _count(backbone: Backbone, module: nn.Module) -> str:
    count = sum(p.numel() for p in module.parameters())
    if backbone.parameters is not None and backbone.parameters != count:
        raise RuleError(f"declares {backbone.parameters:,} parameters and has {count:,}")
    return f"{count:,} parameters"


def _images(size: int, n: int = 2) -> torch.Tensor:
    import torch

    return torch.randn((n, 3, size, size), generator=torch.Generator().manual_seed(0))


def _forward(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    import torch

    with torch.inference_mode():
        return module.eval()(images)  # type: ignore[no-any-return]


def _shape(backbone: Backbone, module: nn.Module, size: int) -> str:
    import torch

    features = _forward(module, _images(size))
    if not isinstance(features, torch.Tensor):
        raise RuleError(f"the forward gives a {type(features).__name__}, expected a tensor")
    if tuple(features.shape) != (2, backbone.dim) or features.dtype != torch.float32:
        raise RuleError(f"gives {tuple(features.shape)} {features.dtype}, expected (2, {backbone.dim}) torch.float32")
    if not bool(features.isfinite().all()):
        raise RuleError("gives features that are not finite")
    return f"(N, {backbone.dim}) at {size} px"


def _same(name: str, actual: torch.Tensor, expected: torch.Tensor) -> None:
    worst = float((actual - expected).abs().max())
    scale = max(float(expected.abs().max()), 1e-6)
    if not worst <= _TOLERANCE * scale:
        raise RuleError(f"{name} differ by {worst:.3g} where features reach {scale:.3g}")


def _composed(backbone: Backbone, module: nn.Module, size: int) -> None:
    import torch

    images = _images(size)
    with torch.inference_mode():
        composed = engine.pooled(backbone, module.eval(), images)[-1]
    _same("the last pool and the forward", composed, _forward(module, images))


def _pooled(backbone: Backbone, module: nn.Module, size: int) -> str:
    import torch

    with torch.inference_mode():
        features = engine.pooled(backbone, module.eval(), _images(size))
    for stage, value in zip(backbone.stages, features, strict=True):
        if value.ndim != 2 or len(value) != 2 or not bool(value.isfinite().all()):
            raise RuleError(f"stage {stage.name} pools to {tuple(value.shape)}, expected finite (2, d)")
    return " ".join(str(f.shape[1]) for f in features)


def _deterministic(backbone: Backbone, module: nn.Module, size: int) -> None:
    import torch

    images, before = _images(size), {name: value.clone() for name, value in module.state_dict().items()}
    first = _forward(module, images)
    if not torch.equal(images, _images(size)):
        raise RuleError("the forward changes the images that it is given: use no operation in place on its input")
    changed = next((n for n, v in module.state_dict().items() if not torch.equal(v, before[n])), None)
    again = _forward(module, images)
    if not torch.equal(first, again) and changed is not None:
        raise RuleError(f"two evaluations of the same images differ: the forward changes {changed} in eval mode")
    if not torch.equal(first, again):
        raise RuleError("two evaluations of the same images differ: something random runs in eval mode")
    _same("an image alone and in a batch", _forward(module, images[:1]), first[:1])
    _same("an image in a batch of three and of two", _forward(module, torch.cat([images, images[:1]]))[:2], first)


# ---- training ----------------------------------------------------------------------------------------------------


def _gradients(backbone: Backbone, size: int) -> None:
    import torch

    trained = engine.build(backbone).train()  # the same weights; not every network can be copied
    for name, parameter in trained.named_parameters():
        if parameter.is_complex():
            raise RuleError(f"{name} is {parameter.dtype}, expected real numbers: hold torch.view_as_real of it")
    features = trained(_images(size, n=4))
    torch.autograd.backward((features * features).mean())
    for stage, owned in zip(backbone.stages, engine.parameters_by_stage(backbone, trained), strict=True):
        if owned and not any(p.grad is not None and bool(p.grad.any()) for _, p in owned):
            raise RuleError(f"no gradient reaches stage {stage.name}")


def _frozen(backbone: Backbone, module: nn.Module, size: int) -> str:
    import torch

    tuned = engine.build(backbone).train()
    stages = engine.parameters_by_stage(backbone, tuned)
    last = max((i for i, owned in enumerate(stages) if owned), default=0)
    for index, inside in enumerate(engine.modules_by_stage(backbone, tuned)):
        for _, part in inside:
            part.train(index == last)
    for parameter in tuned.parameters():
        parameter.requires_grad_(False)
    for _, parameter in stages[last]:
        parameter.requires_grad_(True)
    features = engine.run(backbone, tuned, _images(size, n=4))
    pooled = backbone.pool(tuned, len(backbone.stages) - 1, features)
    torch.autograd.backward((pooled * pooled).mean())
    with torch.no_grad():
        for _, parameter in stages[last]:
            if parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad.sgn())  # of complex numbers as well
    _moved(backbone, module, tuned, backbone.stages[last].name)
    return f"while {backbone.stages[last].name} trains"


def _moved(backbone: Backbone, before: nn.Module, after: nn.Module, trained: str) -> None:
    import torch

    now = after.state_dict()
    moved = [n for n, v in before.state_dict().items() if not torch.equal(v, now[n])]
    strays = [n for n in moved if backbone.stages[engine.stage_index(backbone, trained)] not in _owners(backbone, n)]
    if strays:
        raise RuleError(f"{strays[0]} moved though its stage was frozen")
    if not moved:
        raise RuleError(f"nothing moved though stage {trained} was trained")


def _owners(backbone: Backbone, name: str) -> list[object]:
    return [s for s in backbone.stages if engine.covers(s, name)]


# ---- sizes and weights -------------------------------------------------------------------------------------------


def _other_sizes(backbone: Backbone, module: nn.Module, size: int) -> str:
    refused = []
    for other in (round(size * 0.75), size + size // 4):
        try:
            shape = tuple(_forward(module, _images(other, n=1)).shape)
        except Exception as error:  # input size is a knob; a network without it says so and is used at its own size
            refused.append(f"not {other} px ({type(error).__name__}: {' '.join(str(error).split())[:120]})")
            continue
        if shape != (1, backbone.dim):
            raise RuleError(f"gives {shape} at {other} px, expected (1, {backbone.dim})")
    if len(refused) == 2 and backbone.size_multiple % size:
        refused.append(f"Backbone(size_multiple={size}) keeps it at {size} px, whatever the size of the images")
    return "; ".join(refused)


def _weights(backbone: Backbone, offline: bool) -> str:
    located = pretrained_weights.locate(backbone, offline=offline)
    if located.state == "downloadable":
        located = pretrained_weights.fetch(backbone)
    if located.path is None:
        return f"not looked at: {located.reason}"
    tensors, digest, warning = pretrained_weights.read(backbone, located)
    module = engine.build(backbone, tensors)
    _shape(backbone, module, backbone.preprocess.size)
    return warning or f"{located.path.name}, SHA-256 {digest[:8]}"


def _preprocess(backbone: Backbone) -> str:
    source = pretrained_weights.as_weights(backbone)
    published = _torchvision_preprocess(source.url) if source is not None and source.url else None
    if published is None:
        return "not looked at: only torchvision's files state theirs"
    rule = backbone.preprocess
    declared = (rule.size, rule.resize, rule.interpolation, tuple(rule.mean), tuple(rule.std))
    if declared != published:
        raise RuleError(f"declares {declared}, the weights were made with {published}")
    return "as torchvision states it"


def _torchvision_preprocess(url: str) -> tuple[object, ...] | None:
    from torchvision import models

    for name in models.list_models(module=models):
        for entry in models.get_model_weights(name):
            if entry.url == url:
                t = entry.transforms()
                return (t.crop_size[0], t.resize_size[0], t.interpolation.value, tuple(t.mean), tuple(t.std))
    return None
