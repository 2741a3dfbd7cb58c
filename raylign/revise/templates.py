"""What the reviser is sent: templates kept as package data, versioned by their content. Pure.

A template is a Jinja file with the blocks `system` and `user`. It sees `task` (the conversation), `answer` (the
draft) and `guideline`.
"""

from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from jinja2 import Template as JinjaTemplate

from raylign.config import ReviseConfig
from raylign.records import Message, content_id

_SPEAKERS = {"system": "Instructions", "user": "User", "assistant": "Assistant"}


class Template:
    """One template with the run's guideline in it."""

    def __init__(self, name: str, guideline: str) -> None:
        source = files(__package__).joinpath("templates", f"{name}.txt").read_text(encoding="utf-8")
        self.name = name
        self.guideline = guideline
        self.compiled: JinjaTemplate = Environment(undefined=StrictUndefined, autoescape=False).from_string(source)
        self.version = f"{name}@{content_id(source, guideline if name == 'guideline' else '')[:12]}"
        """Name and content hash; stands in every revision and its id."""

    def messages(self, conversation: list[Message], answer: str) -> list[Message]:
        """The request's messages for one draft."""
        context = {"task": render_conversation(conversation), "answer": answer, "guideline": self.guideline}
        return [{"role": role, "content": self._block(role, context)} for role in ("system", "user")]

    def _block(self, role: str, context: dict[str, str]) -> str:
        return "".join(self.compiled.blocks[role](self.compiled.new_context(context))).strip()


def load_template(revise: ReviseConfig) -> Template:
    """The template that the configuration names."""
    return Template(revise.template, revise.guideline.strip())


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
    return content_id("request", revise.model, messages, revise.max_tokens, revise.temperature)


def revision_id(draft_id: str, revise: ReviseConfig, template: Template) -> str:
    """The revision's id: the same draft, reviser, template and parameters name the same revision on any cluster."""
    return content_id("revision", draft_id, revise.model, template.version, revise.max_tokens, revise.temperature)
