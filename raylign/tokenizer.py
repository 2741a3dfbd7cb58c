"""The tokenizer of a model, or one clear error."""

from typing import Any

from raylign.errors import ModelError


def load_tokenizer(model: str, trust_remote_code: bool) -> Any:
    """The tokenizer of a model folder or hub id.

    Raises:
        ModelError: there is none that transformers can load.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the tokenizer of model {model} cannot be loaded: {str(error).splitlines()[0]}",
            "name a model folder or hub id that this machine can reach",
        ) from error
