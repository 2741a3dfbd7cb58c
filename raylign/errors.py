"""Every error raylign raises on purpose: what is wrong, and how to mend it.

    RaylignError
    ├── ConfigError       a key, type, value or combination in the configuration
    ├── InputError        a file or folder the user named: missing, empty, unreadable, unwritable
    ├── ModelError        a model folder that is missing, or cannot be used as it is
    ├── EndpointError     an HTTP endpoint that is down, refuses the key, or lacks the model
    ├── PlanError         work that the cluster at hand can never place
    ├── RunFolderError    a run folder that belongs to another configuration or process
    └── TrainingError     a training run whose numbers say that it must not go on
        └── TrainingLostError     one that ended from outside: a full disk, a lost cluster

Each is one sentence for a person; the command line prints it and exits with code 2. They are built from
plain strings only, so they survive the pickling that carries an exception out of a Ray actor.
"""


class RaylignError(Exception):
    """Base of every error raylign raises on purpose: `message` says what is wrong, `cure` how to mend it."""

    exit_code = 2

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message, cure)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}; {self.cure}" if self.cure else self.message


class ConfigError(RaylignError):
    """A configuration key that is unknown, has a wrong type or value, or contradicts another."""


class InputError(RaylignError):
    """A file or folder the user named is missing, empty, unreadable or unwritable."""


class ModelError(RaylignError):
    """A model folder is missing, incomplete, or cannot be used as asked."""


class EndpointError(RaylignError):
    """An HTTP endpoint is unreachable, refuses the key, or does not serve the model."""


class PlanError(RaylignError):
    """The cluster can never place what the configuration asks for."""


class RunFolderError(RaylignError):
    """The run folder belongs to another configuration, or another process is using it."""


class TrainingError(RaylignError):
    """Training must not go on: its own checks failed."""


class TrainingLostError(TrainingError):
    """Training ended by what none of its checks knows, such as a full disk or a lost cluster."""


def find_raylign_error(error: BaseException) -> RaylignError | None:
    """The RaylignError that caused `error`, looked for through Ray's wrappers and Python's own chain."""
    seen: set[int] = set()
    queue: list[BaseException] = [error]
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        cause = getattr(current, "cause", None)  # RayTaskError keeps the remote exception here
        if isinstance(current, RaylignError) and not isinstance(cause, RaylignError):
            return current
        linked = (cause, current.__cause__, current.__context__)
        queue.extend(link for link in linked if isinstance(link, BaseException))
        failures = getattr(current, "worker_failures", None)  # Ray Train's per-rank errors
        if isinstance(failures, dict):
            queue.extend(failure for failure in failures.values() if isinstance(failure, BaseException))
    return None
