"""What the pool does with a question of an evaluation: its request, and the row that the reply makes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raylign.evaluate.rows import Answer, Question
from raylign.records import Message
from raylign.revise.failures import Failure
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.rows import Call

_DECLINED = frozenset({"content_filter", "refusal", "safety"})


@dataclass(frozen=True)
class AnswerParameters:
    """What a question's request says besides its messages; weights, not names, tell models' replies apart."""

    model: str
    max_tokens: int
    temperature: float
    reply_format: str = "text"


class Answering:
    """Questions become answers: one request each, whatever its reply says."""

    item: type[Any] = Question
    row: type[Any] = Answer
    verb = "answered"
    response_format: dict[str, Any] | None = None

    def __init__(self, needs_tokens: bool = False) -> None:
        self.needs_tokens = needs_tokens
        """Whether an answer whose tokens the endpoint did not count is a failure."""

    def parameters(self, item: Question) -> AnswerParameters:
        """The question's own."""
        return AnswerParameters(item.weights, item.max_tokens, item.temperature)

    def next_request(self, item: Question, replies: Sequence[Reply]) -> list[Message] | None:
        """The question itself, and nothing after its reply."""
        return None if replies else item.messages

    def to_row(self, item: Question, call: Call) -> Answer:
        """The row of a reply, or of the failure that ended the tries."""
        outcome = self._checked(call.outcome)
        reply = outcome if isinstance(outcome, Reply) else Reply()
        return Answer(
            id=item.id,
            prompt_id=item.task_id,
            model=item.model,
            weights=item.weights,
            sampling=item.sampling,
            answer=reply.text,
            answer_tokens=reply.reply_tokens,
            finish_reason=reply.finish_reason,
            status=str(outcome.reason if isinstance(outcome, Failure) else Reason.OK),
            detail=outcome.detail if isinstance(outcome, Failure) else "",
            attempts=call.attempts,
        )

    def _checked(self, outcome: Reply | Failure) -> Reply | Failure:
        """A reply that holds no answer is a failure, too."""
        if isinstance(outcome, Failure):
            return outcome
        if not outcome.text.strip() and (outcome.refusal or outcome.finish_reason.lower() in _DECLINED):
            return Failure(Reason.REFUSED, outcome.refusal or "stopped by the provider's content filter")
        if self.needs_tokens and outcome.text and not outcome.reply_tokens:
            return Failure(Reason.BAD_RESPONSE, "the reply has no usage.completion_tokens, so its length is unknown")
        return outcome
