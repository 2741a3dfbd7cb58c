"""When engines that die and are started again are given up: where nothing was drafted between so many deaths. Pure.

An engine that dies is started anew by Ray, without limit: over days of work on nodes that come and go there are many
such deaths. One that dies of its model or its settings dies the same way each time, before its first draft.
"""

from raylign.errors import ModelError

MOST_DEATHS = 3
"""Of each engine, on average, without a draft from any of them."""


class Deaths:
    """Looks at how often engines were started again and at how many drafts there are, and says when to give up."""

    def __init__(self) -> None:
        self.drafts = -1
        self.restarts_then = 0

    def hopeless(self, engines: int, restarts: int, drafts: int) -> bool:
        """Whether the engines die without end.

        Args:
            engines: How many there are.
            restarts: How often they were started again, in all.
            drafts: How many drafts came so far.
        """
        if drafts != self.drafts:
            self.drafts, self.restarts_then = drafts, restarts
        return restarts - self.restarts_then >= MOST_DEATHS * max(1, engines)


def explain(restarts: int) -> ModelError:
    """The error that ends the stage."""
    return ModelError(
        f"the engines died {restarts} times, the last time without any draft in between",
        "the last worker-*.err with EngineCore in it, in Ray's log folder (logs/ray of a run on this machine), says "
        "why; known causes are too little memory and, on CPU, attention heads smaller than 32",
    )
