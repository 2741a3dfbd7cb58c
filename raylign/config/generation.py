"""The sections that make pairs: prompts, drafts, revisions, filters, and pairs from elsewhere."""

from dataclasses import dataclass, field
from typing import Any

from raylign.config.metadata import OPERATION

SOURCES = ("clair", "judge", "offpolicy", "stronger")
FILTERS = (
    *("empty", "cut_off", "identical", "marker_leak", "alludes", "refusal", "repetitive", "too_short", "too_long"),
    *("jaccard", "levenshtein", "shared_prefix", "language_change", "near_duplicate"),
)


@dataclass
class PromptsConfig:
    """Where prompts come from and how they are split."""

    path: str = "bundled"
    """A .jsonl or .parquet file, a folder saved by `datasets`, or `bundled` for the prompts raylign ships."""
    format: str = field(default="auto", metadata={"allowed": ("auto", "jsonl", "parquet", "dataset")})
    """File format; `auto` reads it off the path."""
    prompt_field: str = "prompt"
    """Column that holds a single user prompt as a string."""
    messages_field: str = "messages"
    """Column that holds a conversation as a list of {role, content}; wins where a row has both."""
    limit: int | None = field(default=None, metadata={"low": 1})
    """Use at most this many prompts, in file order after deduplication; null for all."""
    heldout_share: float = field(default=0.15, metadata={"low": 0.0, "below": 1.0})
    """Share of prompts kept out of training, chosen by id."""
    max_bad_share: float = field(default=0.05, metadata={"low": 0.0, "high": 1.0})
    """Stop when more than this share of the rows cannot be read."""


@dataclass
class SampleConfig:
    """How the target model drafts an answer to each prompt."""

    samples: int = field(default=1, metadata={"low": 1})
    """Drafts for each prompt; `pairs.source=judge` needs two. Elsewhere each of them can become a pair."""
    max_tokens: int = field(default=96, metadata={"low": 1})
    """Longest draft, in tokens; a draft that reaches it is marked as cut off."""
    temperature: float = field(default=0.7, metadata={"low": 0.0})
    """Sampling temperature; 0 is greedy."""
    top_p: float = field(default=0.95, metadata={"above": 0.0, "high": 1.0})
    """Nucleus sampling mass."""
    batch_size: int = field(default=32, metadata=OPERATION | {"low": 1})
    """Prompts handed to an engine at a time."""
    engines_min: int = field(default=1, metadata=OPERATION | {"low": 1})
    """Fewest vLLM engines kept running."""
    engines_max: int = field(default=1, metadata=OPERATION | {"low": 1})
    """Most vLLM engines the pool may grow to."""
    cpus_per_engine: float = field(default=1.0, metadata=OPERATION | {"low": 0.0})
    """Logical CPUs reserved per engine."""
    gpus_per_engine: int = field(default=0, metadata={"low": 0})
    """GPUs reserved per engine; also its tensor-parallel degree. 0 runs on CPU."""
    max_model_len: int = field(default=1024, metadata={"low": 16})
    """Context length of the engine, prompt and answer together, in tokens."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Further vLLM engine arguments, passed through by name."""


@dataclass
class EndpointConfig:
    """How an OpenAI-compatible endpoint is asked: where it is, its limits and prices, the pool that keeps to them."""

    base_url: str | None = None
    """OpenAI-compatible endpoint, e.g. https://api.openai.com/v1."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; null for an endpoint without one."""
    actors_min: int = field(default=1, metadata=OPERATION | {"low": 1})
    """Fewest actors that ask."""
    actors_max: int = field(default=2, metadata=OPERATION | {"low": 1})
    """Most actors that ask."""
    requests_in_flight: int = field(default=32, metadata=OPERATION | {"low": 1})
    """Requests one actor keeps in flight."""
    max_in_flight: int | None = field(default=None, metadata=OPERATION | {"low": 1})
    """Requests all actors together keep in flight; null for no limit but their own."""
    requests_per_minute: int = field(default=6000, metadata=OPERATION | {"low": 1})
    """Request limit of the whole cluster."""
    tokens_per_minute: int = field(default=10_000_000, metadata=OPERATION | {"low": 1})
    """Token limit of the whole cluster, prompt and reply together."""
    usd_per_million_prompt_tokens: float | None = field(default=None, metadata=OPERATION | {"low": 0.0})
    """What the endpoint charges for what it reads; null where it is not known."""
    usd_per_million_reply_tokens: float | None = field(default=None, metadata=OPERATION | {"low": 0.0})
    """What the endpoint charges for what it writes; null where it is not known."""
    max_usd: float | None = field(default=None, metadata=OPERATION | {"above": 0.0})
    """Most that a run may spend here, over all its starts and with every request in flight; needs both prices."""
    journal: str | None = field(default=None, metadata=OPERATION)
    """Folder or URI (s3://…) where every reply is kept; null takes the run's own. Runs may share one: a request that
    was answered in it is never sent again."""
    timeout_seconds: float = field(default=300.0, metadata=OPERATION | {"above": 0.0})
    """Time allowed to one request."""
    max_attempts: int = field(default=5, metadata=OPERATION | {"low": 1})
    """Tries a request gets, the first included; only failures that may pass are tried again. A refusal for the rate is
    none of them: it is tried again for up to ten times `timeout_seconds`."""


@dataclass
class ReviseConfig(EndpointConfig):
    """How a stronger model revises each draft."""

    base_url: str | None = None
    """OpenAI-compatible endpoint, e.g. https://api.openai.com/v1; null serves `model` on loopback for the run."""
    model: str = "bundled"
    """Model name at the endpoint; with no base_url, the model to serve: `bundled`, a path or a hub id."""
    template: str = field(default="guideline", metadata={"allowed": ("clair", "guideline")})
    """`clair`: reasoning, then the corrected answer; `guideline`: a rule only the reviser sees, reply = revision. Of
    pairs.source=clair alone: the other sources that ask this model have requests of their own."""
    guideline: str = "Answer with one short, clear sentence."
    """The rule of the `guideline` template."""
    reply_format: str = field(default="text", metadata={"allowed": ("text", "json_schema")})
    """Form of a `clair` reply: `text` with identifiers, or a JSON object where the endpoint takes a `json_schema`."""
    max_repairs: int = field(default=0, metadata={"low": 0})
    """Times the reviser is shown its own reply and asked for the right form, where it could not be read."""
    max_tokens: int = field(default=96, metadata={"low": 1})
    """Longest reply, in tokens."""
    temperature: float = field(default=0.3, metadata={"low": 0.0})
    """Sampling temperature of the reviser."""
    overlap: bool = field(default=True, metadata=OPERATION)
    """Revise each draft as soon as it is there, while engines draft the next. Applies where both stages are still to
    run, with `pairs.source` clair or stronger, a base_url and mode=online; false drafts everything first."""
    mode: str = field(default="online", metadata=OPERATION | {"allowed": ("online", "batch")})
    """`batch` sends requests through the provider's batch endpoint first, and online only what that did not answer."""
    batch_requests: int = field(default=50_000, metadata=OPERATION | {"low": 1})
    """Most requests in a batch; OpenAI's limit."""
    batch_megabytes: float = field(default=190.0, metadata=OPERATION | {"above": 0.0})
    """Largest input file of a batch, in millions of bytes; OpenAI takes 200."""
    batch_wait_hours: int = field(default=24, metadata=OPERATION | {"low": 1})
    """Time the provider is given for a batch, its `completion_window`; OpenAI knows 24 hours only."""
    batch_poll_seconds: float = field(default=60.0, metadata=OPERATION | {"above": 0.0})
    """Time between looks at the open batches."""
    batch_discount: float = field(default=0.5, metadata=OPERATION | {"low": 0.0, "high": 1.0})
    """Share of the price that the provider takes off a request in a batch."""


@dataclass
class PairsConfig:
    """Where pairs come from, and which candidates become pairs."""

    source: str = field(default="clair", metadata={"allowed": SOURCES})
    """`clair`: the reviser improves the draft; `stronger`: it answers the prompt itself; `judge`: it prefers one of two
    drafts; `offpolicy`: existing pairs or scored answers are imported. All four as in arXiv 2408.06266."""
    filters: list[str] = field(
        default_factory=lambda: list(FILTERS[: FILTERS.index("language_change")]),
        metadata={"allowed": FILTERS},
    )
    """Filters that run, in this order; the first that objects names the reason. `near_duplicate` runs last."""
    max_repeated_4grams: float = field(default=0.2, metadata={"low": 0.0, "high": 1.0})
    """`repetitive`: a revision of whose four-word runs more than this share repeat an earlier one is rejected."""
    min_chosen_characters: int = field(default=8, metadata={"low": 1})
    """`too_short`: a revision shorter than this is rejected."""
    min_length_ratio: float = field(default=0.0, metadata={"low": 0.0})
    """`too_short`: so is one shorter than this many times its draft, in characters; 0 sets no such bound."""
    max_length_ratio: float = field(default=4.0, metadata={"above": 0.0})
    """`too_long`: a revision longer than this many times its draft, in characters, is rejected."""
    drop_cut_drafts: bool = False
    """`cut_off` always rejects a cut revision; true also rejects a cut draft."""
    min_jaccard: float = field(default=0.0, metadata={"low": 0.0, "high": 1.0})
    """`jaccard`: a revision that shares less than this of its and its draft's words is rejected."""
    max_jaccard: float = field(default=1.0, metadata={"low": 0.0, "high": 1.0})
    """`jaccard`: so is one that shares more than this."""
    min_levenshtein: float = field(default=0.0, metadata={"low": 0.0, "high": 1.0})
    """`levenshtein`: a revision with fewer character edits than this, over the longer length, is rejected."""
    max_levenshtein: float = field(default=1.0, metadata={"low": 0.0, "high": 1.0})
    """`levenshtein`: so is one with more than this."""
    min_shared_prefix: int = field(default=0, metadata={"low": 0})
    """`shared_prefix`: a revision that starts with fewer of its draft's tokens (words, punctuation marks) than this is
    rejected."""
    max_shared_prefix: int | None = field(default=None, metadata={"low": 0})
    """`shared_prefix`: so is one that starts with more; null sets no such bound."""
    near_duplicate_threshold: float = field(default=0.8, metadata={"above": 0.0, "high": 1.0})
    """`near_duplicate`: Jaccard similarity, of runs of five characters, from which on two prompts are too alike."""


@dataclass
class OffpolicyConfig:
    """Which existing pairs or scored answers `pairs.source=offpolicy` imports."""

    path: str | None = None
    """A .jsonl or .parquet file, or a folder saved by `datasets`; required by the source."""
    format: str = field(default="auto", metadata={"allowed": ("auto", "jsonl", "parquet", "dataset")})
    """File format; `auto` reads it off the path."""
    prompt_field: str = "prompt"
    """Column with the prompt, a string or a conversation; not needed where the answers hold the conversation."""
    messages_field: str = "messages"
    """Column with the prompt as a conversation, a list of {role, content}; wins where a row has both."""
    chosen_field: str = "chosen"
    """Column with the better answer: a string, an assistant turn in a list, or the conversation that ends with it."""
    rejected_field: str = "rejected"
    """Column with the worse answer, in the same form."""
    completions_field: str = "completions"
    """Column with scored answers, a list of objects; read where a row has neither a better nor a worse answer."""
    response_field: str = "response"
    """Name of an object's answer."""
    score_field: str = "overall_score"
    """Name of an object's score, a number; the highest is the best."""
    answer_field: str = "completion"
    """Column with a single answer, in the form of `chosen`; read where a row has none of the above."""
    desirable_field: str = "label"
    """Column that says whether the single answer is desirable, true or false; `kto` and `apo_zero_unpaired` use it."""
    against: str = field(default="worst", metadata={"allowed": ("worst", "random")})
    """Which scored answer the best one is set against: the `worst`, or a `random` other one, drawn by `seed`."""
    on_prompts_only: bool = False
    """Keep only pairs whose prompt is one of this run's prompts, so that data sets compare on equal prompts."""
    max_bad_share: float = field(default=0.05, metadata={"low": 0.0, "high": 1.0})
    """Stop when more than this share of the rows cannot be read."""
