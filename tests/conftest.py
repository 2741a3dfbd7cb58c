"""What tests share: places for temporary Ray clusters, the bundled model, a tiny model, the shared data folder."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What a shell starts in its background ignores Ctrl-C, and hands that on to its children: tests send and expect it.
signal.signal(signal.SIGINT, signal.default_int_handler)
IN_CI = os.environ.get("CI", "").lower() in ("1", "true")


def skip_or_fail(reason: str) -> None:
    """A missing prerequisite skips on a laptop and fails in CI, where everything must be there."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real public inputs that lies beside some checkouts; not part of the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A private local Ray of 8 logical CPUs, in a temporary folder of its own, for the whole test session."""
    import ray

    from raylign.session import prepare_environment

    folder = Path(tempfile.mkdtemp(prefix="rl-", dir="/tmp"))  # short: Ray's socket paths have a length limit
    prepare_environment()
    ray.init(
        num_cpus=8,
        include_dashboard=False,
        _temp_dir=str(folder),
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def clients() -> Path:
    """The Python that has clients of other projects (lm_eval, inspect_ai) beside everything of ours."""
    python = ROOT / ".venv-clients" / "bin" / "python"
    if not python.exists():
        skip_or_fail("no .venv-clients: run make setup-dev")
    return python


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder."""
    from raylign.model import bundled_folder

    return bundled_folder()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model to train."""
    from random_model import random_llama

    return random_llama(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def tiny_engine_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model to draft with: its heads are of a size that vLLM's attention has on CPU."""
    from random_model import random_llama

    return random_llama(tmp_path_factory.mktemp("tiny-engine-model"), head_dim=64)
