"""What the reviser is sent: templates kept as package data, versioned by their content. Pure.

A template is a Jinja file with the blocks `system` and `user`. It sees `task` (the conversation), `answer` (the
draft) and `guideline`. The file `repair` has one block for each template instead, and sees `problem`.
"""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError
from jinja2 import Template as JinjaTemplate

from raylign.config import ReviseConfig
from raylign.errors import ConfigError
from raylign.records import Message, canonical_json, content_id
from raylign.revise.structured import RESPONSE_FORMAT

_SPEAKERS = {"system": "Instructions", "user": "User", "assistant": "Assistant"}
_REPAIR = "repair"


class Template:
    """One template with the run's guideline in it."""

    def __init__(self, name: str, guideline: str) -> None:
        source = _read(name)
        self.name = name
        self.guideline = guideline
        self.compiled = _compile(source)
        self.repair = _compile(_read(_REPAIR))
        self.response_format: dict[str, Any] | None = RESPONSE_FORMAT if name == "clair_json" else None
        """What a request asks its reply's form with; None for plain text."""
        beside = {"guideline": guideline, "clair_json": canonical_json(RESPONSE_FORMAT)}.get(name, "")
        self.version = f"{name}@{content_id(source, beside)[:12]}"
        """Name and content hash; stands in every revision and its id."""

    def messages(self, conversation: list[Message], answer: str) -> list[Message]:
        """The request's messages for one draft."""
        context = {"task": render_conversation(conversation), "answer": answer, "guideline": self.guideline}
        return [{"role": role, "content": _block(self.compiled, role, context)} for role in ("system", "user")]

    def repair_messages(self, conversation: list[Message], answer: str, reply: str, problem: str) -> list[Message]:
        """The messages that ask for the same reply in the right form: the request, the reply, what is wrong with it.

        The request stands first and unchanged, so an endpoint that caches prompts has it already. A blank reply
        leaves nothing to show or to keep (and some endpoints take no blank turn): the request is sent as it was.
        """
        request = self.messages(conversation, answer)
        if not reply.strip():
            return request
        note = _block(self.repair, self.name, {"problem": problem})
        return [*request, {"role": "assistant", "content": reply}, {"role": "user", "content": note}]


def load_template(revise: ReviseConfig) -> Template:
    """The template that the configuration names, in the variant for its reply format."""
    name = "clair_json" if revise.reply_format == "json_schema" else revise.template
    return Template(name, revise.guideline.strip())


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


def request_key(revise: ReviseConfig, messages: list[Message]) -> str:
    """The id of a request by all that it says: what the journal keeps its reply under."""
    asked = [revise.model, messages, revise.max_tokens, revise.temperature]
    return content_id("request", *asked, *([revise.reply_format] if revise.reply_format != "text" else []))


def revision_id(draft_id: str, revise: ReviseConfig, template: Template) -> str:
    """The revision's id: the same draft, reviser, template and parameters name the same revision on any cluster.

    Repairs count among the parameters where there are any: they decide what becomes of a reply that cannot be read.
    """
    repairs = [revise.max_repairs, content_id(_read(_REPAIR))[:12]] if revise.max_repairs else []
    return content_id(
        "revision", draft_id, revise.model, template.version, revise.max_tokens, revise.temperature, *repairs
    )


def _read(name: str) -> str:
    return files(__package__).joinpath("templates", f"{name}.txt").read_text(encoding="utf-8")


def _compile(source: str) -> JinjaTemplate:
    return Environment(undefined=StrictUndefined, autoescape=False).from_string(source)


def _block(template: JinjaTemplate, name: str, context: dict[str, str]) -> str:
    return "".join(template.blocks[name](template.new_context(context))).strip()
