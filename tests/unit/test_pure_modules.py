"""What decides imports nothing that acts: pure modules load in a fresh interpreter without any heavy package."""

import subprocess
import sys

import pytest

HEAVY = ("ray", "vllm", "deepspeed", "openai", "httpx")
PURE = {
    "raylign.config": (*HEAVY, "torch", "transformers"),
    "raylign.records": (*HEAVY, "torch", "transformers"),
    "raylign.summary": (*HEAVY, "torch", "transformers"),
    "raylign.engine": (*HEAVY, "torch", "transformers"),
    "raylign.sample.drafts": (*HEAVY, "torch", "transformers"),
}


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_module_loads_alone(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & set(PURE[module]) == set()
