"""Weights from elsewhere than their published address: a file that a person names, and one commit of a hub's repository.

In: a backbone. Out: a folder for `weights_dir`, or a backbone whose weights are those of the commit. Does NOT cover: finding
and fetching (`pretrained_weights`).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from advisor.errors import OutputError, WeightsError
from advisor.hooks import Backbone
from advisor.models import pretrained_weights
from advisor.runtime import hub, weight_folders


def link(backbone: Backbone, file: str | Path) -> Path:
    """Return a folder for `weights_dir` in which `file` has the name under which the backbone's weights are looked for.

    Raises WeightsError where there is no such file, or the backbone takes none; OutputError where no link can be written.
    """
    source, weights = Path(os.path.expanduser(file)).resolve(), pretrained_weights.as_weights(backbone)
    if not source.is_file():
        raise WeightsError(f"--weights {backbone.name}={file}: there is no such file.")
    if weights is None or weights.path:
        reason = "it has none" if weights is None else "they lie inside an installed package"
        raise WeightsError(f"--weights {backbone.name}={file}: its weights cannot be replaced, {reason}.")
    try:
        return weight_folders.link(source, weights.file)
    except OSError as error:
        folder = weight_folders.cache_dir()
        raise OutputError(
            f"cannot link weights into {folder}: {error.strerror or error}.", hint="Set TL_ADVISE_CACHE."
        ) from error


def revision(backbone: Backbone, *, weights_dir: str | Path | None = None) -> str:
    """Return the commit of a backbone's weights where they lie in the cache of a hub, else ""."""
    path = pretrained_weights.locate(backbone, weights_dir=weights_dir, offline=True).path
    return hub.revision(path) if path is not None else ""


def at_revision(backbone: Backbone, commit: str) -> Backbone:
    """Return the backbone with the weights of one commit; unchanged where `commit` is empty or there is no hub."""
    return _with_commit(backbone, f"@{commit}") if commit else backbone


def newest(backbone: Backbone) -> Backbone:
    """Return the backbone with the weights of the newest commit; unchanged where there is no hub."""
    return _with_commit(backbone, "")


def _with_commit(backbone: Backbone, suffix: str) -> Backbone:
    weights = pretrained_weights.as_weights(backbone)
    if weights is None or not weights.url.startswith(hub.SCHEME):
        return backbone
    return replace(backbone, weights=replace(weights, url=weights.url.partition("@")[0] + suffix))
