"""A frozen backbone and pixels -> pooled features of every stage, computed once and read from the cache ever after.

Legend: N items, C channels, H, W, D features. Images go through in batches of one fixed size, the last one padded,
since an image's features differ in their last bits with its batch; everything else that moves a bit is in the key.
`extract_features` is the public door: images in any form, any stage or module by name. Does NOT cover: heads (`heads`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from advisor.aliases import CountProgress
from advisor.data import image_inputs, pixels
from advisor.errors import BackboneError, CacheFullError, PluginError, WeightsError
from advisor.hooks import Backbone
from advisor.models import backbone as stages
from advisor.models import folding, inference, pretrained_weights
from advisor.records import Compute, ForwardSpec
from advisor.runtime import cache, device, environment
from advisor.runtime.process import loaded_code

if TYPE_CHECKING:
    from torch import Tensor, nn

_CODE = 2  # raise when the same inputs would give other features


@dataclass(frozen=True)
class Pooled:
    """Pooled features of every stage side by side, (N, sum of dims) float32, from stem to head."""

    values: NDArray[np.float32]
    dims: tuple[int, ...]


def extract(
    backbone: Backbone,
    module: nn.Module,
    canvas: NDArray[np.uint8],
    spec: ForwardSpec,
    *,
    weights_key: str,
    item_key: str,
    store: cache.Store | None = None,
    flip: bool = False,
    progress: CountProgress | None = None,
    origin: tuple[str, str] = ("", ""),
) -> Pooled:
    """Compute the pooled features of all stages for a canvas (N, S, S, 3), or read them from `store`.

    `weights_key` names the tensors in `module`, `item_key` the images and how they became squares, `origin` the
    distribution and version of the backbone's plugin (`Registry.origin`). `flip` mirrors every image. A store that cannot
    take them is done without.
    """
    fields = key_fields(
        backbone,
        module,
        canvas,
        spec,
        weights_key=weights_key,
        item_key=item_key,
        flip=flip,
        origin=origin,
    )

    def compute_now() -> Pooled:
        return _extract(backbone, module, canvas, spec, flip=flip, progress=progress)

    if store is None:
        return compute_now()
    with store.lock(fields):  # another worker may be at the same features: then they are only read
        stored = store.array(fields)
        if stored is not None and len(stored) == len(canvas):
            return Pooled(stored, tuple(store.notes(fields)))
        pooled = compute_now()
        if len(pooled.values):
            with contextlib.suppress(CacheFullError):
                return Pooled(store.keep(fields, pooled.values, notes=list(pooled.dims)), pooled.dims)
        return pooled


def _extract(
    backbone: Backbone,
    module: nn.Module,
    canvas: NDArray[np.uint8],
    spec: ForwardSpec,
    *,
    flip: bool,
    progress: CountProgress | None,
) -> Pooled:
    parts: list[list[Tensor]] = []
    if inference.folds(len(canvas), spec.compute):
        module = folding.folded_body(backbone, module, spec.size_px)
    inference.move(module, spec.compute)
    with inference.eval_mode(module), torch.inference_mode(), inference.autocast(spec.compute):
        for images, n in inference.batches(canvas, np.arange(len(canvas)), spec, flip=flip, progress=progress):
            parts.append([f[:n].float().cpu() for f in stages.checked_pooled(backbone, module, images)])
    dims = tuple(f.shape[1] for f in parts[0]) if parts else stages.stage_dims(backbone, module, spec.size_px)
    values = torch.cat([torch.cat(p, dim=1) for p in parts]).numpy() if parts else np.zeros((0, sum(dims)), np.float32)
    _check(backbone, values, len(canvas), dims[-1])
    return Pooled(values, dims)


def _check(backbone: Backbone, values: NDArray[np.float32], images: int, width: int) -> None:
    """Raise BackboneError where the last stage leaves images without features, or features that are no numbers."""
    finite = np.isfinite(values[:, -width:]).all(axis=1)
    wrong = f"{len(values)} rows of features for {images} images" if len(values) != images else ""
    if not wrong and not finite.all():
        wrong = f"features of {int((~finite).sum())} of {images} images are not finite"
    if wrong:
        hint = f"`tl-advise plugins check {backbone.name}` tests it."
        raise BackboneError(f"network {backbone.name}: {wrong}.", hint=hint, backbone=backbone.name, reason=wrong)


def key_fields(
    backbone: Backbone,
    module: nn.Module,
    canvas: NDArray[np.uint8],
    spec: ForwardSpec,
    *,
    weights_key: str,
    item_key: str,
    flip: bool,
    origin: tuple[str, str] = ("", ""),
) -> Mapping[str, Any]:
    """List everything that the features' bits depend on (docs/design.md 4.5)."""
    functions = (backbone.build, backbone.load_state, backbone.run_stage, backbone.pool)
    return {
        "kind": "features",
        "code": _CODE,
        "backbone": backbone.name,
        "origin": list(origin),
        "network": loaded_code.identity(functions, {type(part) for part in module.modules()}),
        "stages": [asdict(s) for s in backbone.stages],
        "weights": weights_key,
        "items": item_key,
        "canvas": list(canvas.shape),
        "decoder": pixels.decoder(),
        "preprocess": asdict(spec.preprocess),
        "size_px": spec.size_px,
        "flip": flip,
        "compute": asdict(spec.compute),
        "torch": torch.__version__,
        "torchvision": environment.version("torchvision"),
        "processor": environment.device_model(spec.compute.device),
    }


def select(pooled: Pooled, layers: str, stage_names: Sequence[str]) -> NDArray[np.float32]:
    """Return (N, D) features: of the "last" stage, of "all" side by side, or of the stage of that name."""
    first, last = _columns(pooled.dims, layers, stage_names)
    return np.ascontiguousarray(pooled.values[:, first:last])


def averaged(pooled: Pooled, mirrored: Pooled) -> Pooled:
    """Return the mean of the features of images and of their mirror images (`extract` with `flip`)."""
    return Pooled(0.5 * (pooled.values + mirrored.values), pooled.dims)


def blocks(pooled: Pooled, layers: str) -> tuple[int, ...]:
    """Return the widths of the runs of features in what `select` gives: what heads take as `blocks`."""
    return pooled.dims if layers == "all" else ()


def extract_features(
    backbone: Backbone,
    images: Sequence[Any] | NDArray[np.uint8],
    *,
    layer: str = "last",
    module: nn.Module | None = None,
    size_px: int | None = None,
    fit: str = "crop",
    compute: Compute | None = None,
    weights_dir: str | None = None,
    offline: bool = False,
) -> NDArray[np.float32]:
    """Return the pooled features (N, D) of images at a layer of a pretrained backbone.

    `images` are paths, PIL images, (H, W, 3) uint8 arrays, or one (N, S, S, 3) uint8 array. `layer` is "last", "all"
    (every stage side by side), the name of a stage, or the name of any module, read through a hook that is removed
    again. `module` is the network to use; without it the pretrained weights are loaded from where they are cached.
    Raises WeightsError where they are not, PluginError for an unknown layer, InputError for an unreadable image.
    """
    pre = backbone.preprocess
    how = compute or device.choose("cpu", backbone)
    size = size_px or pre.size
    network = _pretrained(backbone, weights_dir, offline) if module is None else module
    canvas = image_inputs.squares(images, pixels.rule_for(pre, size, fit))
    names = [s.name for s in backbone.stages]
    rows = np.arange(len(canvas))
    parts = []
    inference.move(network, how)
    by_hook = layer not in ("last", "all", *names)
    hook: contextlib.AbstractContextManager[list[Any]] = (
        _recording(network, layer) if by_hook else contextlib.nullcontext([])
    )
    with inference.eval_mode(network), torch.inference_mode(), inference.autocast(how), hook as recorded:
        for pixels_NCHW, n in inference.batches(canvas, rows, ForwardSpec(pre, size, how)):
            recorded.clear()
            pooled = stages.pooled(backbone, network, pixels_NCHW)
            if by_hook and not recorded:
                raise PluginError(f'module "{layer}" of {backbone.name} took no part in the forward pass.')
            output = _flat(recorded[-1]) if by_hook else _chosen(pooled, layer, names)
            parts.append(output[:n].float().cpu())
    return np.asarray(torch.cat(parts).numpy()) if parts else np.zeros((0, 0), dtype=np.float32)


def _chosen(pooled: Sequence[Tensor], layer: str, names: Sequence[str]) -> Tensor:
    if layer == "all":
        return torch.cat(list(pooled), dim=1)
    return pooled[-1 if layer == "last" else names.index(layer)]


def _pretrained(backbone: Backbone, weights_dir: str | None, offline: bool) -> nn.Module:
    located = pretrained_weights.locate(backbone, weights_dir=weights_dir, offline=offline)
    if located.path is None:
        raise WeightsError(f"{backbone.name}: {located.reason}", hint=f"Fetch them: {located.command}")
    tensors, _, _ = pretrained_weights.read(backbone, located)
    return stages.build(backbone, tensors)


def _columns(dims: Sequence[int], layers: str, stage_names: Sequence[str]) -> tuple[int, int]:
    if layers == "all":
        return 0, sum(dims)
    if layers != "last" and layers not in stage_names:
        raise ValueError(f'unknown layers "{layers}": expected "last", "all" or one of {", ".join(stage_names)}')
    index = len(dims) - 1 if layers == "last" else list(stage_names).index(layers)
    return sum(dims[:index]), sum(dims[: index + 1])


@contextlib.contextmanager
def _recording(module: nn.Module, name: str) -> Iterator[list[Any]]:
    """Collect what the submodule of this name gives; the hook is gone when the block ends, however it ends."""
    try:
        part = module.get_submodule(name)
    except AttributeError:
        raise PluginError(
            f'no stage and no module is called "{name}".', hint="A module's name is that of named_modules()."
        ) from None
    outputs: list[Any] = []
    handle = part.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def _flat(output: Any) -> Tensor:
    """Pool any activation to (N, D): mean over positions of (N, C, H, W), over tokens of (N, T, C)."""
    if not isinstance(output, torch.Tensor):
        raise PluginError("this module does not give a tensor, so it has no features.", hint="Name a layer inside it.")
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    return output.mean(dim=1) if output.ndim == 3 else output
