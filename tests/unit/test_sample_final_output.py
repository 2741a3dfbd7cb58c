"""What asks an engine for whole answers alone, on its way through processes that know no vLLM."""

import pickle
import subprocess
import sys

import pytest

from raylign.sample.final_output import FINAL_OUTPUT_ONLY

ON_THE_WAY = """
import pickle, sys
passed_on = pickle.dumps(pickle.loads(bytes.fromhex(sys.argv[1])))
assert "vllm" not in sys.modules, "every process would take seconds to import it"
assert passed_on == bytes.fromhex(sys.argv[1])
"""
BESIDE_AN_ENGINE = """
import pickle, sys
from vllm.sampling_params import RequestOutputKind, SamplingParams
kind = pickle.loads(bytes.fromhex(sys.argv[1]))
assert SamplingParams(output_kind=kind).output_kind is RequestOutputKind.FINAL_ONLY
"""


@pytest.mark.parametrize("script", [ON_THE_WAY, BESIDE_AN_ENGINE])
def test_it_passes_through_other_processes_and_is_what_vllm_knows_beside_an_engine(script: str) -> None:
    travelling = pickle.dumps(FINAL_OUTPUT_ONLY).hex()
    subprocess.run([sys.executable, "-c", script, travelling], check=True, timeout=120)
