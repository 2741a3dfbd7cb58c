"""What a request without a reply means: its reason, whether any other can succeed, and what to tell a person. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from raylign.errors import EndpointError
from raylign.revise.reasons import Reason

_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_UNKNOWN_MODEL = frozenset({"model_not_found", "invalid_model"})


@dataclass(frozen=True)
class Failure:
    """A request that brought no reply."""

    reason: Reason
    detail: str
    retry_after_seconds: float | None = None
    """What the endpoint asked for, where it did."""
    fatal: bool = False
    """No request of this job can succeed."""
    status: int = 0
    """HTTP status; 0 where there was no answer."""
    sent: bool = True
    """False where the request certainly never left, as with a refused connection."""

    @property
    def may_be_charged(self) -> bool:
        """Whether the endpoint may have worked, and charged, without its reply having come through."""
        return self.sent and self.reason in (Reason.TIMEOUT, Reason.CONNECTION, Reason.BAD_RESPONSE)


def failure_of_status(status: int, code: str, detail: str, retry_after_seconds: float | None = None) -> Failure:
    """The failure that an HTTP error status means; `code` is the provider's error code, empty where it gave none."""
    fatal = False
    if status == 429:
        reason, fatal = Reason.RATE_LIMITED, code in _NO_CREDIT
    elif status == 408:
        reason = Reason.TIMEOUT
    elif status >= 500:
        reason = Reason.SERVER_ERROR
    else:
        reason, fatal = Reason.BAD_REQUEST, status in (401, 402, 403, 404, 405) or code in _UNKNOWN_MODEL
    return Failure(reason, detail, retry_after_seconds, fatal, status)


def explain_gone(base_url: str, status: str, detail: str) -> EndpointError:
    """What to tell a person when one draft after another gets no reply; the last one's status and detail."""
    return EndpointError(
        f"{base_url} brings no reply any more ({status}: {detail})",
        "see that the endpoint is well and run the same command again: what was finished is kept",
    )


def explain_fatal(
    failure: Failure, base_url: str, model: str, api_key_env: str | None, served: Sequence[str] = ()
) -> EndpointError:
    """What to tell a person about a failure that no request can get past."""
    if failure.status in (401, 403):
        named = f"in {api_key_env}" if api_key_env else "(none is configured)"
        return EndpointError(
            f"{base_url} refuses the key {named} with status {failure.status}",
            f"put a valid key into {api_key_env}"
            if api_key_env
            else "name the key's environment variable: api_key_env",
        )
    if failure.status in (402, 429):
        return EndpointError(f"{base_url} answers {failure.status}: {failure.detail}", "check the account's credit")
    if served:
        some = ", ".join(served[:5]) + (", …" if len(served) > 5 else "")
        return EndpointError(f"{base_url} does not serve a model {model!r}", f"it serves {some}")
    if failure.status in (404, 405):
        return EndpointError(
            f"{base_url} has no chat completions or no model {model!r} ({failure.status}: {failure.detail})",
            "check that base_url ends as the provider says (mostly /v1) and that the model's name is right",
        )
    if failure.status:
        return EndpointError(
            f"{base_url} does not take requests for model {model!r} ({failure.status}: {failure.detail})",
            "check the model's name",
        )
    return EndpointError(
        f"{base_url} does not answer ({failure.detail})", "check base_url, and that the endpoint is up and reachable"
    )
