"""Serving on real Ray Serve and vLLM: one Ray session, a start that fails, then two uses in a row that work."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from raylign.serve.endpoint import host_models, serve_models
from raylign.serve.look import deployment_name, read_deployment
from raylign.serve.running import APPLICATION, serve_details

pytestmark = pytest.mark.loop

QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]


@dataclass
class Endpoint:
    """An endpoint, by its URL."""

    url: str

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=120)

    def chat(self, model: str, **options: object) -> str:
        answer = self.client.chat.completions.create(model=model, messages=QUESTION, temperature=0, **options)
        return answer.choices[0].message.content or ""

    @contextmanager
    def load(self, model: str, clients: int) -> Iterator[None]:
        """So many clients that ask without pause."""
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                self.chat(model, max_tokens=64, extra_body={"ignore_eos": True})

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


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


def test_replicas_follow_the_load_down_to_none_and_back(ray_cluster: None, bundled_model: Path) -> None:
    options = {"threads_per_replica": 1, "target_ongoing_requests": 2, "upscale_seconds": 2, "downscale_seconds": 5}
    config = ServeConfig(port=0, replicas_min=0, replicas_max=2, **options)
    with host_models({"only": str(bundled_model)}, config) as url:
        endpoint = Endpoint(url)
        assert "Paris" in endpoint.chat("only", max_tokens=16)
        with endpoint.load("only", clients=6):
            _wait_until(lambda: _replicas("only") == 2, "a second replica")
        _wait_until(lambda: _replicas("only") == 0, "no replica at all")
        assert [model.id for model in endpoint.client.models.list()] == ["only"]
        assert _replicas("only") == 0  # to be listed wakes nobody
        assert "Paris" in endpoint.chat("only", max_tokens=16)  # to be asked does
        assert _replicas("only") == 1
    assert _free_cpus(8.0) == 8.0


def _replicas(model: str) -> int:
    found = read_deployment(serve_details(), APPLICATION, deployment_name(model))
    assert found is not None
    return len(found.running)


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def endpoint(ray_cluster: None, bundled_model: Path) -> Iterator[Endpoint]:
    folder = str(bundled_model)
    with serve_models({"base": folder, "aligned": folder}, ServeConfig(port=0)) as url:
        yield Endpoint(url)


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
