"""The calls of a provider's batch endpoint: upload, submit once, report, download. This acts (HTTP).

Whoever waits a day for a batch can wait some minutes for an endpoint that is away: a failure that may pass is tried
again for `PATIENCE_SECONDS`. What was submitted is never submitted again, not even where the answer to it was lost.
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import openai
from openai.types import Batch

from raylign.config import ReviseConfig
from raylign.errors import EndpointError
from raylign.revise.batch_plan import ENDPOINT
from raylign.revise.batch_steps import BatchReport
from raylign.revise.client import client_arguments, failure_of, is_loopback
from raylign.revise.failures import Failure, explain_fatal, explain_gone
from raylign.revise.retry import retry_delay
from raylign.revise.secret import Secret

PATIENCE_SECONDS = 1800.0
_METADATA = "raylign"
_CLOCK_SECONDS = 86_400.0
"""Further than any clock is off: a listing is not read beyond batches that were made so long before the file."""
_T = TypeVar("_T")


class BatchApi:
    """One run's line to the batch endpoint.

    Every method raises an EndpointError where the endpoint has no batches, refuses the key, or stays away.
    """

    def __init__(self, revise: ReviseConfig, key: Secret, sleep: Callable[[float], None]) -> None:
        self.revise, self.key, self.sleep = revise, key, sleep
        self.base_url = revise.base_url or ""
        transport = openai.DefaultHttpxClient(trust_env=not is_loopback(self.base_url))
        self.client = openai.OpenAI(
            **client_arguments(self.base_url, key, revise.timeout_seconds), http_client=transport
        )

    def upload(self, path: Path, name: str) -> str:
        """Send an input file; returns its id there."""

        def send() -> str:
            with path.open("rb") as file:
                return self.client.files.create(file=(f"raylign-{name}.jsonl", file), purpose="batch").id

        return self._ask(send, self._no_batches)

    def submit(self, file_id: str, name: str, written_at: float) -> str:
        """Make a batch of an input file, unless there is one already; returns the batch's id.

        Args:
            written_at: When the file was written here, in Unix seconds; no batch of it can be older.
        """
        return self._ask(lambda: self._find(file_id, written_at) or self._create(file_id, name), self._no_batches)

    def find(self, file_id: str, written_at: float) -> str:
        """The id of the batch that was made of an input file; empty where there is none."""
        return self._ask(lambda: self._find(file_id, written_at), self._no_batches)

    def _find(self, file_id: str, written_at: float) -> str:
        newest = 0.0
        for batch in self.client.batches.list(limit=100):
            if batch.input_file_id == file_id:
                return batch.id
            # Most list the newest first, and then what follows is too old; others are read to their end.
            if batch.created_at < min(newest, written_at - _CLOCK_SECONDS):
                break
            newest = max(newest, batch.created_at)
        return ""

    def _create(self, file_id: str, name: str) -> str:
        return self.client.batches.create(
            input_file_id=file_id,
            endpoint=ENDPOINT,
            completion_window=f"{self.revise.batch_wait_hours}h",  # type: ignore[arg-type]  # the client knows 24h only
            metadata={_METADATA: name},
        ).id

    def report(self, batch_id: str) -> BatchReport:
        """How a batch stands."""
        return self._ask(lambda: _report(self.client.batches.retrieve(batch_id)), self._unknown(f"batch {batch_id}"))

    def download(self, file_id: str, path: Path) -> None:
        """Write a file of results to `path`, a piece at a time."""

        def fetch() -> None:
            with self.client.files.with_streaming_response.content(file_id) as response:
                try:
                    response.stream_to_file(path)
                except OSError:
                    raise  # our own disk
                except Exception as error:  # the transport's own, which the client does not translate here
                    raise openai.APIConnectionError(request=response.http_request) from error

        self._ask(fetch, self._unknown(f"file {file_id}"))

    def _ask(self, call: Callable[[], _T], missing: Callable[[Failure], EndpointError]) -> _T:
        """The call's answer, after as many tries as patience allows.

        Args:
            missing: Makes the error where the endpoint does not know what it was asked for.
        """
        attempt, waited = 1, 0.0
        while True:
            try:
                return call()
            except (openai.OpenAIError, ValueError, AttributeError) as error:  # the last from an answer of other form
                failure = failure_of(error, self.key)
            delay = retry_delay(failure, attempt, sys.maxsize, random.random())
            if delay is None:
                raise self._explain(failure, missing)
            if waited > PATIENCE_SECONDS:
                raise explain_gone(self.base_url, failure.reason, failure.detail)
            self.sleep(delay)
            attempt, waited = attempt + 1, waited + delay

    def _explain(self, failure: Failure, missing: Callable[[Failure], EndpointError]) -> EndpointError:
        if failure.status in (404, 405):
            return missing(failure)
        if failure.fatal:
            return explain_fatal(failure, self.base_url, self.revise.model, self.revise.api_key_env)
        return EndpointError(
            f"{self.base_url} does not take the batch ({failure.status}: {failure.detail})",
            "mend what it names, lower revise.batch_requests or revise.batch_megabytes, or set revise.mode=online",
        )

    def _no_batches(self, failure: Failure) -> EndpointError:
        return EndpointError(
            f"{self.base_url} has no batch endpoint ({failure.status}: {failure.detail})", "set revise.mode=online"
        )

    def _unknown(self, what: str) -> Callable[[Failure], EndpointError]:
        return lambda failure: EndpointError(
            f"{self.base_url} does not know {what}, which this run submitted ({failure.status}: {failure.detail})",
            "use the account it was submitted with; or delete revisions/batches.json and the folder beside it to "
            "submit anew what the journal lacks",
        )


def _report(batch: Batch) -> BatchReport:
    counts = batch.request_counts
    errors = (batch.errors.data if batch.errors else None) or []
    return BatchReport(
        batch.id,
        str(batch.status).lower(),
        total=counts.total if counts else 0,
        completed=counts.completed if counts else 0,
        failed=counts.failed if counts else 0,
        output_file_id=batch.output_file_id or "",
        error_file_id=batch.error_file_id or "",
        errors=tuple((error.code or "", error.message or "") for error in errors),
    )
