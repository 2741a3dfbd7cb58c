"""Asks an OpenAI-compatible endpoint every question without an answer on disk. This acts; `revise.retry` decides."""

import asyncio
import random
from collections.abc import Callable, Iterable

from raylign.config import EvaluateConfig
from raylign.evaluate.rows import Answer, Question
from raylign.parts import PartWriter
from raylign.revise.client import ChatClient, read_key
from raylign.revise.failures import Failure, explain_fatal
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.retry import retry_delay

Progress = Callable[[int], None]
"""Called with the number of questions answered so far."""


def ask(
    questions: list[Question], base_url: str, config: EvaluateConfig, seed: int, writer: PartWriter, progress: Progress
) -> None:
    """Ask all questions, `requests_in_flight` at a time; each answer reaches `writer` as it comes.

    A request that fails for good becomes a row with its reason.

    Args:
        seed: for the jitter between retries.

    Raises:
        EndpointError: a failure that no other request can escape, such as a wrong key or an unknown model.
    """
    asyncio.run(_ask_all(questions, base_url, config, random.Random(seed), writer, progress))


async def _ask_all(
    questions: list[Question],
    base_url: str,
    config: EvaluateConfig,
    jitter: random.Random,
    writer: PartWriter,
    progress: Progress,
) -> None:
    client = ChatClient(base_url, read_key(config.api_key_env), config.timeout_seconds)
    waiting = iter(questions)
    answered = 0

    async def work(own: Iterable[Question]) -> None:
        nonlocal answered
        for question in own:
            writer.add([await _ask_one(client, question, base_url, config, jitter)])
            answered += 1
            progress(answered)

    try:  # all workers draw from one iterator, so none idles while questions wait
        await asyncio.gather(*(work(waiting) for _ in range(min(config.requests_in_flight, len(questions)))))
    finally:
        await client.close()


async def _ask_one(
    client: ChatClient, question: Question, base_url: str, config: EvaluateConfig, jitter: random.Random
) -> Answer:
    attempt = 0
    while True:
        attempt += 1
        reply, _ = await client.complete(
            question.model, question.prompt.messages, config.max_tokens, config.temperature
        )
        if isinstance(reply, Reply):
            return to_answer(question, reply, attempt)
        if reply.fatal:
            raise explain_fatal(reply, base_url, question.model, config.api_key_env)
        delay = retry_delay(reply, attempt, config.max_attempts, jitter.random())
        if delay is None:
            return to_answer(question, reply, attempt)
        await asyncio.sleep(delay)


def to_answer(question: Question, reply: Reply | Failure, attempts: int) -> Answer:
    """The row of a reply, or of the failure that ended the tries; a reply without a token count is a failure."""
    if isinstance(reply, Reply) and reply.text and not reply.reply_tokens:
        reply = Failure(Reason.BAD_RESPONSE, "the reply has no usage.completion_tokens, so its length is unknown")
    if isinstance(reply, Failure):
        text, tokens, finish, status, detail = "", 0, "", reply.reason, reply.detail
    else:
        text, tokens, finish, status, detail = reply.text, reply.reply_tokens, reply.finish_reason, Reason.OK, ""
    return Answer(
        id=question.id,
        prompt_id=question.prompt.id,
        model=question.model,
        weights=question.weights,
        sampling=question.sampling,
        answer=text,
        answer_tokens=tokens,
        finish_reason=finish,
        status=str(status),
        detail=detail,
        attempts=attempts,
    )
