"""The client against a real server: every way a call can end is a typed one, and the key stays out of it."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from provider import Provider

from raylign.errors import EndpointError
from raylign.revise.client import ChatClient, check_endpoint, is_loopback, limit_name, read_key
from raylign.revise.failures import Failure
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.secret import Secret
from raylign.revise.structured import RESPONSE_FORMAT

KEY = "sk-unit-6f1c"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(key=KEY, hang_seconds=3.0) as provider:
        yield provider


def ask(url: str, key: str = KEY, model: str = "editor", timeout_seconds: float = 30.0) -> Reply | Failure:
    async def once() -> Reply | Failure:
        client = ChatClient(url, Secret(key), timeout_seconds)
        outcome, _ = await client.complete(model, [{"role": "user", "content": "Why?"}], 8, 0.0)
        await client.close()
        return outcome

    return asyncio.run(once())


def test_a_response_format_is_sent_where_one_is_asked_for(provider: Provider) -> None:
    async def twice() -> None:
        client = ChatClient(provider.url, Secret(KEY), 30.0)
        for response_format in (None, RESPONSE_FORMAT):
            await client.complete("editor", [{"role": "user", "content": "Why?"}], 8, 0.0, response_format)
        await client.close()

    asyncio.run(twice())
    assert provider.formats == [None, RESPONSE_FORMAT]


def test_a_reply_comes_with_its_usage(provider: Provider) -> None:
    reply = ask(provider.url)
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.reply_tokens) == ("Short and clear: Why?", "stop", 4)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("error_500", Reason.SERVER_ERROR),
        ("drop", Reason.CONNECTION),
        ("malformed", Reason.BAD_RESPONSE),
        ("not_json", Reason.BAD_RESPONSE),
        ("no_choices", Reason.BAD_RESPONSE),
        ("hang", Reason.TIMEOUT),
        ("limit", Reason.RATE_LIMITED),
    ],
)
def test_faults_are_typed(provider: Provider, fault: str, reason: Reason) -> None:
    provider.fault = lambda number, asked_before: fault
    failure = ask(provider.url, timeout_seconds=0.5 if fault == "hang" else 30.0)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.fatal) == (reason, False)
    assert failure.retry_after_seconds == (1.0 if fault == "limit" else None)
    assert failure.sent


def test_a_request_that_no_one_took_was_never_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        failure = ask(f"http://127.0.0.1:{free.getsockname()[1]}/v1")
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.sent, failure.may_be_charged) == (Reason.CONNECTION, False, False)


def test_wrong_key_and_unknown_model_are_fatal_and_the_key_is_not_repeated(provider: Provider) -> None:
    for failure in (ask(provider.url, key="sk-wrong-77"), ask(provider.url, model="nobody")):
        assert isinstance(failure, Failure)
        assert failure.fatal
        assert "sk-wrong-77" not in failure.detail


def test_check_passes_where_all_is_well(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    check_endpoint(provider.url, "editor", "MY_KEY")
    assert not provider.served["ok"], "the model list is enough"
    provider.lists_models = False
    check_endpoint(provider.url, "editor", "MY_KEY")


def test_check_tries_a_response_format_and_names_the_cure(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    check_endpoint(provider.url, "editor", "MY_KEY", response_format=RESPONSE_FORMAT)
    assert provider.formats == [RESPONSE_FORMAT]
    provider.takes_formats = False
    with pytest.raises(EndpointError, match=r"JSON schema .*revise\.reply_format=text"):
        check_endpoint(provider.url, "editor", "MY_KEY", response_format=RESPONSE_FORMAT)
    with pytest.raises(EndpointError, match="'nobody'"):
        check_endpoint(provider.url, "nobody", "MY_KEY", response_format=RESPONSE_FORMAT)
    check_endpoint(provider.url, "editor", "MY_KEY")


@pytest.mark.parametrize("lists_models", [True, False])
def test_check_names_what_is_wrong(provider: Provider, monkeypatch: pytest.MonkeyPatch, lists_models: bool) -> None:
    provider.lists_models = lists_models
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(EndpointError, match="'nobody'.*editor" if lists_models else "'nobody'"):
        check_endpoint(provider.url, "nobody", "MY_KEY")
    with pytest.raises(EndpointError, match="api_key_env"):
        check_endpoint(provider.url, "editor", None)
    monkeypatch.setenv("MY_KEY", "sk-wrong-77")
    with pytest.raises(EndpointError, match="MY_KEY") as caught:
        check_endpoint(provider.url, "editor", "MY_KEY")
    assert "sk-wrong-77" not in str(caught.value)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(EndpointError, match="MY_KEY is not set"):
        check_endpoint(provider.url, "editor", "MY_KEY")


def test_check_says_that_nothing_answers() -> None:
    with pytest.raises(EndpointError, match=r"http://127\.0\.0\.1:9/v1 does not answer.*base_url"):
        check_endpoint("http://127.0.0.1:9/v1", "editor", None)


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert isinstance(ask(provider.url), Reply)
    assert not is_loopback("https://api.openai.com/v1")


def test_the_token_limit_goes_by_the_name_the_endpoint_knows() -> None:
    assert limit_name("https://api.openai.com/v1") == "max_completion_tokens"
    assert limit_name("http://127.0.0.1:8000/v1") == "max_tokens"


def test_a_secret_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    secret = read_key("MY_KEY")
    assert secret.reveal() == KEY
    assert KEY not in f"{secret} {secret!r} {[secret]}"
    assert secret.hide_in(f"key {KEY}!") == "key ***!"
