"""What an export says about generating: its base's settings, with sampling said aloud where they mean it; pure."""

import copy
from typing import Any

_SAYS_NOTHING = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""The settings that only sampling has, each with the value at which it has no say."""


def meant(settings: Any) -> Any:
    """The generation settings as their author meant them: one that only sampling has is there because it samples.

    Many published models have a temperature and no `do_sample`, which transformers loads and refuses to save. Settings
    that do say `do_sample`, and a temperature of zero, which is to write the likeliest token, stay as they are.

    Args:
        settings: a GenerationConfig of transformers, which is not changed.
    """
    given = {name: getattr(settings, name, None) for name in _SAYS_NOTHING}
    samples = any(value is not None and value != _SAYS_NOTHING[name] for name, value in given.items())
    if settings.do_sample is not None or not samples or given["temperature"] == 0:
        return settings
    changed = copy.deepcopy(settings)
    changed.do_sample = True
    return changed
