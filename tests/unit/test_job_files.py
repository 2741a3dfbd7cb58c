"""The entry points for Ray Jobs start, and the configurations beside them say what they promise."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from raylign.config import load_config
from raylign.config.load import known_keys

JOBS = Path(__file__).parents[2] / "jobs"
CONFIGS = sorted((JOBS / "conf").glob("*.yaml"))


@pytest.mark.parametrize("script", sorted(JOBS.glob("*.py")), ids=lambda path: path.name)
def test_entry_point_shows_its_help_from_any_folder(script: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(script), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert f"raylign {script.stem}" in result.stdout


@pytest.mark.parametrize("script", sorted(JOBS.glob("*.py")), ids=lambda path: path.name)
def test_entry_point_explains_a_wrong_option_in_its_own_words(script: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(script), "--no-such-option"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert f"raylign {script.stem}" in result.stderr
    assert "Traceback" not in result.stderr


def test_embedded_configuration_is_the_default_itself() -> None:
    assert load_config(JOBS / "conf" / "smollm2_cpu.yaml") == load_config()


def spelt_keys(values: dict[str, Any], above: str = "") -> set[str]:
    """The keys of a configuration, sections and what stands in them, by their whole names."""
    found = {f"{above}{key}" for key in values}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= spelt_keys(value, f"{above}{key}.")
    return found


def test_embedded_configuration_spells_out_every_key_with_its_section_explained() -> None:
    text = (JOBS / "conf" / "smollm2_cpu.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    sections = {key for key, value in values.items() if isinstance(value, dict)}
    assert spelt_keys(values) == set(known_keys())
    explained = set(re.findall(r"^(\w+):.*#", text, flags=re.MULTILINE))
    assert sections - {"cluster"} <= explained


def test_llama3_configuration_is_the_published_recipe() -> None:
    """Llama-3-8B-Instruct, 32K pairs, learning rate 2e-7, beta 0.1, batch 64: the recipe of arXiv 2408.06266."""
    config = load_config(JOBS / "conf" / "llama3_8b.yaml")
    assert config.model == "meta-llama/Meta-Llama-3-8B-Instruct"
    assert config.prompts.limit == 32_000
    assert config.revise.template == "clair"
    train = config.train
    assert (train.objective, train.learning_rate, train.beta, train.batch_size) == ("apo_zero", 2e-7, 0.1, 64)


def test_llama3_configuration_runs_on_gpus_and_names_its_key_only() -> None:
    config = load_config(JOBS / "conf" / "llama3_8b.yaml")
    assert (config.train.workers, config.train.gpus_per_worker, config.train.zero_stage) == (8, 1, 3)
    assert config.train.dtype == "bf16"
    assert config.train.activation_checkpointing
    assert config.sample.gpus_per_engine == config.serve.gpus_per_replica == 1
    assert config.sample.engines_max > config.sample.engines_min
    assert config.revise.max_repairs == 2
    assert (config.revise.base_url, config.revise.api_key_env) == ("https://api.openai.com/v1", "OPENAI_API_KEY")


def test_no_configuration_holds_a_key() -> None:
    for path in CONFIGS:
        for key, value in _leaves(yaml.safe_load(path.read_text(encoding="utf-8"))):
            assert not re.search(r"(sk-|hf_|AKIA)\w{12,}", str(value)), f"{path.name}: {key}"


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{prefix}.{key}")]
