"""The endpoint's keys: how they are read from text, and whether one of them was presented; pure."""

import hashlib
import hmac
import re

from raylign.errors import ConfigError

SHORTEST_KEY = 16
"""Characters; what is shorter can be guessed."""
_WRITTEN = re.compile(r"[!-~]+")


class Keys:
    """A set of keys that forgets them: it keeps their digests, compares in constant time, and never prints one."""

    __slots__ = ("_digests",)

    def __init__(self, keys: list[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def match(self, presented: bytes) -> str | None:
        """The fingerprint of the key that was presented, or None; every key is compared, whichever matches."""
        digest, found = _digest(presented), None
        for own in self._digests:
            if hmac.compare_digest(own, digest):
                found = fingerprint(presented)
        return found

    def __len__(self) -> int:
        return len(self._digests)

    def __repr__(self) -> str:
        return f"Keys({len(self)})"


def fingerprint(key: bytes) -> str:
    """Eight hex digits that tell keys apart in a log and say nothing else about them."""
    return _digest(key).hex()[:8]


def read_keys(text: str, source: str) -> Keys:
    """Keys of a text, one a line; empty lines and lines that start with # are skipped.

    Args:
        source: Where the text comes from, for the message.

    Raises:
        ConfigError: there is none, or one is too short or holds what no header can carry. No message holds a key.
    """
    keys = written_keys(text)
    if not keys:
        raise ConfigError(f"{source} holds no key", "write at least one, a line each")
    for number, key in enumerate(keys, start=1):
        if not _WRITTEN.fullmatch(key):
            raise ConfigError(f"key {number} of {source} holds spaces or unusual characters", "use letters and digits")
        if len(key) < SHORTEST_KEY:
            raise ConfigError(
                f"key {number} of {source} has {len(key)} characters",
                f"use at least {SHORTEST_KEY}, such as `openssl rand -hex 32` prints",
            )
    return Keys(keys)


def written_keys(text: str) -> list[str]:
    """What a text of keys holds, unchecked."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def presented_key(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """The bearer token of a request's headers; None where there is none, or more than one header claims to hold it."""
    values = [value for name, value in headers if name.lower() == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].strip().partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
