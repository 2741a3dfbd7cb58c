"""The checks as a whole: in time, in the order that costs least, and with only what the stages at hand need."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylign.config import load_config
from raylign.errors import ConfigError, EndpointError, InputError, PlanError
from raylign.loop import EVALUATE, LOOP, PAIRS, REVISE, SAMPLE, TRAIN
from raylign.preflight import preflight, preflight_serving
from raylign.preflight.checks import together
from raylign.revise.templates import Template, check_template

FREE_PORT = "serve.port=0"
TWO = {"base": "bundled", "aligned": "bundled"}


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_the_embedded_run_passes_and_nothing_is_written(tmp_path: Path) -> None:
    preflight(load_config(None, [FREE_PORT]), LOOP, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_training_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no pairs in .*run `raylign pairs`"):
        preflight(load_config(), (TRAIN,), tmp_path)
    with pytest.raises(InputError, match="no pairs in /no/such/pairs"):
        preflight(load_config(None, ["train.pairs=/no/such/pairs"]), (PAIRS, TRAIN), tmp_path)
    preflight(load_config(), (PAIRS, TRAIN), tmp_path)  # they will have been made by then
    (tmp_path / "pairs" / "train").mkdir(parents=True)
    (tmp_path / "pairs" / "train" / "part-00000.parquet").touch()
    preflight(load_config(), (TRAIN,), tmp_path)


def test_evaluating_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained checkpoint"):
        preflight(load_config(None, [FREE_PORT]), (EVALUATE,), tmp_path)


def test_a_port_in_use_is_refused_before_hours_of_sampling(tmp_path: Path, silent_port: int) -> None:
    with pytest.raises(ConfigError, match=rf"serve\.port is {silent_port}"):
        preflight(load_config(None, [f"serve.port={silent_port}"]), (SAMPLE, REVISE), tmp_path)
    preflight(load_config(None, [f"serve.port={silent_port}"]), (SAMPLE,), tmp_path)


def test_serving_is_refused_before_ray_starts_too(silent_port: int) -> None:
    with pytest.raises(ConfigError, match=rf"serve\.port is {silent_port}"):
        preflight_serving(load_config(None, [f"serve.port={silent_port}"]), TWO)
    with pytest.raises(PlanError, match=r"serving needs 4 GPU\(s\).*serve\.gpus_per_replica=2"):
        preflight_serving(load_config(None, [FREE_PORT, "serve.gpus_per_replica=2"]), TWO)
    preflight_serving(load_config(None, [FREE_PORT]), TWO)


def test_a_cluster_elsewhere_is_not_measured_by_this_machine(tmp_path: Path) -> None:
    overrides = ["sample.gpus_per_engine=8", "cluster.local_cpus=1"]
    with pytest.raises(PlanError):
        preflight(load_config(None, overrides), (SAMPLE,), tmp_path)
    preflight(load_config(None, ["cluster.address=auto", *overrides]), (SAMPLE,), tmp_path)


def test_an_endpoint_that_never_answers_is_refused_within_ten_seconds(tmp_path: Path, silent_port: int) -> None:
    """The whole command, from its start to its end."""
    url = f"http://127.0.0.1:{silent_port}/v1"
    command = ["pairs", "--out", str(tmp_path / "run"), f"revise.base_url={url}", "revise.model=m"]
    started = time.monotonic()
    run = subprocess.run([sys.executable, "-m", "raylign.cli", *command], capture_output=True, text=True)
    seconds = time.monotonic() - started
    assert run.returncode == 2
    assert f"{url} does not answer" in run.stderr
    assert seconds < 10


def test_the_first_error_in_order_is_told_and_a_hanging_check_is_named() -> None:
    def fails() -> None:
        raise InputError("second")

    def hangs() -> None:
        time.sleep(5)

    with pytest.raises(InputError, match="second"):
        together([("first", lambda: None), ("second", fails), ("third", hangs)], 0.3)
    with pytest.raises(EndpointError, match=r"the third thing has not answered within 0\.3 s"):
        together([("first", lambda: None), ("the third thing", hangs)], 0.3)
    together([], 0.1)


def test_what_asks_over_the_network_asks_at_the_same_time() -> None:
    started = time.monotonic()
    together([(str(number), lambda: time.sleep(0.3)) for number in range(8)], 2.0)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    ("name", "source", "missing"),
    [
        ("clair", "{% block system %}edit{% endblock %}{% block user %}{{ task }}{% endblock %}", "answer"),
        ("clair", "{% block system %}edit{% endblock %}{% block user %}{{ answer }}{% endblock %}", "task"),
        ("guideline", "{% block system %}edit{% endblock %}{% block user %}{{ task }}{% endblock %}", "guideline"),
        ("clair", "{% block system %}edit{% endblock %}{% block user %}{{ draft }}{% endblock %}", "draft"),
        ("clair", "{% block user %}{{ task }}{{ answer }}{% endblock %}", "system"),
    ],
)
def test_a_template_without_its_fields_is_refused(
    name: str, source: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Template(name, "Be brief.")
    check_template(whole)
    monkeypatch.setattr("raylign.wording._read", lambda package, asked: source if asked == name else "")
    with pytest.raises(ConfigError, match=missing):
        check_template(Template(name, "Be brief."))


def test_no_heavy_package_is_loaded_for_the_checks(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from raylign.config import load_config; from raylign.loop import LOOP\n"
        "from raylign.preflight import preflight\n"
        f"preflight(load_config(None, ['{FREE_PORT}']), LOOP, Path(sys.argv[1]))\n"
        "print(sorted({'ray', 'vllm', 'torch', 'transformers', 'deepspeed'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
