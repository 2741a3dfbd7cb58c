"""How a vLLM engine is set up, for drafting and for serving alike: its arguments and its environment. Pure."""

from collections.abc import Mapping
from typing import Any


def engine_arguments(
    *, gpus: int, dtype: str, max_model_len: int, seed: int, trust_remote_code: bool, further: dict[str, Any]
) -> dict[str, Any]:
    """Arguments of one vLLM engine; `further` wins over all of them.

    On CPU: no compilation (it costs more at start-up than a laptop run wins back), a small share of host memory
    (vLLM's default claims 92% of it), no chunked prefill, with which a seeded request can end the engine, and no
    process of its own for a model that is not split.
    """
    arguments: dict[str, Any] = {"max_model_len": max_model_len, "dtype": dtype, "seed": seed}
    if trust_remote_code:
        arguments["trust_remote_code"] = True
    if gpus:
        arguments["tensor_parallel_size"] = gpus
    else:
        arguments |= {
            "enforce_eager": True,
            "gpu_memory_utilization": 0.2,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(max_model_len, 4096),
        }
        if all(further.get(split, 1) == 1 for split in ("tensor_parallel_size", "pipeline_parallel_size")):
            arguments[EXECUTOR] = IN_ENGINE
    return arguments | further


EXECUTOR = "distributed_executor_backend"
"""vLLM's argument that says in which processes a model computes."""
IN_ENGINE = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
"""In the engine's own. On CPU vLLM takes `uni` for `mp`, as threads must be set up before a process begins, which
`engine_environment` has done; a process beside the engine's takes half as long again to start, and the two, which wait
for each other at every token by looking again and again, take the threads' time: a third of the tokens a second."""


def drafting_arguments(gpus: int) -> dict[str, Any]:
    """Arguments, on top of those of any engine, of one that drafts: nobody waits for a single answer, so it is filled.

    vLLM has such defaults for its own `LLM` alone. The asynchronous engine that Ray Data starts would take half as many
    sequences at once, on a GPU a quarter of the tokens, and keep statistics that nobody reads.
    """
    arguments: dict[str, Any] = {"max_num_seqs": SEQUENCES_AT_ONCE, "disable_log_stats": True}
    if gpus:
        arguments["max_num_batched_tokens"] = 8192
    return arguments


SEQUENCES_AT_ONCE = 256
"""Answers that a drafting engine works on at once, unless `sample.engine` sets `max_num_seqs`."""


def batches_at_once(batch_size: int, sequences: int) -> int:
    """Batches that an engine holds, half as many rows again as it works on: a place is then taken again when an answer
    ends, and not only when the whole batch of that answer has."""
    return max(2, -(-3 * sequences // (2 * batch_size)))


def engine_environment(*, gpus: int, engines_per_host: int, cores: int, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Environment of an engine's process: on CPU, an equal share of the host's cores for each engine.

    Args:
        arguments: what the engine is started with. Where they say `enforce_eager`, nothing is compiled: vLLM itself
            obeys for the model alone, and compiles a helper at the first request for log-probabilities, for 5 s.
    """
    if gpus:
        return {}
    variables = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(max(1, cores // engines_per_host))}
    if arguments.get("enforce_eager"):
        variables["TORCHDYNAMO_DISABLE"] = "1"
    return variables


def logical_cpus_needed(engines: int, cpus_per_engine: float) -> float:
    """Logical CPUs that `engines` CPU engines hold, with what their helper stages need beside them."""
    return engines * cpus_per_engine + HELPER_CPUS


HELPER_CPUS = 1.0
"""Ray Data's read and map stages: fractional each, with room to make progress."""
