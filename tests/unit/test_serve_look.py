"""What is read out of Serve's own words: the inputs have the shape of its details."""

from typing import Any

import pytest

from raylign.serve.look import deployment_name, has_taken_over, read_deployment, runtime_env
from raylign.serve.table import Row, lines


def details(status: str, replicas: dict[str, str], message: str = "") -> dict[str, Any]:
    found = [{"replica_id": key, "state": state, "actor_name": f"actor-{key}"} for key, state in replicas.items()]
    options = {"ray_actor_options": {"runtime_env": {"env_vars": {"PYTHONPATH": "/src"}}}}
    deployment = {"status": status, "message": message, "replicas": found, "deployment_config": options}
    return {"applications": {"raylign": {"deployments": {"LLMServer:base": deployment}}}}


def look(status: str, replicas: dict[str, str]) -> Any:
    return read_deployment(details(status, replicas), "raylign", "LLMServer:base")


@pytest.mark.parametrize(
    ("status", "replicas", "expected"),
    [
        ("HEALTHY", {"old": "RUNNING"}, None),  # Serve has not begun
        ("UPDATING", {"old": "RUNNING", "new": "STARTING"}, None),
        ("UPDATING", {"old": "RUNNING", "new": "RUNNING"}, None),
        ("HEALTHY", {"old": "STOPPING", "new": "RUNNING"}, True),  # the old one finishes what it has
        ("HEALTHY", {"new": "RUNNING"}, True),
        ("DEPLOY_FAILED", {"old": "RUNNING"}, False),
        ("UPDATING", {"old": "STOPPING", "new": "STARTING"}, None),
    ],
)
def test_when_new_replicas_have_taken_over(status: str, replicas: dict[str, str], expected: bool | None) -> None:
    assert has_taken_over(look(status, replicas), frozenset({"old"})) is expected


def test_a_deployment_that_is_not_there_is_none_and_the_environment_is_read() -> None:
    found = details("HEALTHY", {"one": "RUNNING"})
    assert read_deployment(found, "raylign", "LLMServer:other") is None
    assert read_deployment({}, "raylign", "LLMServer:base") is None
    assert runtime_env(found, "raylign", "LLMServer:base") == {"env_vars": {"PYTHONPATH": "/src"}}
    assert deployment_name("v1.5") == "LLMServer:v1_5"


def test_the_table_says_state_replicas_load_and_source() -> None:
    rows = [
        Row("base", "/m/base", None, look("HEALTHY", {"a": "RUNNING", "b": "STARTING"}), 3),
        Row("poet", "/m/poet", "base", look("HEALTHY", {"a": "RUNNING"}), 3),
        Row("idle", "/m/idle", None, look("HEALTHY", {}), 0),
        Row("lost", "/m/lost", None, None, None),
    ]
    text = lines("http://127.0.0.1:8000/v1", "healthy", "2026-01-01", rows)
    assert text[0].startswith("http://127.0.0.1:8000/v1  healthy")
    assert text[2].split() == ["base", "healthy", "1", "+1", "starting", "3", "/m/base"]
    assert text[3].endswith("/m/poet (on base)")
    assert text[4].split()[:4] == ["idle", "asleep", "0", "0"]
    assert text[5].split()[:4] == ["lost", "gone", "0", "?"]
