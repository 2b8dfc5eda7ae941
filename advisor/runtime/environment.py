"""Where a run happens: library versions, CPU or GPU model, threads, precision; what "the same machine kind" means.

In: a `Compute`. Out: an `Environment`, which goes into recipe and result. Torch is imported inside.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from advisor.records import Compute, Environment

LIBRARIES = ("tl-advise", "torch", "torchvision", "numpy", "pillow", "scikit-learn", "optuna")


def describe(compute: Compute) -> Environment:
    """Describe this process: versions of what shapes a result, and the model of the device."""
    return Environment(
        versions={"python": platform.python_version(), **{n: version(n) for n in LIBRARIES}},
        device=compute.device,
        model=device_model(compute.device),
        threads=compute.threads,
        precision=compute.precision,
        layout=compute.layout,
    )


def version(distribution: str) -> str:
    """Give an installed distribution's version, "" where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def device_model(device: str) -> str:
    """Name the CPU or GPU model, as far as the system tells."""
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
    """Say whether two environments promise equal bits (docs/design.md 3.4): model, versions, threads, precision and layout."""
    shaping = ("torch", "torchvision", "numpy", "pillow", "scikit-learn")
    return (a.model, a.device.partition(":")[0], a.threads, a.precision, a.layout) == (
        b.model,
        b.device.partition(":")[0],
        b.threads,
        b.precision,
        b.layout,
    ) and all(a.versions.get(n) == b.versions.get(n) for n in shaping)
