"""Why an engine did not start, read out of what Ray Serve reports; pure text work.

Ray Serve's message is a traceback within tracebacks. A person needs its innermost last line.
"""

import re

from raylign.serve.plan import ROUTER

_EXCEPTION_LINE = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt): ", re.MULTILINE)
_VALIDATION_ERROR = re.compile(r"(?:Value|Assertion) error, (.*?)(?= \[type=|$)", re.DOTALL)
_LONGEST_REASON = 320
_CURES = (
    ("max_model_len", "lower serve.max_model_len, or serve a model with a longer context"),
    ("memory", "free some memory, or lower serve.engine.kv_cache_memory_bytes (CPU) or gpu_memory_utilization (GPU)"),
    ("Unknown engine argument", "take it out of serve.engine"),
    ("safetensors", "save the model's weights as safetensors"),
)
_LOOK = "the last worker-*.err in Ray's log folder (logs/ray of the run, once it has stopped) says more"


def startup_failure(messages: dict[str, str]) -> tuple[str, str]:
    """What went wrong and the cure, from deployments' messages by deployment name (`LLMServer:<model>`)."""
    named = [(name, reason) for name, text in messages.items() if (reason := _innermost(text))]
    if not named:
        return f"the models did not start: {_shorten(' '.join(messages.values()))}", _LOOK
    name, reason = named[0]
    if name == ROUTER:
        return f"the endpoint did not start: {_shorten(reason)}", _LOOK
    cure = next((cure for word, cure in _CURES if word in reason), _LOOK)
    return f"model {name.rpartition(':')[2]!r} did not start: {_shorten(reason)}", cure


def _innermost(text: str) -> str:
    """What the last exception in a message says, on one line; empty where there is none."""
    found = list(_EXCEPTION_LINE.finditer(text))
    if not found:
        return ""
    said = text[found[-1].end() :]
    validation = _VALIDATION_ERROR.search(said)
    return " ".join((validation[1] if validation else said.split("\n\n")[0]).split())


def _shorten(text: str) -> str:
    """Whole sentences up to a readable length."""
    text = " ".join(text.split())
    if len(text) <= _LONGEST_REASON:
        return text.rstrip(".")
    kept = text[:_LONGEST_REASON]
    sentence = kept.rfind(". ")
    return kept[:sentence] if sentence > 0 else f"{kept}…"
