"""Whether a store of pairs was made for the model that is to be trained on it; pure."""

from collections.abc import Callable, Mapping
from typing import Any

from raylign.errors import InputError


def check_drafted_by(
    manifest: Mapping[str, Any], model: str, identify: Callable[[str], str] = lambda name: name
) -> None:
    """Refuse pairs whose rejected answers are another model's, where their manifest says whose they are.

    Pairs are messages, so they would train any model, with its own tokenizer and template; but APO's rejected answers
    are the target model's own (arXiv 2408.06266), and a folder named by mistake looks the same. Imported pairs, and
    stores without a manifest, do not say who drafted them.

    Args:
        manifest: that of the store; empty for none.
        model: the model to be trained, as configured.
        identify: what two names of one model have in common.

    Raises:
        InputError: none of the store's drafts is by this model.
    """
    drafted = [name for name in manifest.get("target_models", []) if name]
    if manifest.get("source") == "offpolicy" or not drafted:
        return
    if identify(model) not in {identify(name) for name in drafted}:
        raise InputError(
            f"the pairs were drafted by {', '.join(drafted)}, and the model to train is {model}",
            "make pairs with this model, name its own in train.pairs, or set train.allow_other_drafts=true",
        )
