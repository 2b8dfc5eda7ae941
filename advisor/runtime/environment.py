"""Where a run happens: library versions, CPU or GPU model, threads, precision, and what "the same machine kind" means.

In: a `Compute`, or the name of a distribution. Out: an `Environment`, which goes into recipe and result, or the
requirements that are not met. Does NOT cover: finding faults of an installation (`workflows.doctor`). torch is imported
inside functions.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from advisor.records import Compute, Environment

LIBRARIES = ("tl-advise", "torch", "torchvision", "numpy", "pillow", "scikit-learn", "optuna")
OPTIONAL_LIBRARIES = ("timm",)  # that build networks, named where they are installed
# One line of a distribution's metadata: name, ">=" or "==", version. Extras, markers and upper bounds are pip's business.
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*\(?\s*(>=|==)\s*([0-9][0-9.]*)")


@dataclass(frozen=True, kw_only=True)
class Unmet:
    """A requirement that is not met; `description` names what is installed and what was expected."""

    name: str
    requirement: str
    description: str


def describe(compute: Compute) -> Environment:
    """Return the environment of this process: versions of the libraries that results depend on, the device's model."""
    optional = {n: installed for n in OPTIONAL_LIBRARIES if (installed := version(n))}
    return Environment(
        versions={"python": platform.python_version(), **{n: version(n) for n in LIBRARIES}, **optional},
        device=compute.device,
        model=device_model(compute.device),
        threads=compute.threads,
        precision=compute.precision,
        layout=compute.layout,
    )


def version(distribution: str) -> str:
    """Return an installed distribution's version, "" where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def device_model(device: str) -> str:
    """Return the name of the CPU or GPU model, as far as the system states it."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        fields = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in cpuinfo.read_text(errors="replace").splitlines())
            if value
        }
        if "model name" in fields:
            kind = "/".join(fields.get(key, "?") for key in ("cpu family", "model", "stepping"))
            return f"{fields['model name']} ({kind})"
    return platform.processor() or platform.machine()


def same_kind(a: Environment, b: Environment) -> bool:
    """Return True if two environments compute equal bits (docs/design.md 3.4): model, versions, threads, precision, layout.

    An optional library counts where both state its version: older recipes do not.
    """
    stated = [n for n in OPTIONAL_LIBRARIES if n in a.versions and n in b.versions]
    shaping = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", *stated)
    return (a.model, a.device.partition(":")[0], a.threads, a.precision, a.layout) == (
        b.model,
        b.device.partition(":")[0],
        b.threads,
        b.precision,
        b.layout,
    ) and all(a.versions.get(n) == b.versions.get(n) for n in shaping)


def unmet(distribution: str) -> list[Unmet] | None:
    """List the requirements of a distribution that are not met; None where it is not installed itself."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    return [fault for line in lines if (fault := compare_requirement(line)) is not None]


def compare_requirement(line: str) -> Unmet | None:
    """Compare one requirement ("torch>=2.6", "torch (==2.7.1)") with what is installed; None where it is met."""
    named = _REQUIREMENT.match(line)
    if named is None or "extra ==" in line:
        return None
    name, sign, stated = named.groups()
    installed = version(name)
    expected, present = version_numbers(stated), version_numbers(installed)
    if installed and (present >= expected if sign == ">=" else present[: len(expected)] == expected):
        return None
    description = f"{name} is {installed}, expected {sign}{stated}" if installed else f"{name} is not installed"
    return Unmet(name=name, requirement=f"{name}{sign}{stated}", description=description)


def version_numbers(text: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, without its local part: "2.7.1+cu126" -> (2, 7, 1)."""
    return tuple(int(n) for n in re.findall(r"\d+", text.partition("+")[0])[:3])
