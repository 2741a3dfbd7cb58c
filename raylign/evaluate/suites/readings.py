"""What became of an answer, and the figures that every suite with answers has. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.suite import Answers, Reading, Readings, Task
from raylign.refusal import refusal_in

OWN = frozenset({"ok", "cut_off", "empty", "refused"})
"""Conditions that are the model's own doing. With any other there is no answer, and the row is in no figure."""
_MISSING = Reading("", finish_reason="", status="missing", detail="the model was not asked")


def reading_of(readings: Readings, task_id: str) -> Reading:
    """The reading of a task; one that says `missing` where there is none."""
    return readings.get(task_id, _MISSING)


def condition(reading: Reading) -> str:
    """`ok`, `cut_off` (the token limit ended it), `empty` (no text), or the reason why there is no answer."""
    if reading.status != "ok":
        return reading.status
    if not reading.text.strip():
        return "empty"
    return "cut_off" if reading.finish_reason == "length" else "ok"


def is_own(reading: Reading) -> bool:
    """Whether the reading shows what the model does, and not that it could not be asked."""
    return condition(reading) in OWN


def count_conditions(tasks: Sequence[Task], answers: Answers) -> dict[str, dict[str, int]]:
    """Model -> condition -> tasks; each model's counts sum to the number of tasks."""
    return {
        model: dict(Counter(condition(reading_of(readings, task.id)) for task in tasks).most_common())
        for model, readings in answers.items()
    }


def unread_notes(unread: Mapping[str, int]) -> dict[str, list[str]]:
    """The `notes` of a suite's result on verdicts that are missing, by the model whose answers they are on."""
    notes = [
        f"{count} verdicts on answers of {model} could not be had or read; these are in no figure"
        for model, count in unread.items()
        if count
    ]
    return {"notes": notes} if notes else {}


def clusters_of(tasks: Iterable[Task]) -> dict[str, str] | None:
    """Task id -> source where some tasks share one, and None where each stands for itself."""
    clusters = {task.id: task.source or f"task {task.id}" for task in tasks}
    # One source for all is no cluster: it is what the tasks are drawn from.
    return None if len(set(clusters.values())) in (0, 1, len(clusters)) else clusters


def answer_metrics(tasks: Sequence[Task], answers: Answers) -> list[Metric]:
    """The answers' length, and how often they decline or are cut: a promotion may be guarded by them."""
    own = {
        model: {task.id: reading for task in tasks if is_own(reading := reading_of(readings, task.id))}
        for model, readings in answers.items()
    }
    counted = {
        model: {id_: float(one.tokens) for id_, one in readings.items() if one.tokens or not one.text}
        for model, readings in own.items()
    }
    declined = {
        model: {id_: float(one.status == "refused" or bool(refusal_in(one.text))) for id_, one in readings.items()}
        for model, readings in own.items()
    }
    cut = {
        model: {id_: float(condition(one) == "cut_off") for id_, one in readings.items()}
        for model, readings in own.items()
    }
    clusters = clusters_of(tasks)
    return [
        Metric("answer_tokens", counted, None, clusters),
        Metric("refusal_rate", declined, None, clusters),
        Metric("cut_off_rate", cut, False, clusters),
    ]
