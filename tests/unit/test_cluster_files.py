"""The cluster files fit raylign, each other and the programs that read them; all checked offline."""

import copy
import json
import re
import shlex
import socket
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from raylign.config import LoopConfig, load_config

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
IN_IMAGE = "/opt/raylign/"  # where the image recipes keep the project
KUBERAY = {path.name: path for path in sorted((CLUSTER / "kuberay").glob("*-ray*.yaml"))}
LAUNCHER = CLUSTER / "aws.yaml"
SCHEMAS = {"RayJob": "rayjobs.v1.schema.json", "RayService": "rayservices.v1.schema.json"}


def read(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def ray_cluster(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    cluster: dict[str, Any] = spec.get("rayClusterSpec") or spec["rayClusterConfig"]
    return cluster


def job_commands() -> list[list[str]]:
    """The words of every command that starts an entry point, from the RayJobs and the cluster's README."""
    found = [shlex.split(read(path)["spec"]["entrypoint"]) for name, path in KUBERAY.items() if "rayjob" in name]
    readme = (CLUSTER / "README.md").read_text(encoding="utf-8")
    return found + [shlex.split(command) for command in re.findall(r"-- (python jobs/.+)", readme)]


# What a job starts


@pytest.mark.parametrize("words", job_commands(), ids=lambda words: " ".join(words[1:2] + words[6:]))
def test_command_names_files_that_exist_and_settings_that_load(words: list[str]) -> None:
    assert words[0] == "python"
    script, config = words[1].removeprefix(IN_IMAGE), words[words.index("--config") + 1].removeprefix(IN_IMAGE)
    assert (ROOT / script).is_file()
    assert words[words.index("--out") + 1].startswith("/mnt/raylign/")
    load_config(ROOT / config, [word for word in words[2:] if "=" in word])


def test_pairs_and_train_jobs_share_configuration_and_run_folder() -> None:
    pairs, train = (
        shlex.split(read(KUBERAY[f"{name}-rayjob.yaml"])["spec"]["entrypoint"]) for name in ("pairs", "train")
    )
    assert pairs[2:] == train[2:]


# Amazon's launcher file


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The launcher file as `ray up` understands it, accepted by Ray's own schema; any network access fails."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    def refuse(*_: object) -> None:
        raise AssertionError("validation reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    prepared: dict[str, Any] = prepare_config(read(LAUNCHER))
    validate_config(prepared)
    return prepared


def test_launcher_file_with_an_unknown_key_is_refused(launcher: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import validate_config

    launcher["idle_timeout"] = launcher.pop("idle_timeout_minutes")
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout"):
        validate_config(launcher)


def test_launcher_has_an_on_demand_cpu_head_and_spot_gpu_workers_from_zero(launcher: dict[str, Any]) -> None:
    types = dict(launcher["available_node_types"])
    head = types.pop(launcher["head_node_type"])
    assert "GPU" not in head["resources"]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert types
    for worker in types.values():
        assert worker["resources"]["GPU"] > 0
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["min_workers"] == 0 < worker["max_workers"]
    assert sum(worker["max_workers"] for worker in types.values()) <= launcher["max_workers"]
    assert 0 < launcher["idle_timeout_minutes"] <= 15


def test_launcher_can_grow_to_what_the_recipe_asks_for(launcher: dict[str, Any]) -> None:
    config = load_config(ROOT / "jobs/conf/llama3_8b.yaml")
    types = launcher["available_node_types"]
    sampler, trainer = types["sampler"], types["trainer"]
    assert sampler["max_workers"] * sampler["resources"]["GPU"] >= config.sample.engines_max
    assert trainer["resources"]["GPU"] >= config.train.workers
    assert trainer["resources"]["CPU"] >= config.train.workers * config.train.cpus_per_worker


def test_launcher_starts_every_node_with_the_token_and_the_dashboard_on_loopback(launcher: dict[str, Any]) -> None:
    for commands in (launcher["head_start_ray_commands"], launcher["worker_start_ray_commands"]):
        start = commands[-1]
        assert "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in start
    assert "--dashboard-host=127.0.0.1" in launcher["head_start_ray_commands"][-1]
    for node in launcher["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"]  # otherwise Ray makes one with SSH open to the internet


def test_launcher_installs_files_that_exist(launcher: dict[str, Any]) -> None:
    mounted = {remote: ROOT / local for remote, local in launcher["file_mounts"].items() if local.startswith("./")}
    commands = launcher["head_setup_commands"] + launcher["worker_setup_commands"]
    installed = [command.split("--requirement ")[1] for command in commands if "--requirement" in command]
    assert {Path(path).name for path in installed} == {"gpu.txt", "aws.txt"}
    for path in installed:
        assert (mounted[str(Path(path).parent)] / Path(path).name).is_file()


# KubeRay's files


def strict(schema: Any) -> Any:
    """The schema with every object closed that names its properties, as the API server prunes what it does not know."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_file_fits_the_operators_schema_strictly(name: str, shared_data: Path) -> None:
    document = read(KUBERAY[name])
    schema = strict(json.loads((shared_data / "kuberay" / SCHEMAS[document["kind"]]).read_text(encoding="utf-8")))
    jsonschema.validate(document, schema)
    misspelt = copy.deepcopy(document)
    group = ray_cluster(misspelt)["workerGroupSpecs"][0]
    group["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(jsonschema.ValidationError, match="resource"):
        jsonschema.validate(misspelt, schema)


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_cluster_has_a_cpu_head_a_token_and_gpu_workers_from_zero(name: str) -> None:
    document = read(KUBERAY[name])
    assert document["apiVersion"] == "ray.io/v1"
    cluster = ray_cluster(document)
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    head = cluster["headGroupSpec"]["template"]["spec"]
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == 0 < group["maxReplicas"]
        worker = group["template"]["spec"]
        assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] > 0
        for pod in (head, worker):
            assert pod["restartPolicy"] == "Never"  # autoscaler v2 refuses anything else
            assert pod["securityContext"]["runAsNonRoot"] is True
            claims = [volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"]]
            assert read(CLUSTER / "kuberay" / "shared-storage.yaml")["metadata"]["name"] in claims


def gpus(name: str) -> int:
    """GPUs that the cluster of a file may grow to."""
    groups = ray_cluster(read(KUBERAY[name]))["workerGroupSpecs"]
    counts = [group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] for group in groups]
    return sum(group["maxReplicas"] * count for group, count in zip(groups, counts, strict=True))


def test_kuberay_clusters_can_grow_to_what_the_recipe_asks_for() -> None:
    config = load_config(ROOT / "jobs/conf/llama3_8b.yaml")
    assert gpus("pairs-rayjob.yaml") >= config.sample.engines_max * config.sample.gpus_per_engine
    assert gpus("train-rayjob.yaml") >= config.train.workers * config.train.gpus_per_worker
    application = serve_application()
    serve = serve_settings(application)
    surge = 2  # an update holds the old replicas until the new ones run
    assert gpus("serve-rayservice.yaml") >= (
        len(application["args"]["models"]) * serve.replicas_max * serve.gpus_per_replica * surge
    )


def serve_application() -> dict[str, Any]:
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(read(KUBERAY["serve-rayservice.yaml"])["spec"]["serveConfigV2"])
    ServeDeploySchema(**config)
    (application,) = config["applications"]
    assert isinstance(application, dict)
    return application


def serve_settings(application: dict[str, Any]) -> Any:
    fields = application["args"]["serve"]
    config: LoopConfig = load_config(overrides=[f"serve.{key}={json.dumps(value)}" for key, value in fields.items()])
    return config.serve


def test_rayservice_serves_both_models_inside_the_cluster_only() -> None:
    document = read(KUBERAY["serve-rayservice.yaml"])
    application = serve_application()
    module, _, function = application["import_path"].partition(":")
    assert f"def {function}(" in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    models = application["args"]["models"]
    train = shlex.split(read(KUBERAY["train-rayjob.yaml"])["spec"]["entrypoint"])
    assert models["base"] == load_config(ROOT / "jobs/conf/llama3_8b.yaml").model
    assert models["aligned"] == f"{train[train.index('--out') + 1]}/checkpoint"
    assert document["spec"]["serveService"]["spec"]["type"] == "ClusterIP"
    variable = application["args"]["serve"]["api_keys_env"]
    groups = ray_cluster(document)["workerGroupSpecs"]
    for group in [ray_cluster(document)["headGroupSpec"], *groups]:  # the router may run on any node
        names = {entry["name"] for entry in group["template"]["spec"]["containers"][0]["env"]}
        assert variable in names
