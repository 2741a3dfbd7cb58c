"""Has an engine hand over whole answers alone, and not each answer anew with every token.

Ray Data takes sampling parameters as plain values and hands them to the engine, and vLLM has an enumeration of its own
for what an engine hands over. `FINAL_OUTPUT_ONLY` becomes that where it is unpickled beside an engine, and stays what
it is in all the processes that rows pass through on their way: importing vLLM takes each of them many seconds.
"""

import sys
from collections.abc import Callable
from typing import Any


class _FinalOutputOnly:
    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return _unpickled, ()


def _unpickled() -> Any:
    vllm = sys.modules.get("vllm.sampling_params")
    return FINAL_OUTPUT_ONLY if vllm is None else vllm.RequestOutputKind.FINAL_ONLY


FINAL_OUTPUT_ONLY = _FinalOutputOnly()
