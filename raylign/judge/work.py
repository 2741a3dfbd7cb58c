"""What the pool does with a comparison: the judge's request, and the row that its reply makes. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

from raylign.config import ReviseConfig
from raylign.judge.comparisons import NoComparison, choose_two, drafts_by_prompt
from raylign.judge.verdict import Verdict, read_verdict
from raylign.records import Comparison, Draft, Judgement, Message, content_id
from raylign.revise.chat_request import Parameters
from raylign.revise.failures import Failure
from raylign.revise.repair import next_repair
from raylign.revise.replies import Reply
from raylign.revise.rows import Call, request_fields, standing_failure
from raylign.revise.templates import render_conversation, show_back
from raylign.wording import Wording


class Judging:
    """Comparisons become judgements. A prompt's two drafts are compared twice, each standing first once."""

    item: type[Any] = Comparison
    row: type[Any] = Judgement
    verb = "judged"
    response_format: dict[str, Any] | None = None

    def __init__(self, revise: ReviseConfig) -> None:
        self.revise = revise
        self.wording = Wording(__package__, "judge")
        self.version = f"judge@{content_id(self.wording.source)[:12]}"
        """Name and content hash of the template; stands in every judgement and its id."""

    def comparisons(self, drafts: Iterable[Draft]) -> list[Comparison]:
        """All that is to be asked about these drafts: two comparisons a prompt, or none where it has no two drafts."""
        chosen = (choose_two(group) for group in drafts_by_prompt(drafts).values())
        return [
            self._comparison(first, second)
            for two in chosen
            if not isinstance(two, NoComparison)
            for first, second in permutations(two)
        ]

    def judgement_id(self, first: Draft, second: Draft) -> str:
        """The same drafts in the same order, judge, template and parameters name the same judgement on any cluster."""
        revise = self.revise
        parameters = (revise.model, self.version, revise.max_tokens, revise.temperature)
        return content_id("judgement", first.id, second.id, *parameters, revise.max_repairs)

    def parameters(self, item: Comparison) -> Parameters:
        """Those of the configuration, for every comparison."""
        return self.revise

    def next_request(self, item: Comparison, replies: Sequence[Reply]) -> list[Message] | None:
        """The comparison's request, then a repair request after each reply without a clear verdict."""
        shown = {"task": render_conversation(item.messages), "first": item.first, "second": item.second}
        request = [Message(role=role, content=self.wording.block(role, **shown)) for role in ("system", "user")]
        if not replies:
            return request
        verdict = read_verdict(replies[-1])
        if not next_repair(verdict.status, len(replies) - 1, self.revise):
            return None
        return show_back(request, replies[-1].text, self.wording.block("repair", problem=verdict.detail))

    def to_row(self, item: Comparison, call: Call) -> Judgement:
        """The comparison's judgement, whatever came of the call."""
        verdict = _read(call)
        return Judgement(
            id=item.id,
            prompt_id=item.prompt_id,
            first_id=item.first_id,
            second_id=item.second_id,
            judge_model=self.revise.model,
            template=self.version,
            choice=verdict.choice,
            rationale=verdict.rationale,
            status=str(verdict.status),
            detail=verdict.detail,
            **request_fields(call, self.revise),
        )

    def _comparison(self, first: Draft, second: Draft) -> Comparison:
        return Comparison(
            id=self.judgement_id(first, second),
            prompt_id=first.prompt_id,
            messages=first.messages,
            first_id=first.id,
            second_id=second.id,
            first=first.answer,
            second=second.answer,
        )


def _read(call: Call) -> Verdict:
    """What came of a call, in the way that `raylign.revise.rows` takes a revision's."""
    if failure := standing_failure(call):
        return Verdict(failure.reason, detail=failure.detail)
    verdict = read_verdict(call.replies[-1])
    if isinstance(failed := call.outcome, Failure):
        return replace(verdict, detail=f"{verdict.detail}; its repair failed ({failed.reason}: {failed.detail})")
    return verdict
