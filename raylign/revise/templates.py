"""What the reviser is sent: templates kept as package data, versioned by their content. Pure.

A template is a Jinja file with the blocks `system` and `user`. It sees `task` (the conversation), `answer` (the
draft) and `guideline`. The file `repair` has one block for each template instead, and sees `problem`. `direct`, with
which a stronger model answers in the draft's place, has no words of its own: it sends the conversation as it is.
"""

from typing import Any

from jinja2 import TemplateError

from raylign.config import ReviseConfig
from raylign.errors import ConfigError
from raylign.records import Message, canonical_json, content_id
from raylign.revise.chat_request import Parameters
from raylign.revise.structured import RESPONSE_FORMAT
from raylign.wording import Wording

_SPEAKERS = {"system": "Instructions", "user": "User", "assistant": "Assistant"}
_DIRECT = "direct"
_REPAIR = "repair"


class Template:
    """One template with the run's guideline in it."""

    def __init__(self, name: str, guideline: str) -> None:
        self.name = name
        self.guideline = guideline
        self.request = Wording(__package__, name)
        self.repair = Wording(__package__, _REPAIR)
        self.response_format: dict[str, Any] | None = RESPONSE_FORMAT if name == "clair_json" else None
        """What a request asks its reply's form with; None for plain text."""
        beside = {"guideline": guideline, "clair_json": canonical_json(RESPONSE_FORMAT)}.get(name, "")
        self.version = f"{name}@{content_id(self.request.source, beside)[:12]}"
        """Name and content hash; stands in every revision and its id."""

    def messages(self, conversation: list[Message], answer: str) -> list[Message]:
        """The request's messages for one draft."""
        if self.name == _DIRECT:
            return list(conversation)
        shown = {"task": render_conversation(conversation), "answer": answer, "guideline": self.guideline}
        return [{"role": role, "content": self.request.block(role, **shown)} for role in ("system", "user")]

    def repair_messages(self, conversation: list[Message], answer: str, reply: str, problem: str) -> list[Message]:
        """The messages that ask for the same reply in the right form: the request, the reply, what is wrong with it."""
        return show_back(self.messages(conversation, answer), reply, self.repair.block(self.name, problem=problem))


def load_template(revise: ReviseConfig, source: str = "clair") -> Template:
    """The template of a source of pairs: `direct` for `stronger`, else the configured one in its reply's format."""
    if source == "stronger":
        return Template(_DIRECT, "")
    name = "clair_json" if revise.reply_format == "json_schema" else revise.template
    return Template(name, revise.guideline.strip())


def show_back(request: list[Message], reply: str, note: str) -> list[Message]:
    """A request with its reply and a user's note on that.

    The request stands first and unchanged, so an endpoint that caches prompts has it already. A blank reply leaves
    nothing to show or to keep (and some endpoints take no blank turn): the request is sent as it was.
    """
    if not reply.strip():
        return request
    return [*request, {"role": "assistant", "content": reply}, {"role": "user", "content": note}]


def check_template(template: Template) -> None:
    """Raise a ConfigError where a request would lack what the reviser works on.

    Every template must show the task; `guideline` its rule, and every other one the draft.
    """
    marks = {"task": "the-task-itself", "answer": "the-draft-itself"}
    try:
        request = template.messages([{"role": "user", "content": marks["task"]}], marks["answer"])
    except (TemplateError, KeyError) as error:
        raise ConfigError(
            f"the template {template.name!r} cannot be filled in ({type(error).__name__}: {error})",
            "it needs the blocks system and user, and may use task, answer and guideline",
        ) from error
    text = "\n".join(message["content"] for message in request)
    needed = {"task": marks["task"]}
    needed |= {"guideline": template.guideline} if template.name == "guideline" else {"answer": marks["answer"]}
    missing = [name for name, shown in needed.items() if not shown or shown not in text]
    if missing:
        raise ConfigError(
            f"the template {template.name!r} does not show {' and '.join(missing)}",
            f"write {' and '.join('{{ ' + name + ' }}' for name in missing)} where the reviser is to read it",
        )


def render_conversation(conversation: list[Message]) -> str:
    """A conversation as one readable text: a lone user turn as it is, otherwise every turn under its speaker."""
    if len(conversation) == 1 and conversation[0]["role"] == "user":
        return conversation[0]["content"]
    turns = [
        f"{_SPEAKERS.get(message['role'], message['role'].capitalize())}: {message['content']}"
        for message in conversation
    ]
    return "\n\n".join(turns)


def request_key(parameters: Parameters, messages: list[Message]) -> str:
    """The id of a request by all that it says: what the journal keeps its reply under."""
    asked = [parameters.model, messages, parameters.max_tokens, parameters.temperature]
    form = [parameters.reply_format] if parameters.reply_format != "text" else []
    return content_id("request", *asked, *form)


def revision_id(draft_id: str, revise: ReviseConfig, template: Template) -> str:
    """The revision's id: the same draft, reviser, template and parameters name the same revision on any cluster.

    Repairs count among the parameters where there are any: they decide what becomes of a reply that cannot be read.
    """
    repairs = [revise.max_repairs, content_id(template.repair.source)[:12]] if revise.max_repairs else []
    return content_id(
        "revision", draft_id, revise.model, template.version, revise.max_tokens, revise.temperature, *repairs
    )
