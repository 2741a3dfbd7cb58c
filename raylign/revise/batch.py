"""Batch mode: replies of a provider's batch endpoint are brought into the journal before the pool starts. This acts.

What is asked, and under which key, is the same as for calls. So the pool then finds these replies in the journal and
calls only for what is missing there: requests that a batch had no reply to, and repairs. The rules are in `batch_plan`
(lines, limits), `batch_steps` (what to do about a batch) and `budget`.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from raylign.config import ReviseConfig
from raylign.errors import EndpointError
from raylign.ids import IdSet
from raylign.journal.files import JournalFiles
from raylign.journal.reader import Journal
from raylign.journal.writer import Entry, JournalWriter
from raylign.revise.batch_api import BatchApi
from raylign.revise.batch_files import BatchFiles, InputFile, Part
from raylign.revise.batch_plan import BatchRequest, Result, batch_limits, batch_request, price_share, read_result
from raylign.revise.batch_steps import BatchReport, Step, explain_end, next_step, progress_words
from raylign.revise.budget import Budget, budget_is_spent, price_of
from raylign.revise.failures import Failure
from raylign.revise.replies import Reply
from raylign.revise.secret import Secret
from raylign.revise.templates import request_key
from raylign.revise.work import Windows, Work

_ROWS = 1000
"""Items looked up, and results kept, at once."""
_QUEUE_FULL = "the provider's queue takes no further batch now"


def fill_journal(
    revise: ReviseConfig,
    work: Work,
    windows: Windows,
    rows_folder: Path,
    journal: JournalFiles,
    key: Secret,
    calls_usd: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Submit what the waiting items ask and the journal lacks, and wait until every batch has ended.

    Batches of earlier starts are found again by `BatchFiles`; no request is in two of them at a time.

    Args:
        windows: Gives the tables of `work.item` that have no row yet.
        rows_folder: Where their rows go; what is known of batches stands beside them.
        calls_usd: What the run was charged for calls.
        say: Shows a person a few words on how it goes.

    Raises:
        EndpointError: the provider has no batches or refuses them, or the budget is spent; every reply that came is in
            the journal, and batches on their way are collected by the next start.
        OSError: the journal or the run's folder cannot be written.
    """
    writer = JournalWriter(journal)
    try:
        api = BatchApi(revise, key, sleep)
        _Batches(revise, work, windows, rows_folder, Journal(journal), writer, api, calls_usd, say).run_all(sleep)
    finally:
        writer.close()


@dataclass
class _Batches:
    """All batches of one run."""

    revise: ReviseConfig
    work: Work
    windows: Windows
    rows_folder: Path
    journal: Journal
    writer: JournalWriter
    api: BatchApi
    calls_usd: float
    say: Callable[[str], None]
    most_open: float = math.inf
    """Batches the provider's queue is known to take at a time."""
    taken: dict[int, IdSet] = field(default_factory=dict)
    """Requests, by batch, that are not to be submitted: on their way, answered, or left to the online stage."""
    filling: set[str] = field(default_factory=set)
    """Keys of the batch that is being put together."""

    def __post_init__(self) -> None:
        self.limits = batch_limits(self.revise)
        self.price, self.share = price_of(self.revise), price_share(self.revise)
        self.files = BatchFiles.load(self.rows_folder)

    def run_all(self, sleep: Callable[[float], None]) -> None:
        """Until nothing is on its way and nothing is left to submit."""
        self._take_up()
        waits = self._submit()
        while self.files.open():
            steps = self._look()
            if steps & {Step.RESUBMIT, Step.POSTPONE} or (waits and steps - {Step.WAIT}):
                waits = self._submit()
            if self.files.open():
                sleep(self.revise.batch_poll_seconds)
        if waits:
            raise EndpointError(waits)

    def _take_up(self) -> None:
        """Go on from what an earlier start left.

        One that was stopped on the way to a batch may have made it without learning of it; then it is found by its
        input file. Otherwise its requests are planned anew, under what limits now hold.
        """
        for part in self.files.open():
            if part.file_id and not part.batch_id:
                part.batch_id = self.api.find(part.file_id, part.written_at)
                self.files.save()
            if not part.batch_id:
                self.files.end(part, 0.0, [])
        self.files.clean()
        self.taken = {part.number: IdSet([self.files.keys(part)]) for part in self.files.parts}

    def _submit(self) -> str:
        """Submit every request that waits; returns why some of them have to wait on, or nothing."""
        self.journal.refresh()
        self.filling = set()
        requests = self._requests()
        request = next(requests, None)
        while request is not None:
            if len(self.files.open()) >= self.most_open:
                return _QUEUE_FULL
            with InputFile(self.files) as file:
                self.filling = file.keys
                while request is not None and file.filling.takes(request, self.limits):
                    file.add(request)
                    request = next(requests, None)
                file.finish()
            budget = Budget(self.revise.max_usd, self.calls_usd + self.files.usd())
            if not budget.fits(file.filling.usd):
                file.path.unlink()
                return f"{budget_is_spent(budget, 'batch')}; a smaller revise.batch_requests takes smaller steps"
            self._send(file)
        return ""

    def _requests(self) -> Iterator[BatchRequest]:
        """The items' first requests that wait to be submitted, each once; those too large for a file left out."""
        for items in self.windows():
            for start in range(0, len(items), _ROWS):
                asked = {}
                for row in items.slice(start, _ROWS).to_pylist():
                    messages = self.work.next_request(self.work.item(**row), []) or []
                    asked[request_key(self.revise, messages)] = messages
                for key in self._waiting(list(asked)):
                    request = batch_request(asked[key], self.revise, self.work.response_format)
                    if len(request.line) <= self.limits.size:
                        yield request

    def _waiting(self, keys: list[str]) -> list[str]:
        """Those of these requests that wait to be submitted."""
        settled = np.array(self.journal.contains(keys))
        for ids in self.taken.values():
            settled |= ids.contains(keys)
        return [key for key, done in zip(keys, settled, strict=True) if not done and key not in self.filling]

    def _send(self, file: InputFile) -> None:
        """Upload an input file and make a batch of it; what is known is on disk before each step."""
        part = self.files.add(file)
        self.taken[part.number] = IdSet([list(file.keys)])
        self.filling = set()
        self.say(f"uploading batch {part.number}: {part.requests} requests, {file.filling.size / 1e6:.1f} MB")
        part.file_id = self.api.upload(self.files.path(part), self.files.name(part))
        self.files.save()
        part.batch_id = self.api.submit(part.file_id, self.files.name(part), part.written_at)
        self.files.save()

    def _look(self) -> set[Step]:
        """See how every open batch stands, and end those that have ended; returns the steps that were taken."""
        parts = self.files.open()
        reports = [self.api.report(part.batch_id) for part in parts]
        steps = [next_step(report, others_open=len(parts) > 1) for report in reports]
        self.say(progress_words(len(self.files.parts) - len(parts), reports))
        if [part.status for part in parts] != [report.status for report in reports]:
            for part, report in zip(parts, reports, strict=True):
                part.status = report.status
            self.files.save()
        ends = [
            self._end(part, report, step)
            for part, report, step in zip(parts, reports, steps, strict=True)
            if step is not Step.WAIT
        ]
        if causes := [cause for cause in ends if cause]:  # all are collected before the first is told
            raise causes[0]
        if Step.POSTPONE in steps:
            self.most_open = max(1, len(self.files.open()))
        return set(steps)

    def _end(self, part: Part, report: BatchReport, step: Step) -> EndpointError | None:
        """Bring a batch's results into the journal, then note that it has ended; returns why no other may follow it."""
        keys = self.files.keys(part)
        left, unanswered, usd = set(keys), list[str](), 0.0
        for results in self._results(part, report):
            self._keep(results, left)
            for result in results:
                if result.key not in left or _never_run(result):
                    continue
                left.remove(result.key)
                usd += self._usd(result, part)
                if isinstance(result.outcome, Failure):
                    unanswered.append(result.key)
        if step is Step.COLLECT:  # lines that are missing altogether may have been charged
            usd += len(left) * part.largest_usd
            unanswered, left = [*unanswered, *left], set()
        self.files.end(part, usd, unanswered)
        self.taken[part.number] = IdSet([[key for key in keys if key not in left]])
        if step is Step.GIVE_UP or (step is Step.RESUBMIT and len(left) == part.requests):
            return explain_end(report, self.revise.base_url or "")
        return None

    def _results(self, part: Part, report: BatchReport) -> Iterator[list[Result]]:
        """What a batch's output and error files say, so many lines at a time."""
        for file_id in filter(None, (report.output_file_id, report.error_file_id)):
            path = self.files.path(part, "results")
            self.api.download(file_id, path)
            with path.open("rb") as lines:  # bytes end their lines at \n only, and the text may hold other line ends
                while chunk := list(islice(lines, _ROWS)):
                    yield [result for line in chunk if (result := read_result(line, self.share))]

    def _keep(self, results: list[Result], wanted: set[str]) -> None:
        """Make the replies among these durable; those that a start before brought so far are there already."""
        entries = [Entry(each.key, each.outcome) for each in results if isinstance(each.outcome, Reply)]
        there = self.journal.contains([entry.key for entry in entries])
        self.writer.add_all(
            [entry for entry, known in zip(entries, there, strict=True) if not known and entry.key in wanted]
        )

    def _usd(self, result: Result, part: Part) -> float:
        """What a request was charged, or may have been."""
        if isinstance(result.outcome, Reply):
            return self.price.usd(result.outcome.prompt_tokens, result.outcome.reply_tokens) * self.share
        return part.largest_usd if result.outcome.may_be_charged else 0.0


def _never_run(result: Result) -> bool:
    return isinstance(result.outcome, Failure) and not result.outcome.sent
