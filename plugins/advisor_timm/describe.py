"""Describe one network of timm by building it: `python -m advisor_timm.describe NAME` prints its record as JSON.

In: a timm name (NAME or NAME.TAG) or hf-hub:OWNER/MODEL[@COMMIT]. Out: a `Network`, or an error in words with a hint. The cut
is checked on random images: where the stages do not compose to the network's forward, it is described as "whole".
Does NOT cover: published accuracies (make_table.py adds them to the curated ones).
"""

from __future__ import annotations

import difflib
import json
import math
import sys
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from advisor_timm import cuts, modules
from advisor_timm.network import Network, pretraining, to_json
from advisor_timm.on_demand import HUB

_PATIENCE_S = 3.0


class UnknownNetworkError(Exception):
    """Why a name cannot be described; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """Where a network comes from: what timm builds it from, its own input description, and its weights' repository."""

    name: str
    architecture: str
    arguments: dict[str, Any]
    config: dict[str, Any]
    repository: str
    file: str
    revision: str = ""


def describe(name: str, *, size: int | None = None) -> Network:
    """Describe a network; `size` replaces the default input size. Raises UnknownNetworkError."""
    origin = _hub_origin(name) if name.startswith(HUB) else _timm_origin(name)
    arguments, module = _build(origin)
    native = int(origin.config["input_size"][-1])
    size = size or native
    multiple = _multiple(module, native)
    part = _checked_cut(module, size)
    macs, dim = _measure(origin, arguments, size)
    crop = float(origin.config.get("crop_pct") or 0.875)
    parameters = sum(p.numel() for p in module.parameters())
    classes = int(origin.config.get("num_classes") or 0)
    return Network(
        name=origin.name,
        architecture=origin.architecture,
        arguments=arguments,
        family=part.family,
        stages=part.stages,
        chain=part.chain,
        dim=dim,
        size=size,
        resize=max(size, math.floor(size / crop)),  # timm cuts the fraction off too
        multiple=multiple,
        interpolation=_interpolation(origin.config),
        mean=tuple(origin.config["mean"]),
        std=tuple(origin.config["std"]),
        parameters=parameters,
        macs=macs,
        bytes=4 * (parameters + classes * (dim + 1)),
        classifier=_classifier(origin.config),
        repository=origin.repository,
        file=origin.file,
        revision=origin.revision,
        licence=str(origin.config.get("license") or "unknown"),
        pretraining=pretraining(origin.name.partition(".")[2] or origin.name),
        source=_source(origin.config),
        prefix_tokens=int(getattr(module, "num_prefix_tokens", 0)) if _has_class_token(module) else 0,
        frozen_only=f"{type(module).__name__} cannot be cut into stages" if part.family == "whole" else "",
    )


# ---- where it comes from -----------------------------------------------------------------------------------------


def _timm_origin(name: str) -> _Origin:
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(f'timm/{n}' for n in near)}?" if near else "See timm.list_models()."
        raise UnknownNetworkError(f'timm {timm.__version__} has no network "{architecture}".', hint)
    tags = [n.partition(".")[2] for n in timm.list_pretrained(f"{architecture}*") if n.split(".")[0] == architecture]
    if tag and tag not in tags:
        listed = ", ".join(tags) or "none: it has no pretrained weights"
        raise UnknownNetworkError(f'timm/{architecture} has no weights tagged "{tag}".', f"Tags: {listed}.")
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UnknownNetworkError(f"timm/{name} has no pretrained weights.", f"Tags: {', '.join(tags) or 'none'}.")
    full = f"{architecture}.{config.tag}" if config.tag else architecture
    repository = config.hf_hub_id or ""
    if repository == "timm/":
        repository = f"timm/{full}"
    file = config.hf_hub_filename or "model.safetensors"
    return _Origin(
        name=f"timm/{full}",
        architecture=architecture,
        arguments={},
        config=config.to_dict(),
        repository=repository,
        file=file,
    )


def _hub_origin(name: str) -> _Origin:
    from huggingface_hub import errors
    from timm.models import load_model_config_from_hf

    repository, _, revision = name.removeprefix(HUB).partition("@")
    if repository.count("/") != 1:
        raise UnknownNetworkError(f'"{name}" names no repository.', "Write hf-hub:OWNER/MODEL.")
    if _is_out_of_reach(repository, revision):
        hint = "Behind a proxy set HTTPS_PROXY, for a mirror HF_ENDPOINT."
        raise UnknownNetworkError(f"{repository} cannot be read: Hugging Face does not respond.", hint)
    try:
        config, architecture, arguments = load_model_config_from_hf(name.removeprefix(HUB))[:3]
    except errors.GatedRepoError as error:
        hint = f"Accept its licence at https://huggingface.co/{repository}, then set HF_TOKEN."
        raise UnknownNetworkError(f"{repository} on Hugging Face is gated.", hint) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownNetworkError(
            f"{repository} on Hugging Face does not exist, was deleted, or is private.", "Check the name; set HF_TOKEN."
        ) from error
    except errors.HFValidationError as error:
        raise UnknownNetworkError(f'"{name}" names no repository.', "Write hf-hub:OWNER/MODEL.") from error
    except (errors.EntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        text = " ".join(str(error).split())[:160]
        hint = "Its config.json has to be in the cache, or within reach of the network (HF_HUB_OFFLINE, HTTPS_PROXY)."
        raise UnknownNetworkError(f"{repository} on Hugging Face cannot be read: {text}", hint) from error
    except (KeyError, ValueError, TypeError) as error:
        raise UnknownNetworkError(
            f"{repository} holds no network that timm can build.", "Look at its config.json."
        ) from error
    return _Origin(
        name=f"{HUB}{repository}",
        architecture=str(architecture),
        arguments=dict(arguments or {}),
        config=dict(config),
        repository=repository,
        file="model.safetensors",
        revision=revision or _commit(repository),
    )


def _commit(repository: str) -> str:
    """Return the commit of the description that was just read: that of its folder in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, "config.json")
    return Path(path).parent.name if isinstance(path, str) else ""


def _is_out_of_reach(repository: str, revision: str) -> bool:
    """Return True if its description is not in the cache and the hub does not respond; huggingface-hub tries for 25 s."""
    from huggingface_hub import constants, try_to_load_from_cache

    if constants.HF_HUB_OFFLINE or isinstance(
        try_to_load_from_cache(repository, "config.json", revision=revision or None), str
    ):
        return False
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=_PATIENCE_S).close()
    except urllib.error.HTTPError:
        return False
    except (OSError, ValueError):
        return True
    return False


# ---- what it is --------------------------------------------------------------------------------------------------


def _build(origin: _Origin) -> tuple[dict[str, Any], nn.Module]:
    """Build with the arguments that let the architecture take any input size, as far as it knows such."""
    import timm

    for extra in modules.ANY_SIZE:
        arguments = {**origin.arguments, **extra}
        try:
            module = timm.create_model(origin.architecture, pretrained=False, num_classes=0, **arguments)
        except TypeError:
            continue
        except (RuntimeError, ValueError, KeyError, AttributeError) as error:
            text = " ".join(str(error).split())[:160]
            raise UnknownNetworkError(f"{origin.name} cannot be built: {text}") from error
        return arguments, module.eval()
    raise UnknownNetworkError(f"{origin.name} cannot be built.", "Look at its arguments in config.json.")


def _images(size: int, count: int = 2) -> torch.Tensor:
    return torch.randn((count, 3, size, size), generator=torch.Generator().manual_seed(0))


def _checked_cut(module: nn.Module, size: int) -> cuts.Cut:
    images = _images(size)
    for part in (cuts.cut(module), cuts.whole(module)):
        if cuts.composes(part, module, images):
            return part
    raise UnknownNetworkError(f"{type(module).__name__} gives no features: its forward is not that of its own parts.")


def _multiple(module: nn.Module, native: int) -> int:
    """Return what input sizes have to be multiples of; the native size where no other one is taken."""
    patch = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    has_tokens = cuts.is_token_network(module)
    step = int(patch[0] if isinstance(patch, (tuple, list)) else patch or 32) if has_tokens else 32
    smaller = max(step, round(native * 0.75) // step * step)
    if not _takes(module, smaller):
        return native
    return step if has_tokens or not _takes(module, smaller + step // 2) else 1


def _takes(module: nn.Module, size: int) -> bool:
    try:
        with torch.inference_mode():
            module(_images(size, 1))
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True


def _measure(origin: _Origin, arguments: dict[str, Any], size: int) -> tuple[int, int]:
    """Count multiply-adds of one image, and features; nothing is computed (torch's meta device)."""
    import timm
    from torch.utils.flop_counter import FlopCounterMode

    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        module = timm.create_model(origin.architecture, pretrained=False, num_classes=0, **arguments).eval()
        module.requires_grad_(False)  # not torch.no_grad(): the counter's hooks cannot work with that
        counter = FlopCounterMode(display=False)
        with counter:
            features = module(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2, int(features.shape[1])


def _has_class_token(module: nn.Module) -> bool:
    return getattr(module, "cls_token", None) is not None


def _interpolation(config: dict[str, Any]) -> str:
    interpolation = str(config.get("interpolation") or "bicubic")
    return interpolation if interpolation in ("nearest", "bilinear", "bicubic") else "bicubic"


def _classifier(config: dict[str, Any]) -> tuple[str, ...]:
    classifier = config.get("classifier") or ()
    return (classifier,) if isinstance(classifier, str) else tuple(classifier)


def _source(config: dict[str, Any]) -> str:
    papers = config.get("paper_ids") or ()
    return str(papers if isinstance(papers, str) else next(iter(papers), "")) or str(config.get("origin_url") or "")


def main(argv: list[str]) -> int:
    """Print the record of the network named in `argv`, or {"error", "hint"} with exit code 2."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = describe(argv[0])
    except UnknownNetworkError as error:
        print(json.dumps({"error": str(error), "hint": error.hint}))
        return 2
    print(json.dumps(to_json(replace(network))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
