"""Calls to an OpenAI-compatible endpoint: a request in, a reply or a typed failure out. This acts."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai

from raylign.errors import EndpointError
from raylign.records import Message
from raylign.revise.chat_request import chat_request, limit_name
from raylign.revise.failures import Failure, explain_fatal, failure_of_status
from raylign.revise.headers import StatedLimits, read_retry_after, read_stated_limits
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply, read_completion
from raylign.revise.secret import Secret

_NO_KEY = "none"  # the client insists on a key, and endpoints without one ignore it
_DETAIL_CHARACTERS = 300
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""What the transport raises before a request has left."""
_FORMAT_TRIAL_TOKENS = 256


def read_key(api_key_env: str | None) -> Secret:
    """The key in this environment variable; empty where the endpoint takes none.

    Raises:
        EndpointError: the variable is not set.
    """
    if api_key_env is None:
        return Secret("")
    value = os.environ.get(api_key_env, "").strip()
    if not value:
        raise EndpointError(
            f"the environment variable {api_key_env} is not set, and the endpoint's key is read from it",
            f"export {api_key_env}=…, or name another variable in api_key_env",
        )
    return Secret(value)


def client_arguments(base_url: str, key: Secret, timeout_seconds: float) -> dict[str, Any]:
    """What both kinds of openai client are built from; raylign retries by its own rules, so the client never does."""
    return {
        "base_url": base_url,
        "api_key": key.reveal() or _NO_KEY,
        "timeout": timeout_seconds,
        "max_retries": 0,
    }


def is_loopback(base_url: str) -> bool:
    """Whether the endpoint is on this machine; a proxy from the environment must not stand between."""
    return urlsplit(base_url).hostname in ("127.0.0.1", "localhost", "::1")


class ChatClient:
    """One process's connection pool to the endpoint; safe for any number of concurrent calls in one event loop."""

    def __init__(self, base_url: str, key: Secret, timeout_seconds: float) -> None:
        self.base_url = base_url
        self.key = key
        self.timeout_seconds = timeout_seconds
        # Over aiohttp: with hundreds of requests in flight it takes a third of the CPU of the client's own transport.
        transport = openai.DefaultAioHttpClient(trust_env=not is_loopback(base_url))
        self.client = openai.AsyncOpenAI(**client_arguments(base_url, key, timeout_seconds), http_client=transport)
        # Looked up here once, for the client loads this part of itself only then: the first request is not late by it.
        self.create = self.client.chat.completions.with_raw_response.create

    async def close(self) -> None:
        """Let go of the connections."""
        await self.client.close()

    async def complete(
        self,
        model: str,
        messages: list[Message],
        max_tokens: int,
        temperature: float,
        response_format: dict[str, Any] | None = None,
    ) -> tuple[Reply | Failure, StatedLimits | None]:
        """Send one request, once; also what the response's headers state of the endpoint's limits.

        Args:
            response_format: the API's own, such as a JSON schema; left out if None.
        """
        request = chat_request(self.base_url, model, messages, max_tokens, temperature, response_format)
        try:
            # The client's own timeout is for each read; a reply that trickles in would never end.
            async with asyncio.timeout(self.timeout_seconds):
                raw = await self.create(**request)
            return read_completion(raw.text, raw.headers.get("x-request-id", "")), read_stated_limits(raw.headers)
        except TimeoutError:
            return Failure(Reason.TIMEOUT, f"no whole reply within {self.timeout_seconds:g} s"), None
        except (openai.OpenAIError, ValueError) as error:
            stated = read_stated_limits(error.response.headers) if isinstance(error, openai.APIStatusError) else None
            return failure_of(error, self.key), stated


def failure_of(error: Exception, key: Secret) -> Failure:
    """The typed failure of what the openai client raised; the key is struck from every detail."""
    detail = key.hide_in(str(error))[:_DETAIL_CHARACTERS]
    if isinstance(error, openai.APIStatusError):
        retry_after = read_retry_after(error.response.headers, datetime.now(UTC))
        return failure_of_status(error.status_code, str(error.code or ""), detail, retry_after)
    if isinstance(error, openai.APIConnectionError):
        cause = _transport_error(error)
        words = key.hide_in(f"{detail} {cause or ''}".strip())[:_DETAIL_CHARACTERS]
        # The client takes every broken connection of aiohttp for one that timed out.
        late = isinstance(error, openai.APITimeoutError) and not isinstance(cause, aiohttp.ClientConnectionError)
        reason = Reason.TIMEOUT if late or isinstance(cause, TimeoutError) else Reason.CONNECTION
        return Failure(reason, words, sent=not isinstance(cause, _NEVER_SENT))
    return Failure(Reason.BAD_RESPONSE, detail)


def _transport_error(error: BaseException) -> BaseException | None:
    """What aiohttp raised below the client's own errors; where it did not, what the topmost one came from."""
    cause = error.__cause__
    while cause is not None and not isinstance(cause, aiohttp.ClientError):
        cause = cause.__cause__
    return cause or error.__cause__


def check_endpoint(
    base_url: str,
    model: str,
    api_key_env: str | None,
    timeout_seconds: float = 10,
    response_format: dict[str, Any] | None = None,
) -> None:
    """Make sure before any work that the endpoint answers, takes the key and serves the model.

    The model list decides where there is one and names the model. Otherwise (some providers list nothing, or serve
    names they do not list) one chat completion of a single token does. A response format is tried by one short
    completion: an endpoint that does not know it would turn every request down.

    Raises:
        EndpointError: it does not; the message says which, and the cure.
    """
    key = read_key(api_key_env)
    with openai.DefaultHttpxClient(trust_env=not is_loopback(base_url)) as transport:
        client = openai.OpenAI(**client_arguments(base_url, key, timeout_seconds), http_client=transport)
        served = _served_models(client, base_url, model, key, api_key_env)
        if response_format is not None:
            _try_format(client, base_url, model, key, response_format)
        if model in served:
            return
        try:
            request: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], limit_name(base_url): 1}
            client.chat.completions.create(model=model, **request)
        except (openai.OpenAIError, ValueError) as error:
            failure = failure_of(error, key)
            if failure.fatal or failure.status == 0 or served:
                raise explain_fatal(failure, base_url, model, api_key_env, served) from None


def _try_format(client: openai.OpenAI, base_url: str, model: str, key: Secret, response_format: dict[str, Any]) -> None:
    """Raise an EndpointError where the endpoint rejects the format; any other trouble is left to the checks after."""
    request: dict[str, Any] = {
        "messages": [{"role": "user", "content": "Say hello in JSON."}],
        "response_format": response_format,
        limit_name(base_url): _FORMAT_TRIAL_TOKENS,
    }
    try:
        client.chat.completions.create(model=model, **request)
    except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
        raise EndpointError(
            f"{base_url} rejects a request for a JSON schema ({failure_of(error, key).detail})",
            "set revise.reply_format=text",
        ) from None
    except (openai.OpenAIError, ValueError):
        return


def _served_models(client: openai.OpenAI, base_url: str, model: str, key: Secret, api_key_env: str | None) -> list[str]:
    """Names in the endpoint's model list; none where it has no such list."""
    try:
        return [card.id for card in client.models.list().data or []]
    except openai.APIStatusError as error:
        if error.status_code in (401, 403):
            raise explain_fatal(failure_of(error, key), base_url, model, api_key_env) from None
        return []
    except openai.APIConnectionError as error:
        raise explain_fatal(failure_of(error, key), base_url, model, api_key_env) from None
    except (openai.OpenAIError, ValueError, AttributeError):
        return []  # an answer that is no model list
