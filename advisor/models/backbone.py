"""Backbones as torch modules: build one, load tensors into it, run it stage by stage, list the parameters of a stage.

In: an `advisor.hooks.Backbone` and pretrained tensors (or none). Out: modules, activations, lists by stage. A stage's
prefix p covers a name equal to p or starting with "p." and nothing else, so `layer_1` never includes `layer_11`.
Does NOT cover: where tensors come from (`pretrained_weights`), heads, training. Shapes: N images, C, H, W, D features.
"""

from __future__ import annotations

import difflib
import itertools
from contextlib import nullcontext
from typing import Any

import torch
import torch.overrides
from torch import nn

from advisor.errors import AdviseError, BackboneError, PluginError, WeightsError, one_line
from advisor.hooks import Backbone, Stage, StageSize
from advisor.runtime import lean_imports
from advisor.runtime.process import third_party

lean_imports.install()  # before any plugin imports torchvision

# LayerNorm covers its subclasses, such as torchvision's LayerNorm2d. RMSNorm has been part of torch since 2.4.
_NORMS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
)
_DRAWS = {torch.Tensor.normal_, torch.Tensor.uniform_}  # first argument: the mean, the lower bound
_INITS = {
    getattr(nn.init, name)
    for name in (
        *("normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_"),
        *("xavier_normal_", "xavier_uniform_", "orthogonal_", "sparse_"),
    )
}


def build(
    backbone: Backbone, tensors: dict[str, torch.Tensor] | None = None, *, seed: int = 0, draw: bool = True
) -> nn.Module:
    """Build the network, in float32 and eval mode, with `tensors` loaded, or with random weights drawn from `seed`.

    Leaves torch's global generators as they were. Without `draw` the weights are left undefined, for a caller that
    overwrites all of them. With tensors, `load_state` must fill every parameter and saved
    buffer; a part that stays random is an error.
    Raises WeightsError if the tensors do not fit, PluginError if `build` itself fails.
    """
    with torch.random.fork_rng(devices=[]), nullcontext() if draw and tensors is None else _WithoutDraws():
        torch.default_generator.manual_seed(seed)
        try:
            module = backbone.build()
        except AdviseError:
            raise
        except Exception as error:
            raise PluginError(f"backbone {backbone.name}: build() failed: {one_line(error)}.") from error
    if not isinstance(module, nn.Module):
        raise PluginError(
            f"backbone {backbone.name}: build() returned a {type(module).__name__}, expected a torch.nn.Module."
        )
    if tensors is not None:
        _fill(backbone, module, tensors)
    return module.float().eval()


class _WithoutDraws(torch.overrides.TorchFunctionMode):
    """Build without drawing random weights that loading overwrites: that takes seconds for a large network.

    A constant within the distribution stands for its draws: torch's truncated normal draws again until all values are in its
    range, which memory as it was found may never be.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if func in _INITS:
            with torch.no_grad():
                return (args[0] if args else options["tensor"]).zero_()
        if func is torch.Tensor.erfinv_ and args:
            return args[0].zero_()
        if func in _DRAWS and args:
            first = args[1] if len(args) > 1 else options.get("mean", options.get("from", 0.0))
            return args[0].fill_(first)
        return func(*args, **options)


def _fill(backbone: Backbone, module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.fill_(float("nan"))  # shows what load_state left out
    try:
        with third_party.contained():
            backbone.load_state(module, tensors)
    except Exception as error:
        raise WeightsError(
            f"backbone {backbone.name}: the weights do not fit the network: {one_line(error)}.",
            hint="Download the file again, or check which file is stored under its name.",
        ) from error
    empty = [n for n, v in module.state_dict().items() if v.is_floating_point() and bool(v.isnan().any())]
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise WeightsError(
            f"backbone {backbone.name}: the weights leave {empty[0]}{more} without a value.",
            hint="The file does not belong to this network, or load_state skips a part of it.",
        )


def build_source_head(backbone: Backbone, tensors: dict[str, torch.Tensor]) -> nn.Module:
    """Build the source classifier, from the last stage's output to source-class logits, with its own tensors loaded.

    The head's parameter names are names in the weights file: exactly those that `load_state` drops are read.
    Raises WeightsError if the backbone has no source head, or the file lacks it or holds only zeros for it.
    """
    if backbone.build_source_head is None:
        raise WeightsError(
            f"backbone {backbone.name} has no source classifier, so its source accuracy cannot be measured."
        )
    head = backbone.build_source_head()
    names = list(head.state_dict())
    missing = [name for name in names if name not in tensors]
    if missing:
        raise WeightsError(
            f"the weights of {backbone.name} hold no source classifier: {missing[0]} is not in the file."
        )
    if all(not bool(tensors[n].any()) for n in names if n.endswith("weight")):
        raise WeightsError(f"the source classifier in the weights of {backbone.name} is empty (all zeros).")
    try:
        head.load_state_dict({name: tensors[name] for name in names})
    except RuntimeError as error:
        raise WeightsError(f"the source classifier of {backbone.name} does not fit: {one_line(error)}.") from error
    return head.float().eval()


# ---- running -----------------------------------------------------------------------------------------------------


def run(backbone: Backbone, module: nn.Module, x: Any, start: int = 0, stop: int | None = None) -> Any:
    """Run stages `start` .. `stop` - 1 (to the last one by default); x is the images or stage `start` - 1's output."""
    for index in range(start, len(backbone.stages) if stop is None else stop):
        x = backbone.run_stage(module, index, x)
    return x


def pooled(backbone: Backbone, module: nn.Module, x: Any) -> list[torch.Tensor]:
    """Run all stages on images (N, 3, H, W); return each stage's pooled features (N, d_i), the last of them (N, dim)."""
    features = []
    for index in range(len(backbone.stages)):
        x = backbone.run_stage(module, index, x)
        features.append(backbone.pool(module, index, x))
    return features


def checked_pooled(backbone: Backbone, module: nn.Module, x: Any) -> list[torch.Tensor]:
    """Return what `pooled` does. Raises PluginError where a stage pools to something else than that."""
    return [checked(backbone, index, f, x.dtype) for index, f in enumerate(pooled(backbone, module, x))]


def checked(backbone: Backbone, index: int, features: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return the pooled features of a stage.

    Raises PluginError where they are no (N, d), the last ones no (N, dim), or of another type than the images' `dtype`.
    """
    is_last = index == len(backbone.stages) - 1
    shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
    is_wrong = isinstance(shape, str) or len(shape) != 2 or (is_last and shape[1] != backbone.dim)
    expected = f"(N, {backbone.dim})" if is_last else "(N, d)"
    if not is_wrong and features.dtype != dtype and not _autocast_to(features):  # a head would refuse them later
        is_wrong, shape, expected = True, f"{shape} {features.dtype}", f"{expected} {dtype}"
    if is_wrong:
        raise PluginError(
            f"backbone {backbone.name}: stage {backbone.stages[index].name} pools to {shape}, expected {expected}.",
            hint=f"`tl-advise plugins check {backbone.name}` tests it.",
        )
    return features  # type: ignore[no-any-return]


def _autocast_to(features: torch.Tensor) -> bool:
    kind = features.device.type
    return torch.is_autocast_enabled(kind) and features.dtype == torch.get_autocast_dtype(kind)


def device_of(module: nn.Module) -> torch.device:
    """Return where a module's parameters or buffers lie; the CPU for one without any."""
    return next((t.device for t in itertools.chain(module.parameters(), module.buffers())), torch.device("cpu"))


def stage_dims(backbone: Backbone, module: nn.Module, size_px: int | None = None) -> tuple[int, ...]:
    """Measure d_i of every stage by running one black image of `size_px` (the backbone's own size by default)."""
    size = size_px or backbone.preprocess.size
    reference = next(iter(module.parameters()), torch.zeros(()))
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            image = torch.zeros((1, 3, size, size), device=reference.device, dtype=reference.dtype)
            return tuple(int(f.shape[1]) for f in pooled(backbone, module, image))
    finally:
        module.train(was_training)


# ---- what belongs to which stage ---------------------------------------------------------------------------------


def covers(stage: Stage, name: str) -> bool:
    """Return True if a parameter, buffer or module of this dotted name belongs to the stage."""
    return any(name == p or name.startswith(f"{p}.") for p in stage.prefixes)


def stage_index(backbone: Backbone, name: str) -> int:
    """Return the position of a stage by its name. Raises PluginError with the nearest name."""
    names = [s.name for s in backbone.stages]
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f'Did you mean "{near[0]}"?' if near else f"Its stages are {', '.join(names)}."
    raise PluginError(f'backbone {backbone.name} has no stage "{name}".', hint=guess)


def _stage_of(backbone: Backbone, name: str) -> int:
    owners = [i for i, stage in enumerate(backbone.stages) if covers(stage, name)]
    if len(owners) == 1:
        return owners[0]
    names = " and ".join(backbone.stages[i].name for i in owners) or "no stage"
    raise PluginError(
        f"backbone {backbone.name}: {name} belongs to {names}, expected exactly one.",
        hint=f"`tl-advise plugins check {backbone.name}` lists all such names.",
    )


def parameters_by_stage(backbone: Backbone, module: nn.Module) -> list[list[tuple[str, nn.Parameter]]]:
    """List (full name, parameter) for each stage, from stem to head, in the module's own order.

    Raises PluginError if a parameter belongs to no stage or to two.
    """
    stages: list[list[tuple[str, nn.Parameter]]] = [[] for _ in backbone.stages]
    for name, parameter in module.named_parameters():
        stages[_stage_of(backbone, name)].append((name, parameter))
    return stages


def modules_by_stage(backbone: Backbone, module: nn.Module) -> list[list[tuple[str, nn.Module]]]:
    """List (full name, submodule) for each stage, nested ones included; containers that span stages are in none."""
    return [[(n, m) for n, m in module.named_modules() if n and covers(stage, n)] for stage in backbone.stages]


def is_norm(module: nn.Module) -> bool:
    """Return True if this module itself is a normalisation layer (batch, layer, group, instance, RMS)."""
    return isinstance(module, _NORMS)


def has_norm(module: nn.Module) -> bool:
    """Return True if the module or anything inside it is a normalisation layer."""
    return any(is_norm(m) for m in module.modules())


def build_without_values(backbone: Backbone) -> nn.Module:
    """Build the network on torch's meta device: names and shapes only, in milliseconds.

    Draws are left out here as well: on this device they are Python code of torch's compiler, which takes seconds to import.
    """
    try:
        with torch.device("meta"), _WithoutDraws():
            return backbone.build()
    except (RuntimeError, NotImplementedError, BackboneError):
        # Some networks compute their widths with tensors while they are built, which meta tensors cannot do.
        return build(backbone)


def _linear_parameters(module: nn.Module) -> int:
    matrix = module.weight if isinstance(module, nn.Linear) else getattr(module, "in_proj_weight", None)
    return matrix.numel() if isinstance(matrix, torch.Tensor) else 0


def stage_sizes(backbone: Backbone) -> tuple[StageSize, ...]:
    """Count trainable parameters and detect norm layers, stage by stage, without allocating the network.

    A backbone that is used frozen only counts none, so that no strategy finds anything to train in it.
    """
    module = build_without_values(backbone)
    parameters = parameters_by_stage(backbone, module)
    modules = modules_by_stage(backbone, module)
    return tuple(
        StageSize(
            name=stage.name,
            parameters=0 if backbone.frozen_only else sum(p.numel() for _, p in named),
            has_norm=any(is_norm(m) for _, m in inside),
            linear=0 if backbone.frozen_only else sum(_linear_parameters(m) for _, m in inside),
        )
        for stage, named, inside in zip(backbone.stages, parameters, modules, strict=True)
    )
