"""`raylign serve` as a person starts it, keys on, with clients that know nothing of it; then its controller
dies, and its checkpoint is swapped. One endpoint for all of it, so the order of the tests is that of the file."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from evaluated import write_results
from random_model import random_llama

from raylign.config import LoopConfig, to_yaml
from raylign.evaluate.contestants import weights_digest

pytestmark = pytest.mark.loop

ROOT = Path(__file__).parent.parent.parent
KEY, SECOND = "first-key-of-this-test", "second-key-of-this-test"
WRONG = "wrong-key-of-this-test"
QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
START_SECONDS = 800


@dataclass
class Endpoint:
    """A `raylign serve` that runs, and where it writes."""

    process: subprocess.Popen[str]
    folder: Path
    models: dict[str, Path]
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def client(self, key: str = KEY) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=120)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "raylign.cli", *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )

    def status(self) -> dict[str, list[str]]:
        """The table of `serve status`: a name's words."""
        run = self.command("serve", "status", "--from", str(self.folder))
        assert run.returncode == 0, run.stderr
        return {words[0]: words[1:] for line in run.stdout.splitlines()[2:] if (words := line.split())}


def make_models(folder: Path) -> dict[str, Path]:
    """A base model, another of the same shape, an adapter on the first, and one whose weights are no numbers."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    base = random_llama(folder / "base", head_dim=64)
    other = Path(shutil.copytree(base, folder / "other"))
    model = AutoModelForCausalLM.from_pretrained(other)
    torch.manual_seed(1)
    for weights in model.parameters():
        weights.data.normal_(std=0.5)
    model.save_pretrained(other)
    settings = peft.LoraConfig(
        r=8, lora_alpha=64, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    tuned = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    tuned.peft_config["default"].base_model_name_or_path = str(base)
    tuned.save_pretrained(folder / "adapter")
    broken = Path(shutil.copytree(base, folder / "broken"))
    for weights in model.parameters():
        weights.data.fill_(float("nan"))
    model.save_pretrained(broken)
    return {"base": base, "other": other, "adapter": folder / "adapter", "broken": broken}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("served")
    models = make_models(tmp_path_factory.mktemp("models"))
    (folder / "keys").write_text(f"{KEY}\n{SECOND}\n")
    named = {"base": models["base"], "aligned": models["base"], "tuned": models["adapter"]}
    options = {
        "port": 0,
        "api_keys_file": folder / "keys",
        "max_tokens_limit": 256,
        "max_request_bytes": 20_000,
        "audit": "sizes",
        "threads_per_replica": 1,
    }
    command = [sys.executable, "-m", "raylign.cli", "serve", "--out", str(folder)]
    command += [part for name, source in named.items() for part in ("--model", f"{name}={source}")]
    command += [f"serve.{key}={value}" for key, value in options.items()]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    started = Endpoint(process, folder, models, environment=environment)
    assert process.stdout is not None
    said = ""
    try:
        while "Ctrl-C" not in said and (line := process.stdout.readline()):
            said += line
        found = re.search(r"(http://\S+) serves", said)
        assert found, f"{said}\n{(folder / 'logs' / 'serve.log').read_text()[-3000:]}"
        started.url = found[1]
        yield started
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(120)
            finally:
                process.kill()


def test_every_route_of_the_running_endpoint_is_closed_without_a_key(endpoint: Endpoint) -> None:
    body = {"model": "base", "prompt": "a", "messages": QUESTION, "input": "a", "max_tokens": 1}
    asked = [("GET", "/v1/models"), ("GET", "/v1/models/base"), ("GET", "/docs"), ("GET", "/openapi.json")]
    asked += [("POST", f"/v1/{name}") for name in ("chat/completions", "completions", "embeddings", "score")]
    asked += [("POST", "/tokenize"), ("POST", "/detokenize"), ("OPTIONS", "/v1/chat/completions")]
    with httpx.Client(base_url=endpoint.url.removesuffix("/v1"), trust_env=False, timeout=60) as client:
        for method, path in asked:
            for headers in ({}, {"authorization": f"Bearer {WRONG}"}):
                answer = client.request(method, path, headers=headers, json=body)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
            answer = client.request(method, path, headers={"authorization": f"Bearer {SECOND}"}, json=body)
            assert answer.status_code != 401, (method, path)
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/-/routes").json() == {"/": "raylign"}  # what the proxy itself answers: no more than this
        assert client.get("/-/healthz").text == "success"


def test_the_openai_client_sees_all_models_and_chats_with_each(endpoint: Endpoint) -> None:
    client = endpoint.client()
    assert {model.id for model in client.models.list()} == {"base", "aligned", "tuned"}
    said = {}
    for name in ("base", "aligned", "tuned"):
        answer = client.chat.completions.create(model=name, messages=QUESTION, max_tokens=12, temperature=0)
        assert answer.model == name
        said[name] = answer.choices[0].message.content
    assert said["base"] == said["aligned"]  # the same weights
    assert said["tuned"] != said["base"]  # the adapter is on


def test_the_asynchronous_client_streams_from_all_at_once(endpoint: Endpoint) -> None:
    async def stream(client: openai.AsyncOpenAI, name: str) -> tuple[str, str | None]:
        text, reason = "", None
        request = await client.chat.completions.create(
            model=name, messages=QUESTION, max_tokens=24, temperature=0, stream=True, extra_body={"ignore_eos": True}
        )
        async for chunk in request:
            for choice in chunk.choices:
                text, reason = text + (choice.delta.content or ""), choice.finish_reason or reason
        return text, reason

    async def run() -> list[tuple[str, str | None]]:
        async with openai.AsyncOpenAI(base_url=endpoint.url, api_key=KEY, max_retries=0, timeout=120) as client:
            return await asyncio.gather(*(stream(client, name) for name in ("base", "aligned", "tuned") * 3))

    found = asyncio.run(run())
    assert {reason for _, reason in found} == {"length"}
    assert all(text for text, _ in found)


def test_wrong_keys_bounds_and_names_are_the_clients_own_errors(endpoint: Endpoint) -> None:
    client = endpoint.client()
    with pytest.raises(openai.AuthenticationError):
        endpoint.client(WRONG).models.list()
    with pytest.raises(openai.BadRequestError, match="limit of a request is 256"):
        client.completions.create(model="base", prompt="a", max_tokens=257)
    with pytest.raises(openai.APIStatusError) as large:
        client.completions.create(model="base", prompt="a" * 30_000, max_tokens=1)
    assert large.value.status_code == 413
    with pytest.raises(openai.NotFoundError) as unknown:
        client.completions.create(model="nobody", prompt="a", max_tokens=1)
    assert unknown.value.code == "model_not_found"


def test_an_answer_without_a_limit_ends_at_the_endpoints(endpoint: Endpoint) -> None:
    answer = endpoint.client().chat.completions.create(
        model="base", messages=QUESTION, temperature=0, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 256


def test_curl(endpoint: Endpoint) -> None:
    request = json.dumps({"model": "aligned", "messages": QUESTION, "max_tokens": 4, "stream": True})
    command = ["curl", "--silent", "--no-buffer", "--max-time", "60", f"{endpoint.url}/chat/completions"]
    headers = ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"]
    run = subprocess.run([*command, *headers, "-d", request], capture_output=True, text=True, check=True)
    events = [line.removeprefix("data: ") for line in run.stdout.splitlines() if line]
    assert events[-1] == "[DONE]"
    assert all(json.loads(event)["model"] == "aligned" for event in events[:-1])


LM_EVAL_TASK = """
task: questions
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{max_gen_toks: 8, temperature: 0}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""

INSPECT_TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate


@task
def questions() -> Task:
    return Task(dataset=[Sample(input="Capital of France?", target="Paris")], solver=generate(), scorer=includes())
"""


def run_client(python: Path, folder: Path, *arguments: str, **variables: str) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "huggingface")}
    environment = os.environ | offline | variables
    run = subprocess.run(
        [python, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]


def test_lm_eval(endpoint: Endpoint, clients: Path, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"question": "Capital of France?", "answer": "Paris"}\n' * 3)
    (tmp_path / "questions.yaml").write_text(LM_EVAL_TASK.format(data=tmp_path / "data.jsonl"))
    place = f"model=aligned,base_url={endpoint.url}/chat/completions,num_concurrent=2,max_retries=1"
    options = ["--tasks", "questions", "--include_path", str(tmp_path), "--apply_chat_template", "--log_samples"]
    model = ["--model", "local-chat-completions", "--model_args", place]
    run_client(clients, tmp_path, "lm_eval", *model, *options, "--output_path", "out", OPENAI_API_KEY=KEY)
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(rows) == 3
    assert all(row["resps"][0][0] for row in rows)


def test_inspect(endpoint: Endpoint, clients: Path, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(INSPECT_TASK)
    options = ["--model", "openai-api/raylign/aligned", "--max-tokens", "8", "--display", "plain"]
    logs = ["--log-dir", "logs", "--log-format", "json"]
    run_client(
        clients, tmp_path, "inspect_ai", "eval", "task.py", *options, *logs,
        RAYLIGN_API_KEY=SECOND, RAYLIGN_BASE_URL=endpoint.url,
    )  # fmt: skip
    (log,) = (tmp_path / "logs").glob("*.json")
    found = json.loads(log.read_text())
    assert found["status"] == "success"
    assert found["samples"][0]["output"]["choices"][0]["message"]["content"]


@dataclass
class Load:
    """Clients that ask again and again, half of them for streams, and never try a second time."""

    endpoint: Endpoint
    model: str
    clients: int
    tokens: int
    pause_seconds: float = 0.0
    """Between a client's requests: what starts meanwhile needs the processor, too."""
    done: int = 0
    failures: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        client = self.endpoint.client()
        request: dict[str, Any] = {"model": self.model, "messages": QUESTION, "max_tokens": self.tokens}
        request |= {"temperature": 0, "extra_body": {"ignore_eos": True}, "stream": number % 2 == 0}
        while not self._stop.wait(self.pause_seconds):
            try:
                answer = client.chat.completions.create(**request)
                text, reason = "", None
                for chunk in answer if request["stream"] else []:
                    for choice in chunk.choices:
                        text, reason = text + (choice.delta.content or ""), choice.finish_reason or reason
                if not request["stream"]:
                    text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
                if reason != "length":
                    self.failures.append(f"cut: {reason}")
                self.said.add(text[:40])
                self.done += 1
            except openai.OpenAIError as error:
                self.failures.append(repr(error))


def wait_until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(1)


def processes(endpoint: Endpoint, name: str) -> set[int]:
    """Those of the endpoint's processes that Ray calls so."""
    import psutil

    found = set()
    for process in psutil.Process(endpoint.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if name in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def test_a_model_on_the_cpu_computes_in_its_engines_own_process(endpoint: Endpoint) -> None:
    assert len(processes(endpoint, "VLLM::")) == len(processes(endpoint, "VLLM::EngineCore")) == 2


def test_engines_on_the_cpu_go_last_and_who_passes_requests_on_goes_first(endpoint: Endpoint) -> None:
    import psutil

    usual = os.getpriority(os.PRIO_PROCESS, endpoint.process.pid)
    found = {
        name: {psutil.Process(process).nice() for process in processes(endpoint, name)}
        for name in ("VLLM::", "ServeReplica:raylign:LLMServer", "ServeReplica:raylign:router", "ray::ProxyActor")
    }
    assert list(found.values()) == [{19}, {19}, {usual}, {usual}]


def test_replicas_outlive_the_controller_that_watches_them(endpoint: Endpoint) -> None:
    replicas, (controller,) = processes(endpoint, "ServeReplica:raylign"), processes(endpoint, "ServeController")
    assert len(replicas) == 3  # two models and the router
    with Load(endpoint, "aligned", clients=2, tokens=64, pause_seconds=0.3) as load:
        os.kill(controller, signal.SIGKILL)
        wait_until(lambda: processes(endpoint, "ServeController") - {controller}, "another controller")
        wait_until(lambda: endpoint.status()["aligned"][:2] == ["healthy", "1"], "its report of the replicas")
        before = load.done
        wait_until(lambda: load.done > before + 6, "further answers")
    assert load.failures == []
    assert processes(endpoint, "ServeReplica:raylign") == replicas


def test_a_promotion_upgrades_the_served_name_under_load_and_loses_no_request(
    endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trained = tmp_path_factory.mktemp("trained")  # served on after this test
    checkpoint = Path(shutil.copytree(endpoint.models["other"], trained / "checkpoint"))
    (trained / "config.yaml").write_text(to_yaml(LoopConfig()))
    write_results(trained, weights_digest(checkpoint))
    options = ["promote.metric=ifeval.prompt_strict", "promote.served=true", f"promote.served_from={endpoint.folder}"]
    with Load(endpoint, "aligned", clients=3, tokens=64, pause_seconds=0.3) as load:
        run = endpoint.command("promote", "--run", str(trained), *options)
        before = load.done
        wait_until(lambda: load.done > before + 6, "answers of the new one")
    assert run.returncode == 0, run.stderr
    assert f"aligned serves {checkpoint} in the place of" in run.stdout
    assert json.loads((trained / "decision.json").read_text())["served"]["upgraded"] is True
    assert load.failures == []
    assert len(load.said) == 2  # the old weights' answer and the new ones'
    assert str(checkpoint) in endpoint.status()["aligned"]
    assert {model.id for model in endpoint.client().models.list()} == {"base", "aligned", "tuned"}
    again = endpoint.command("serve", "upgrade", "--from", str(endpoint.folder), "--to", str(checkpoint))
    assert "already" in again.stdout


def test_a_broken_checkpoint_is_rolled_back_by_itself(endpoint: Endpoint) -> None:
    served = endpoint.status()["aligned"][-1]
    with Load(endpoint, "aligned", clients=2, tokens=64, pause_seconds=0.3) as load:
        run = endpoint.command(
            "serve", "upgrade", "--from", str(endpoint.folder), "--to", str(endpoint.models["broken"])
        )
    assert run.returncode == 2
    assert "rolled back" in run.stderr
    assert "serves on as aligned" in run.stderr
    assert load.done > 0
    assert load.failures == []
    assert endpoint.status()["aligned"][0] == "healthy"
    assert endpoint.status()["aligned"][-1] == served


def test_what_cannot_be_upgraded_is_said_at_once(endpoint: Endpoint) -> None:
    for options, said in (
        (["--name", "nobody", "--to", str(endpoint.models["base"])], "served: base, aligned, tuned"),
        (["--to", str(endpoint.models["adapter"])], "not of a kind"),
        (["--to", str(endpoint.folder)], "has no config.json"),
    ):
        run = endpoint.command("serve", "upgrade", "--from", str(endpoint.folder), *options)
        assert run.returncode == 2
        assert said in run.stderr


def test_it_stops_cleanly_and_no_key_is_in_any_log(endpoint: Endpoint) -> None:
    endpoint.process.send_signal(signal.SIGINT)
    assert endpoint.process.wait(120) == 0
    assert not (endpoint.folder / "serve.json").exists()
    files = [path for path in endpoint.folder.rglob("*") if path.is_file() and path.name != "keys"]
    assert any("LLMServer" in path.name for path in files)  # Ray's logs were kept
    for path in files:
        content = path.read_bytes()
        for key in (KEY, SECOND, WRONG):
            assert key.encode() not in content, path
    entries = [json.loads(line) for line in (endpoint.folder / "logs" / "audit.jsonl").read_text().splitlines()]
    assert {entry["model"] for entry in entries} >= {"base", "aligned", "tuned"}
    assert len({entry["key"] for entry in entries if entry["key"]}) == 2
    assert "France" not in (endpoint.folder / "logs" / "audit.jsonl").read_text()
