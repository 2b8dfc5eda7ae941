"""The manifest in docs/scale.md against the fields of KubeRay's Go types (ray.io/v1, rayjob_types.go, raycluster_types.go)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
# Fields by their JSON names with their types here; a required one is marked. Pod templates are Kubernetes' own.
JOB: dict[str, tuple[type, bool]] = {
    "entrypoint": (str, False),
    "shutdownAfterJobFinishes": (bool, False),
    "rayClusterSpec": (dict, False),
    "activeDeadlineSeconds": (int, False),
    "backoffLimit": (int, False),
    "submissionMode": (str, False),
    "ttlSecondsAfterFinished": (int, False),
    "runtimeEnvYAML": (str, False),
}
CLUSTER: dict[str, tuple[type, bool]] = {
    "headGroupSpec": (dict, True),
    "workerGroupSpecs": (list, False),
    "rayVersion": (str, False),
    "enableInTreeAutoscaling": (bool, False),
    "autoscalerOptions": (dict, False),
}
HEAD: dict[str, tuple[type, bool]] = {"rayStartParams": (dict, True), "template": (dict, True)}
WORKERS: dict[str, tuple[type, bool]] = {
    **HEAD,
    "groupName": (str, True),
    "replicas": (int, False),
    "minReplicas": (int, True),
    "maxReplicas": (int, True),
    "numOfHosts": (int, False),
}


def manifest() -> dict[str, Any]:
    """Read the only RayJob of the page."""
    blocks = [part.split("```")[0] for part in PAGE.read_text(encoding="utf-8").split("```yaml")[1:]]
    jobs = [yaml.safe_load(block) for block in blocks if "kind: RayJob" in block]
    assert len(jobs) == 1
    return dict(jobs[0])


def check(fields: dict[str, Any], allowed: dict[str, tuple[type, bool]]) -> None:
    """Every field is known and of its type, and none that is required lacks."""
    assert set(fields) <= set(allowed)
    assert {name for name, (_, required) in allowed.items() if required} <= set(fields)
    for name, value in fields.items():
        assert isinstance(value, allowed[name][0]), name


def test_fields_are_those_of_kuberay() -> None:
    job = manifest()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    check(job["spec"], JOB)
    cluster = job["spec"]["rayClusterSpec"]
    check(cluster, CLUSTER)
    check(cluster["headGroupSpec"], HEAD)
    for group in cluster["workerGroupSpecs"]:
        check(group, WORKERS)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_every_volume_that_is_mounted_is_there() -> None:
    cluster = manifest()["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", [])}
        assert mounted <= {volume["name"] for volume in pod.get("volumes", [])}


def test_an_unknown_field_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        check({**manifest()["spec"], "entryPoint": "tl-advise"}, JOB)
