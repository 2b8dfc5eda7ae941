"""Checks of this machine and installation: each function examines one thing and reports what to do about it.

Out: `Finding`s in the order of `CHECKS`. A "problem" stops the main job or makes its numbers wrong, a "warning" costs time
or disables something. A check that fails becomes a finding; it never raises.
Does NOT cover: whether plugins meet their contract (`testing`), choosing a device (`runtime.device`).
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from advisor import registry
from advisor.models import pretrained_weights
from advisor.runtime import cache, device, environment

GIB = 2**30
_LOW_MEMORY, _LOW_DISK, _NO_DISK = 2 * GIB, 5 * GIB, GIB // 4


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check: `state` is "good", "warning" or "problem"; `advice` is what to do, "" if nothing."""

    check: str
    state: str
    found: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command-line options that checks depend on."""

    weights_dir: str | None = None
    offline: bool = False


def examine(*, weights_dir: str | None = None, offline: bool = False) -> tuple[Finding, ...]:
    """Run all checks. `offline` skips the check of the internet connection, which takes up to 3 s without one."""
    options = Options(weights_dir=weights_dir, offline=offline)
    return tuple(_run_check(name, check, options) for name, check in CHECKS)


def _run_check(name: str, check: Callable[[str, Options], Finding], options: Options) -> Finding:
    try:
        return check(name, options)
    except Exception as error:  # a broken installation is what this command must report
        reason = " ".join(str(error).split())[:200]
        return Finding(check=name, state="problem", found=f"the check failed: {type(error).__name__}: {reason}")


# ---- libraries ---------------------------------------------------------------------------------------------------


def _python(check: str, options: Options) -> Finding:
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if platform.system() not in ("Linux", "Darwin"):
        advice = "Use Linux, macOS, or WSL 2 on Windows: tl-advise is tested on Linux only."
        return Finding(check=check, state="warning", found=version, advice=advice)
    return Finding(check=check, state="good", found=version)


def _libraries(check: str, options: Options) -> Finding:
    faults = environment.unmet(registry.FIRST_PARTY)
    if faults is None:
        advice = "Run `pip install .` in the checkout."
        return Finding(check=check, state="problem", found="tl-advise is not installed", advice=advice)
    if faults:
        advice = "Run `pip install --upgrade " + " ".join(f"'{f.requirement}'" for f in faults) + "`."
        return Finding(check=check, state="problem", found="; ".join(f.description for f in faults), advice=advice)
    version = metadata.version(registry.FIRST_PARTY)
    return Finding(check=check, state="good", found=f"tl-advise {version}, all requirements met")


def _torch(check: str, options: Options) -> Finding:
    reinstall = "Reinstall both from the same index: `pip install --force-reinstall torch torchvision`."
    try:
        import torch
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:
        versions = f"cannot be imported: {' '.join(str(error).split())[:200]}"
        return Finding(check=check, state="problem", found=versions, advice=reinstall)
    fault = torch_pair(torch.__version__, torchvision.__version__, compiled=hasattr(torch.ops.torchvision, "nms"))
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    if fault:
        return Finding(check=check, state="problem", found=f"{versions}: {fault}", advice=reinstall)
    return Finding(check=check, state="good", found=versions)


def torch_pair(torch: str, torchvision: str, *, compiled: bool) -> str:
    """Return why two versions do not fit together, "" if they do; `compiled`: torchvision's compiled part loads."""
    builds = [v.partition("+")[2] for v in (torch, torchvision)]
    if all(builds) and builds[0] != builds[1]:
        return f"they were built for different platforms ({builds[0]}, {builds[1]})"
    if not compiled:
        return "torchvision's compiled part does not load"
    wrong = [f for f in environment.unmet("torchvision") or [] if f.name == "torch"]
    return f"this torchvision needs {wrong[0].requirement}" if wrong else ""


# ---- the machine -------------------------------------------------------------------------------------------------


def _devices(check: str, options: Options) -> Finding:
    import torch

    cpu = f"{environment.device_model('cpu')}, {device.cores()} cores"
    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        names = [f"cuda:{i} {gpu.name}, {gpu.total_memory / GIB:.0f} GiB" for i, gpu in enumerate(gpus)]
        return Finding(check=check, state="good", found="; ".join([*names, cpu]))
    if torch.backends.mps.is_available():
        advice = "`--device mps` is untried; PYTORCH_ENABLE_MPS_FALLBACK=1 lets the CPU do what this GPU lacks."
        return Finding(check=check, state="good", found=f"{cpu}; Apple GPU (not used by default)", advice=advice)
    if Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists():
        why = "built without CUDA" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
        advice = "Update the driver, or install the torch build for it (`nvidia-smi` shows its CUDA version)."
        present = f"{cpu}; torch ({why}) cannot use the NVIDIA device"
        return Finding(check=check, state="warning", found=present, advice=advice)
    return Finding(check=check, state="good", found=f"{cpu}; no GPU: everything runs on the CPU")


def _threads(check: str, options: Options) -> Finding:
    import torch

    cores, used = device.cores(), torch.get_num_threads()
    core_limit = quota()
    use = f"{cores} cores, torch uses {used} threads by default"
    if core_limit is not None and core_limit < cores - 0.5:
        use += f"; this container is limited to {core_limit:.1f} cores"
        advice = f"Restrict the process to the available cores: `taskset -c 0-{max(0, round(core_limit) - 1)} tl-advise ...`."
        return Finding(check=check, state="warning", found=use, advice=advice)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) < cores:
        advice = "Unset OMP_NUM_THREADS: it makes libraries use fewer cores than available."
        return Finding(check=check, state="warning", found=f"{use}; OMP_NUM_THREADS={limit}", advice=advice)
    return Finding(check=check, state="good", found=use)


def quota(file: str = "/sys/fs/cgroup/cpu.max") -> float | None:
    """Return how many cores this container may use at a time, None if there is no limit.

    Source: cpu.max of Linux control groups, version 2: quota and period in microseconds.
    """
    try:
        most, period = Path(file).read_text().split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError):
        return None


def _precision(check: str, options: Options) -> Finding:
    import torch

    compute = device.choose("auto")
    if compute.device != "cpu":
        major, minor = torch.cuda.get_device_capability(compute.device)
        use = f"{compute.device} has compute capability {major}.{minor}: {compute.precision} is used in training"
        return Finding(check=check, state="good", found=use)
    flags = _cpu_flags()
    flags_present = [f for f in ("amx_bf16", "avx512_bf16", "bf16") if f in flags]
    bfloat16 = f"bfloat16 in hardware ({', '.join(flags_present)})" if flags_present else "no bfloat16 in hardware"
    level = torch.backends.cpu.get_cpu_capability()
    return Finding(check=check, state="good", found=f"CPU with {level}, {bfloat16}: {compute.precision} is used")


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return set()
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(line.group(1).split()) if line else set()


def _memory(check: str, options: Options) -> Finding:
    if not hasattr(os, "sysconf"):  # Windows
        return Finding(check=check, state="good", found="not measured on this system")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        line = re.search(r"MemAvailable:\s*(\d+)", meminfo.read_text())
        free = int(line.group(1)) * 1024 if line else total
    state = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    if free < _LOW_MEMORY:
        advice = "Close other programs, or choose small networks with --backbone and --size."
        return Finding(check=check, state="warning", found=state, advice=advice)
    return Finding(check=check, state="good", found=state)


# ---- plugins, weights, storage -----------------------------------------------------------------------------------


def _plugins(check: str, options: Options) -> Finding:
    plugins = registry.load()
    counts = (
        f"{len(plugins.backbones)} backbones, {len(plugins.strategies)} strategies in {len(plugins.plugins)} plugins"
    )
    broken = [f"{p.name} ({p.distribution} {p.version}): {p.broken}" for p in plugins.plugins if p.broken]
    if not plugins.backbones or not plugins.strategies:
        advice = "Run `pip install .` in the checkout, and see TL_ADVISE_PLUGINS."
        return Finding(check=check, state="problem", found="; ".join([counts, *broken]), advice=advice)
    if broken:
        name = next(p.name for p in plugins.plugins if p.broken)
        advice = f"Update or remove the package, or disable the plugin: TL_ADVISE_PLUGINS=-{name}."
        return Finding(check=check, state="warning", found="; ".join([counts, *broken]), advice=advice)
    return Finding(check=check, state="good", found=counts)


def _weights(check: str, options: Options) -> Finding:
    plugins = registry.load()
    located = {
        n: pretrained_weights.locate(b, weights_dir=options.weights_dir, offline=True)
        for n, b in plugins.backbones.items()
    }
    ready = [n for n, where in located.items() if where.path is not None]
    if not ready:
        advice = "Run `tl-advise weights fetch mobilenet_v2` on a machine with internet access."
        return Finding(check=check, state="problem", found="no pretrained weights found locally", advice=advice)
    local = f"{len(ready)} of {len(located)} backbones have local weights: {', '.join(ready)}"
    strange = [n for n in ready if _strange(pretrained_weights.as_weights(plugins.backbones[n]), located[n])]
    if strange:
        advice = f"If this is not intended: `tl-advise weights fetch {strange[0]} --again`."
        local += f"; not the published size: {', '.join(strange)}"
        return Finding(check=check, state="warning", found=local, advice=advice)
    if all(located[n].state == "built_in" for n in ready):
        advice = "More accurate networks exist: `tl-advise weights` lists them, `tl-advise weights fetch NAME` downloads one."
        return Finding(check=check, state="warning", found=f"{local} (built-in only)", advice=advice)
    return Finding(check=check, state="good", found=local)


def _strange(published: object, located: pretrained_weights.Located) -> bool:
    stated = getattr(published, "bytes", 0)
    return located.state == "cached" and stated > 0 and abs(located.bytes - stated) > 0.01 * stated


def _network(check: str, options: Options) -> Finding:
    if options.offline:
        return Finding(check=check, state="good", found="skipped (--offline)")
    if pretrained_weights.network_reachable():
        return Finding(check=check, state="good", found="the download server responds")
    advice = "Cached weights still work; use --offline to avoid waiting for the network."
    return Finding(check=check, state="warning", found="the download server did not respond", advice=advice)


def _cache(check: str, options: Options) -> Finding:
    folder = cache.default_dir()
    store = cache.Store()
    used = sum(e.bytes for e in store.entries())
    use = f"{folder}: {used / GIB:.2f} of at most {store.cap_bytes / GIB:.1f} GiB used"
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        advice = f"Set {cache.ENVIRONMENT} to a writable folder; without a cache every run decodes all images again."
        return Finding(check=check, state="warning", found=f"{use}, not writable", advice=advice)
    return Finding(check=check, state="good", found=use)


def _disk(check: str, options: Options) -> Finding:
    folders = {"here": Path.cwd(), "cache": cache.default_dir()}
    free = {
        name: shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
        for name, folder in folders.items()
    }
    space = ", ".join(f"{name}: {bytes_ / GIB:.1f} GiB free" for name, bytes_ in free.items())
    least = min(free.values())
    if least < _LOW_DISK:
        advice = f"Free some space (`tl-advise cache clear`), or move the cache with {cache.ENVIRONMENT}."
        return Finding(check=check, state="problem" if least < _NO_DISK else "warning", found=space, advice=advice)
    return Finding(check=check, state="good", found=space)


CHECKS: tuple[tuple[str, Callable[[str, Options], Finding]], ...] = (
    ("python", _python),
    ("libraries", _libraries),
    ("torch", _torch),
    ("devices", _devices),
    ("threads", _threads),
    ("precision", _precision),
    ("memory", _memory),
    ("plugins", _plugins),
    ("weights", _weights),
    ("network", _network),
    ("cache", _cache),
    ("disk", _disk),
)
