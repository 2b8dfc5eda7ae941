"""One file of a Hugging Face repository: where it lies in the hub's own cache, and bringing it there.

In: an address "hf://OWNER/REPOSITORY/FILE[@REVISION]". Out: a path in the hub's cache. The cache (HF_HOME), the token
(HF_TOKEN), the mirror (HF_ENDPOINT) and offline mode (HF_HUB_OFFLINE) are those of the huggingface-hub package, which
also continues a transfer whose connection broke and shows its progress. Does NOT cover: checksums, tensors (`models`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError, WeightsError
from advisor.safe_text import shortened

SCHEME = "hf://"
# A repository holds one of these; the first that is there is taken.
_OTHER_NAMES = {
    "model.safetensors": ("pytorch_model.bin",),
    "open_clip_model.safetensors": ("open_clip_pytorch_model.bin", "model.safetensors", "pytorch_model.bin"),
}
INSTALL = 'pip install "tl-advise[timm]"'


@dataclass(frozen=True, kw_only=True)
class Address:
    """A file in a repository; `revision` is a commit, a tag or a branch, "" for the newest."""

    repository: str
    file: str
    revision: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The file's name, and those that repositories without it use instead."""
        return (self.file, *_OTHER_NAMES.get(self.file, ()))


def parse(url: str) -> Address:
    """Read an address. Raises InputError where it names no repository or no file."""
    path, _, revision = url.removeprefix(SCHEME).partition("@")
    parts = path.split("/")
    if not url.startswith(SCHEME) or len(parts) < 3 or not all(parts):
        raise InputError(f'"{url}" is no address of a file in a repository.', hint="Write hf://OWNER/REPOSITORY/FILE.")
    return Address(repository="/".join(parts[:2]), file="/".join(parts[2:]), revision=revision)


def endpoint() -> str:
    """Return the address of the hub, or of the mirror that HF_ENDPOINT names."""
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def is_installed() -> bool:
    """Return True if the huggingface-hub package can be imported."""
    from importlib.util import find_spec

    return find_spec("huggingface_hub") is not None


def is_offline() -> bool:
    """Return True if HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids the network, as huggingface-hub reads it."""
    on = {"1", "ON", "YES", "TRUE"}
    return any(os.environ.get(name, "").upper() in on for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def cached(url: str) -> Path | None:
    """Return where the file lies in the hub's cache, or None. Uses neither the network nor huggingface-hub itself."""
    address = parse(url)
    folder = _cache_dir() / f"models--{address.repository.replace('/', '--')}"
    reference = folder / "refs" / (address.revision or "main")
    try:
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else address.revision
    except OSError:
        return None
    if not commit:
        return None
    paths = (folder / "snapshots" / commit / name for name in address.names)
    return next((p for p in paths if p.is_file()), None)


def revision(path: Path) -> str:
    """Return the commit that a file in the hub's cache belongs to, "" for any other file."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


def _cache_dir() -> Path:
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(os.path.expanduser(explicit))
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return Path(os.path.expanduser(home)) / "hub"


def fetch(url: str) -> Path:
    """Download the file into the hub's cache and return its path; a connection that breaks is continued, a killed command not.

    Raises WeightsError that says what is wrong (not installed, gated, no such repository or file, offline, no network)
    and what to do.
    """
    if not is_installed():
        raise WeightsError("fetching from Hugging Face needs huggingface-hub, which is not installed.", hint=INSTALL)
    from huggingface_hub import errors, hf_hub_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # what goes wrong is said here, in one line
    address = parse(url)
    for name in address.names:
        try:
            return Path(
                hf_hub_download(
                    address.repository,
                    name,
                    revision=address.revision or None,
                    cache_dir=_cache_dir(),  # both as they are set now, not as they were when the package was imported
                    endpoint=endpoint(),
                )
            )
        except errors.LocalEntryNotFoundError as error:
            raise _explained(address, error) from error
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # the hub, its transport and its transfer library each have errors of their own
            raise _explained(address, error) from error
    raise WeightsError(
        f"{address.repository} holds no {' and no '.join(address.names)}.",
        hint=f"Look at {endpoint()}/{address.repository}, and give a file to the command that trains: --weights NAME=FILE.",
    )


def _explained(address: Address, error: Exception) -> WeightsError:
    from huggingface_hub import errors

    where, page = f"{address.repository} on Hugging Face", f"{endpoint()}/{address.repository}"
    by_file = "Or give a file to the command that trains: --weights NAME=FILE."
    if isinstance(error, errors.GatedRepoError):
        hint = f"Accept its licence at {page}, then run `hf auth login` or set HF_TOKEN. {by_file}"
        return WeightsError(f"{where} is gated: its licence has to be accepted first.", hint=hint)
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsError(
            f"{where} does not exist, was deleted, or is private.",
            hint=f"Check the name; for a private repository set HF_TOKEN. {by_file}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return WeightsError(f'{where} has no revision "{address.revision}".', hint=f"See {page}/commits/main.")
    if isinstance(error, errors.OfflineModeIsEnabled) or is_offline():
        hint = f"Unset it and run again. {by_file}"
        return WeightsError(f"{where} is not in the cache, and HF_HUB_OFFLINE is set.", hint=hint)
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    text = " ".join(str(cause).split()) or type(cause).__name__
    return WeightsError(
        f"{where} cannot be fetched: {shortened(text, 160).rstrip('.')}.",
        hint=f"Run it again. Behind a proxy set HTTPS_PROXY. {by_file}",
    )
