"""Which suites there are: a name and the class behind it, loaded when it is asked for.

A suite of your own needs no entry here: name it `module:Class` in `evaluate.suites`. Its class has the interface
`raylign.evaluate.suites.suite.Suite` and a class method `create(config, run)`, which gets the whole configuration and
the run folder's path. `create` reads what a user supplies and raises a RaylignError for what is wrong with it: it is
called before anything starts. What the run itself makes, such as its held-out prompts, may not be there by then and is
read by `tasks()`. The module must be importable where the command runs; a suite never travels to an actor.
"""

import difflib
from importlib import import_module
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import ConfigError

SUITES = {
    "custom": "raylign.evaluate.suites.custom:Custom",
    "heldout": "raylign.evaluate.suites.heldout:Heldout",
    "ifeval": "raylign.evaluate.suites.ifeval:Ifeval",
    "mixeval": "raylign.evaluate.suites.mixeval.suite:Mixeval",
    "mixeval_hard": "raylign.evaluate.suites.mixeval.suite:MixevalHard",
    "pairwise": "raylign.evaluate.suites.pairwise:Pairwise",
}


def create_suite(name: str, config: LoopConfig, run: Path) -> Any:
    """The suite of this name, which is one of `SUITES` or `module:Class`.

    Raises:
        ConfigError: there is no such suite, or what it needs is not configured.
        InputError: a file it reads is missing or malformed.
    """
    path = SUITES.get(name, name)
    if ":" not in path:
        close = difflib.get_close_matches(name, SUITES, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"evaluate.suites names {name!r}", f"{hint}allowed: {', '.join(SUITES)}, or module:Class of your own"
        )
    module, _, attribute = path.partition(":")
    try:
        made = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"evaluate.suites names {name!r}, which cannot be imported ({error})",
            "name a class as module:Class, in a module that Python finds from here",
        ) from error
    return made.create(config, run)
