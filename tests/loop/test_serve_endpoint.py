"""Serving on real Ray Serve and vLLM: one Ray session, a start that fails, then two uses in a row that work."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import psutil
import pytest
import ray
from ray import serve

from raylign.config import ServeConfig
from raylign.errors import ConfigError, ModelError, PlanError
from raylign.serve.endpoint import serve_models

pytestmark = pytest.mark.loop

QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]


@dataclass
class Endpoint:
    """The second use, and what was noted of the first."""

    url: str
    first_models: list[str]
    first_answer: str
    cpus_after_first: float

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=120)


def _free_cpus(wanted: float) -> float:
    deadline = time.monotonic() + 20  # placement groups are given back shortly after Serve has gone
    while (free := ray.available_resources().get("CPU", 0.0)) < wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return free


def test_a_start_that_cannot_work_says_why_and_leaves_the_cluster_free(ray_cluster: None, bundled_model: Path) -> None:
    models, config = {"base": str(bundled_model)}, ServeConfig(port=0, max_model_len=100_000)
    why = r"model 'base' did not start: .*max_model_len \(100000\)"
    with pytest.raises(ModelError, match=why) as caught, serve_models(models, config):
        pytest.fail("it must not get here")
    assert "serve.max_model_len" in caught.value.cure
    assert _free_cpus(8.0) == 8.0


def test_bad_input_is_refused_before_anything_starts(ray_cluster: None, tmp_path: Path, bundled_model: Path) -> None:
    for models, config, kind in (
        ({"base": str(tmp_path / "nowhere")}, ServeConfig(port=0), ModelError),
        ({"base": str(bundled_model)}, ServeConfig(port=0, threads_per_replica=64), PlanError),
        ({"base": str(bundled_model)}, ServeConfig(port=0, engine={"max_num_sequences": 3}), ConfigError),
    ):
        with pytest.raises(kind), serve_models(models, config):
            pytest.fail("it must not get here")
    assert ray.available_resources()["CPU"] == 8.0


def test_the_builder_of_a_serve_config_file(ray_cluster: None, bundled_model: Path) -> None:
    from raylign.serve.app import build

    models = {"base": "bundled", "aligned": str(bundled_model)}
    keys = {"api_keys_env": "KEYS_OF_THE_CLUSTER"}
    assert isinstance(build({"models": models, "serve": {"replicas_max": 2} | keys}), serve.Application)
    for arguments, said in (
        ({"models": models, "serve": {"replica_max": 2}}, "did you mean 'serve.replicas_max'"),
        ({"models": models, "serve": {"port": 80}}, "http_options"),
        ({"model": models}, "unknown argument 'model'"),
        ({"models": models}, "asks for no key"),
        ({"models": models, "serve": keys | {"audit": "sizes"}}, "no run folder"),
        ({"serve": keys}, "no model to serve"),
    ):
        with pytest.raises(ConfigError, match=said):
            build(arguments)


@pytest.fixture(scope="module")
def endpoint(ray_cluster: None, bundled_model: Path) -> Iterator[Endpoint]:
    folder, config = str(bundled_model), ServeConfig(port=0)
    with serve_models({"reviser": folder}, config) as url:
        noted = Endpoint(url, [], "", 0.0)
        noted.first_models = [model.id for model in noted.client.models.list()]
        answer = noted.client.chat.completions.create(model="reviser", messages=QUESTION, max_tokens=16, temperature=0)
        noted.first_answer = answer.choices[0].message.content or ""
    noted.cpus_after_first = _free_cpus(8.0)
    with serve_models({"base": folder, "aligned": folder}, config) as url:
        noted.url = url
        yield noted


def test_the_first_use_answered_and_freed_its_cpus(endpoint: Endpoint) -> None:
    assert endpoint.first_models == ["reviser"]
    assert "Paris" in endpoint.first_answer
    assert endpoint.cpus_after_first == 8.0


def test_both_models_are_listed(endpoint: Endpoint) -> None:
    assert sorted(model.id for model in endpoint.client.models.list()) == ["aligned", "base"]


@pytest.mark.parametrize("model", ["base", "aligned"])
def test_an_unmodified_client_chats(endpoint: Endpoint, model: str) -> None:
    answer = endpoint.client.chat.completions.create(model=model, messages=QUESTION, max_tokens=16, temperature=0)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens < 16


def test_a_stream_adds_up_to_the_whole_answer(endpoint: Endpoint) -> None:
    request = {"model": "aligned", "messages": QUESTION, "max_tokens": 16, "temperature": 0}
    whole = endpoint.client.chat.completions.create(**request)
    chunks = list(endpoint.client.chat.completions.create(**request, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 1


def test_a_model_that_is_not_served_is_a_404(endpoint: Endpoint) -> None:
    with pytest.raises(openai.NotFoundError):
        endpoint.client.chat.completions.create(model="nobody", messages=QUESTION, max_tokens=1)


def test_token_log_probabilities_of_a_given_prompt(endpoint: Endpoint) -> None:
    """The evaluation reads log-probabilities of an answer under the base model this way."""
    token_ids = [504, 3575, 282, 4649, 314, 7042]  # "The capital of France is Paris"
    answer = endpoint.client.completions.create(model="base", prompt=token_ids, echo=True, logprobs=0, max_tokens=0)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == ["The", " capital", " of", " France", " is", " Paris"]
    values = logprobs.token_logprobs or []
    assert values[0] is None  # nothing precedes the first token
    assert all(value <= 0 for value in values[1:])
    assert values[-1] > -1.0  # after "France is", Paris is likely


def test_only_loopback_listens(endpoint: Endpoint) -> None:
    port = httpx.URL(endpoint.url).port
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
    assert listening == {"127.0.0.1"}


def test_a_second_endpoint_in_the_same_cluster_is_refused(endpoint: Endpoint, bundled_model: Path) -> None:
    with pytest.raises(PlanError, match="already runs"), serve_models({"x": str(bundled_model)}, ServeConfig(port=0)):
        pytest.fail("it must not get here")
    assert sorted(model.id for model in endpoint.client.models.list()) == ["aligned", "base"]
