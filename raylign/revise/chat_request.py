"""The body of a chat request, the same for a call of its own and for a line of a batch file. Pure."""

from typing import Any, Protocol
from urllib.parse import urlsplit

from raylign.records import Message


class Parameters(Protocol):
    """What a request says besides its messages; a `ReviseConfig` has all of it."""

    @property
    def model(self) -> str:
        """The model, by the name that its replies are kept under."""

    @property
    def max_tokens(self) -> int:
        """Longest reply, in tokens."""

    @property
    def temperature(self) -> float:
        """Sampling temperature."""

    @property
    def reply_format(self) -> str:
        """`text`, or the kind of form that the reply is asked for in."""


def chat_request(
    base_url: str,
    model: str,
    messages: list[Message],
    max_tokens: int,
    temperature: float,
    response_format: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What an endpoint is asked with.

    Args:
        response_format: the API's own, such as a JSON schema; left out if None.
    """
    request: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "temperature": temperature,
        limit_name(base_url): max_tokens,
    }
    if response_format is not None:
        request["response_format"] = response_format
    return request


def limit_name(base_url: str) -> str:
    """What the endpoint calls a reply's token limit: OpenAI retired `max_tokens`, most other servers know only that."""
    return "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"
