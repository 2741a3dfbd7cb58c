"""An error survives the trip out of an actor, and is found again under the wrappers it comes in."""

import pickle

from raylign.errors import ConfigError, EndpointError, RaylignError, find_raylign_error


def test_survives_pickling_with_message_and_cure() -> None:
    error = pickle.loads(pickle.dumps(ConfigError("train.beta is 0", "it must be more than 0")))
    assert isinstance(error, ConfigError)
    assert str(error) == "train.beta is 0; it must be more than 0"


def test_found_through_python_chains_and_remote_wrappers() -> None:
    cause = EndpointError("no server at http://127.0.0.1:1")

    class RemoteError(Exception):
        """Keeps the remote exception the way Ray's wrapper does."""

        def __init__(self, cause: Exception) -> None:
            super().__init__("Traceback (most recent call last): ...")
            self.cause = cause

    outer = RuntimeError("stage failed")
    outer.__cause__ = RemoteError(cause)
    assert find_raylign_error(outer) is cause
    assert find_raylign_error(ValueError("unrelated")) is None


def test_the_wrapper_that_is_itself_a_raylign_error_is_looked_through() -> None:
    cause = EndpointError("down", "start it")
    both = EndpointError("Traceback ...")
    both.cause = cause  # type: ignore[attr-defined]  # as Ray's as_instanceof_cause() builds it
    assert find_raylign_error(both) is cause
    assert isinstance(cause, RaylignError)
