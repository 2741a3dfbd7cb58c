"""How to read what Ray Serve says of a running application; pure: plain values in, plain values out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raylign.serve.plan import DEPLOYMENT_PREFIX

HEALTHY, FAILED = "HEALTHY", "DEPLOY_FAILED"
RUNNING = "RUNNING"


@dataclass(frozen=True)
class Deployment:
    """A deployment as it is."""

    status: str
    message: str
    replicas: Mapping[str, str]
    """Replica id to its state, such as STARTING, RUNNING or STOPPING."""
    actors: Mapping[str, str]
    """Replica id to the name of its actor."""

    @property
    def running(self) -> frozenset[str]:
        """The replicas that take requests."""
        return frozenset(replica for replica, state in self.replicas.items() if state == RUNNING)


def deployment_name(model: str) -> str:
    """The name that ray.serve.llm gives to a model's deployment."""
    return DEPLOYMENT_PREFIX + model.replace("/", "--").replace(".", "_")


def read_deployment(details: Mapping[str, Any], application: str, name: str) -> Deployment | None:
    """One deployment of Serve's own details; None where there is none."""
    found = details.get("applications", {}).get(application, {}).get("deployments", {}).get(name)
    if found is None:
        return None
    replicas = found.get("replicas", [])
    return Deployment(
        str(_value(found.get("status"))),
        found.get("message") or "",
        {replica["replica_id"]: str(_value(replica["state"])) for replica in replicas},
        {replica["replica_id"]: replica["actor_name"] for replica in replicas},
    )


def runtime_env(details: Mapping[str, Any], application: str, name: str) -> dict[str, Any]:
    """The runtime environment that a deployment's replicas were started in."""
    deployment = details["applications"][application]["deployments"][name]
    options = deployment["deployment_config"].get("ray_actor_options") or {}
    return dict(options.get("runtime_env") or {})


def has_taken_over(deployment: Deployment, before: frozenset[str]) -> bool | None:
    """Whether new replicas serve in the place of those that did `before`: True, False for never, None for not yet."""
    if deployment.status == FAILED:
        return False
    alive = {replica for replica, state in deployment.replicas.items() if state != "STOPPING"}
    if deployment.status == HEALTHY and deployment.running - before and not alive & before:
        return True
    return None


def _value(word: Any) -> Any:
    """An enumeration's value, or the plain word that an older or newer Serve gives."""
    return getattr(word, "value", word)
