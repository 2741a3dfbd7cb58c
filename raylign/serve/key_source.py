"""Where the endpoint's keys lie: an environment variable, or a file that is read again when it changes. This acts."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from raylign.config import ServeConfig
from raylign.errors import ConfigError
from raylign.revise.secret import Secret
from raylign.serve.keys import Keys, read_keys, written_keys

_SECONDS_BETWEEN_LOOKS = 1.0


class KeySource:
    """The keys as they are now. Only the variable's name or the file's path is kept, and both may be shown."""

    def __init__(self, variable: str | None, file: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.variable, self.file, self._clock = variable, file, clock
        self._keys: Keys | None = None
        self._seen: object = None
        self._looked = 0.0

    @classmethod
    def of(cls, config: ServeConfig) -> "KeySource":
        """The source that a configuration names."""
        return cls(config.api_keys_env, config.api_keys_file)

    def read(self) -> Keys | None:
        """The keys, read now; None where the endpoint takes requests without one.

        Raises:
            ConfigError: the variable is not set, the file cannot be read, or what they hold are no keys.
        """
        if self.file is not None:
            return read_keys(_text(self.file), f"serve.api_keys_file {self.file}")
        if self.variable is None:
            return None
        text = _listed(self.variable)
        if not text.strip():
            raise ConfigError(
                f"serve.api_keys_env is {self.variable}, and that environment variable is not set",
                f"export {self.variable}=… before Ray starts, on every node of a cluster",
            )
        return read_keys(text, f"the environment variable {self.variable}")

    def one(self) -> Secret | None:
        """A key to ask the endpoint with; None where it needs none, or where its keys are not known here."""
        try:
            self.read()
        except ConfigError:
            return None
        if self.file is not None:
            return Secret(written_keys(_text(self.file))[0])
        return Secret(written_keys(_listed(self.variable))[0]) if self.variable is not None else None

    def current(self) -> Keys | None:
        """The keys, read again at most once a second and only where the file has changed since.

        A file that has gone, or holds no keys any more, lets nobody in: the endpoint fails closed.
        """
        if self._keys is not None and (self.file is None or self._clock() - self._looked < _SECONDS_BETWEEN_LOOKS):
            return self._keys
        self._looked = self._clock()
        seen = _state(self.file) if self.file is not None else None
        if self._keys is None or seen != self._seen:
            self._seen = seen
            try:
                self._keys = self.read()
            except ConfigError:
                self._keys = Keys([])
        return self._keys


def _listed(variable: str) -> str:
    """Keys of an environment variable, one a line."""
    return os.environ.get(variable, "").replace(",", "\n")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ConfigError(
            f"serve.api_keys_file {path} cannot be read: {reason}", "name a file with a key a line"
        ) from error


def _state(path: str) -> object:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
