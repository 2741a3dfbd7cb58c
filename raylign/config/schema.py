"""The sections of a run's configuration, one dataclass a stage; the defaults are the embedded laptop run.

`metadata` carries what a value may be: `allowed` lists choices, `low` and `high` are inclusive bounds,
`above` and `below` exclusive ones. `raylign.config.checks` reads them and holds the checks between fields.
`operation` marks what says how work is done and not what comes out of it: it may change between starts of one run.
"""

from dataclasses import dataclass, field
from typing import Any

TRUNCATIONS = ("drop", "left_truncate_prompt")
SOURCES = ("clair", "judge", "offpolicy", "stronger")
HELDOUT_METRICS = ("reward_accuracy", "reward_margin", "loss")
FILTERS = (
    *("empty", "cut_off", "identical", "marker_leak", "alludes", "refusal", "repetitive", "too_short", "too_long"),
    *("jaccard", "levenshtein", "shared_prefix", "language_change", "near_duplicate"),
)

_OPERATION = {"operation": True}


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
    batch_size: int = field(default=32, metadata=_OPERATION | {"low": 1})
    """Prompts handed to an engine at a time."""
    engines_min: int = field(default=1, metadata=_OPERATION | {"low": 1})
    """Fewest vLLM engines kept running."""
    engines_max: int = field(default=1, metadata=_OPERATION | {"low": 1})
    """Most vLLM engines the pool may grow to."""
    cpus_per_engine: float = field(default=1.0, metadata=_OPERATION | {"low": 0.0})
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
    actors_min: int = field(default=1, metadata=_OPERATION | {"low": 1})
    """Fewest actors that ask."""
    actors_max: int = field(default=2, metadata=_OPERATION | {"low": 1})
    """Most actors that ask."""
    requests_in_flight: int = field(default=32, metadata=_OPERATION | {"low": 1})
    """Requests one actor keeps in flight."""
    max_in_flight: int | None = field(default=None, metadata=_OPERATION | {"low": 1})
    """Requests all actors together keep in flight; null for no limit but their own."""
    requests_per_minute: int = field(default=6000, metadata=_OPERATION | {"low": 1})
    """Request limit of the whole cluster."""
    tokens_per_minute: int = field(default=10_000_000, metadata=_OPERATION | {"low": 1})
    """Token limit of the whole cluster, prompt and reply together."""
    usd_per_million_prompt_tokens: float | None = field(default=None, metadata=_OPERATION | {"low": 0.0})
    """What the endpoint charges for what it reads; null where it is not known."""
    usd_per_million_reply_tokens: float | None = field(default=None, metadata=_OPERATION | {"low": 0.0})
    """What the endpoint charges for what it writes; null where it is not known."""
    max_usd: float | None = field(default=None, metadata=_OPERATION | {"above": 0.0})
    """Most that a run may spend here, over all its starts and with every request in flight; needs both prices."""
    journal: str | None = field(default=None, metadata=_OPERATION)
    """Folder or URI (s3://…) where every reply is kept; null takes the run's own. Runs may share one: a request that
    was answered in it is never sent again."""
    timeout_seconds: float = field(default=300.0, metadata=_OPERATION | {"above": 0.0})
    """Time allowed to one request."""
    max_attempts: int = field(default=5, metadata=_OPERATION | {"low": 1})
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
    overlap: bool = field(default=True, metadata=_OPERATION)
    """Revise each draft as soon as it is there, while engines draft the next. Applies where both stages are still to
    run, with `pairs.source` clair or stronger, a base_url and mode=online; false drafts everything first."""
    mode: str = field(default="online", metadata=_OPERATION | {"allowed": ("online", "batch")})
    """`batch` sends requests through the provider's batch endpoint first, and online only what that did not answer."""
    batch_requests: int = field(default=50_000, metadata=_OPERATION | {"low": 1})
    """Most requests in a batch; OpenAI's limit."""
    batch_megabytes: float = field(default=190.0, metadata=_OPERATION | {"above": 0.0})
    """Largest input file of a batch, in millions of bytes; OpenAI takes 200."""
    batch_wait_hours: int = field(default=24, metadata=_OPERATION | {"low": 1})
    """Time the provider is given for a batch, its `completion_window`; OpenAI knows 24 hours only."""
    batch_poll_seconds: float = field(default=60.0, metadata=_OPERATION | {"above": 0.0})
    """Time between looks at the open batches."""
    batch_discount: float = field(default=0.5, metadata=_OPERATION | {"low": 0.0, "high": 1.0})
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


@dataclass
class LoraConfig:
    """Low-rank adapters in the place of training all weights (arXiv 2106.09685); the reference is the adapter off."""

    rank: int | None = field(default=None, metadata={"low": 1})
    """Rank of each adapter; null trains all weights, and the other keys say nothing."""
    alpha: float = field(default=32.0, metadata={"above": 0.0})
    """An adapter's output is multiplied by alpha / rank."""
    dropout: float = field(default=0.0, metadata={"low": 0.0, "below": 1.0})
    """Share of an adapter's inputs that a training step leaves out."""
    targets: list[str] = field(default_factory=list)
    """Names of the linear layers that get an adapter, e.g. [q_proj, v_proj]; empty for all but the head."""
    quantization: str | None = field(default=None, metadata={"allowed": (None, "nf4", "fp4")})
    """GPU only: hold the frozen weights in 4 bits through bitsandbytes (QLoRA, arXiv 2305.14314); null leaves them."""


@dataclass
class TrainConfig:
    """How the target model is aligned on the pairs."""

    pairs: str | None = None
    """Folder of pairs to train on (`train/` and `heldout/` inside); null takes the run folder's own."""
    reference_folder: str | None = field(default=None, metadata=_OPERATION)
    """Folder for the reference log-probabilities, which runs on the same pairs share; null keeps them beside these."""
    allow_other_drafts: bool = False
    """Train on pairs whose rejected answers another model drafted; false refuses them, as APO takes them for the target
    model's own and a wrong folder looks the same."""
    objective: str = "apo_zero + 4·sft"
    """What is minimised: one of `raylign.config.objective.OBJECTIVES`, or a weighted sum of them (`*` and `·` both
    multiply). arXiv 2408.06266 names when apo_zero and when apo_down fits; `sft` is the chosen answers' negative
    log-likelihood, a mean over tokens. `kto` and `apo_zero_unpaired` also take single answers with a verdict."""
    beta: float = field(default=0.3, metadata={"above": 0.0})
    """Strength of the anchor to the reference model; IPO's τ."""
    label_smoothing: float = field(default=0.0, metadata={"low": 0.0, "below": 0.5})
    """`dpo`: share of pairs whose chosen and rejected are taken to be the wrong way round."""
    desirable_weight: float = field(default=1.0, metadata={"above": 0.0})
    """`kto`, `apo_zero_unpaired`: weight of the chosen answers' losses."""
    undesirable_weight: float = field(default=1.0, metadata={"above": 0.0})
    """`kto`, `apo_zero_unpaired`: weight of the rejected answers' losses."""
    learning_rate: float = field(default=1.5e-5, metadata={"above": 0.0})
    """Peak learning rate."""
    schedule: str = field(default="linear", metadata={"allowed": ("constant", "linear", "cosine")})
    """Learning-rate decay after warm-up, down to zero."""
    warmup_share: float = field(default=0.1, metadata={"low": 0.0, "below": 1.0})
    """Share of the steps spent warming up."""
    weight_decay: float = field(default=0.0, metadata={"low": 0.0})
    """AdamW weight decay."""
    max_gradient_norm: float = field(default=1.0, metadata={"above": 0.0})
    """Gradients are clipped to this norm."""
    max_gradient_jump: float | None = field(default=100.0, metadata={"above": 1.0})
    """Stop where a step's gradient norm is this many times the running median and would be clipped; null for never."""
    epochs: int = field(default=1, metadata={"low": 1})
    """Passes over the pairs."""
    batch_size: int = field(default=8, metadata={"low": 1})
    """Pairs an optimizer step, over all workers."""
    micro_batch_size: int = field(default=8, metadata={"low": 1})
    """Pairs a worker packs into one forward and backward pass."""
    max_length: int = field(default=1024, metadata={"low": 8})
    """Longest prompt and answer together, in tokens."""
    truncation: str = field(default="drop", metadata={"allowed": TRUNCATIONS})
    """What becomes of a pair with a longer side: `drop` leaves it out; `left_truncate_prompt` cuts its prompt from the
    left, but for a BOS, and leaves it out only where its answers alone are too long. Either way it is counted."""
    workers: int = field(default=1, metadata=_OPERATION | {"low": 1})
    """Training processes; the fewest where `workers_max` allows for more."""
    workers_max: int | None = field(default=None, metadata=_OPERATION | {"low": 1})
    """Most training processes: the run grows and shrinks with the cluster, from its newest checkpoint, on the same
    batches; null for `workers`, always."""
    resize_seconds: float = field(default=60.0, metadata=_OPERATION | {"above": 0.0})
    """Time between looks whether the cluster has room for more workers, where `workers_max` allows for them."""
    cpus_per_worker: float = field(default=2.0, metadata=_OPERATION | {"above": 0.0})
    """Logical CPUs reserved per worker."""
    gpus_per_worker: int = field(default=0, metadata={"low": 0, "high": 1})
    """1 trains on GPUs through NCCL, 0 on CPU through gloo."""
    zero_stage: int = field(default=1, metadata=_OPERATION | {"allowed": (1, 2, 3)})
    """DeepSpeed ZeRO stage: what is sharded over workers (1 optimizer, 2 and gradients, 3 and parameters)."""
    offload_optimizer: bool = False
    """GPU only: keep optimizer state in host memory (on CPU it is there anyway)."""
    offload_parameters: bool = False
    """GPU and ZeRO-3 only: keep parameters in host memory too, and fetch them a layer at a time."""
    dtype: str = field(default="bf16", metadata={"allowed": ("bf16", "fp32")})
    """Compute type; bf16 keeps fp32 master weights."""
    kept_logits_mb: int = field(default=256, metadata=_OPERATION | {"low": 0})
    """Most MiB of logits that a worker keeps for the backward pass; those beyond are computed a second time in it, 256
    answer tokens at a time. 0 keeps none, so that their memory is the same whatever the answers' length."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    export: str = field(default="merged", metadata={"allowed": ("merged", "adapter")})
    """With LoRA: `merged` writes a whole model, `adapter` the adapter alone, which neither serve nor evaluate takes."""
    log_every: int = field(default=5, metadata=_OPERATION | {"low": 1})
    """Steps between lines of training metrics."""
    evaluate_every: int = field(default=20, metadata={"low": 1})
    """Steps between held-out evaluations; one always runs at the end."""
    early_stop: str | None = field(default=None, metadata={"allowed": (None, *HELDOUT_METRICS)})
    """Stop when this held-out figure no longer gets better; null trains to the end."""
    early_stop_patience: int = field(default=3, metadata={"low": 1})
    """Evaluations in a row without a new best after which `early_stop` stops."""
    peak_tflops: float | None = field(default=None, metadata=_OPERATION | {"above": 0.0})
    """What one worker's device could do at most, in TFLOP/s, behind the utilisation figure: the data sheet's number for
    `dtype`; null measures a matrix product at the start."""
    checkpoint_every: int = field(default=50, metadata={"low": 1})
    """Steps between checkpoints."""
    checkpoints_kept: int = field(default=2, metadata=_OPERATION | {"low": 1})
    """Checkpoints kept on disk, besides the newest where `keep_best` keeps better ones; 12 bytes a parameter each."""
    keep_best: str | None = field(default=None, metadata={"allowed": (None, *HELDOUT_METRICS)})
    """Export the checkpoint with the best of this held-out figure, and evaluate at each; null exports the last step."""
    max_failures: int = field(default=3, metadata=_OPERATION | {"low": 0})
    """Times training restarts from its last checkpoint after losing a worker; a node that Ray takes away after notice
    does not count."""


@dataclass
class ServeConfig:
    """How checkpoints are hosted."""

    host: str = "127.0.0.1"
    """Address to bind; any but loopback needs keys."""
    port: int = field(default=8000, metadata={"low": 0, "high": 65535})
    """Port to bind; 0 takes a free one."""
    api_keys_env: str | None = None
    """Name of the environment variable with the keys that `raylign serve` asks for, by commas where there are several;
    it must be set before Ray starts. null, with no file either, asks for none."""
    api_keys_file: str | None = None
    """File with the keys, one a line, instead; it is read again when it changes. Every host of the router needs it."""
    max_request_bytes: int = field(default=4_000_000, metadata={"low": 1})
    """Largest body of a request; what is larger is answered with 413."""
    max_tokens_limit: int | None = field(default=None, metadata={"low": 1})
    """Most tokens that all answers to a request may have; more is answered with 400, and an answer without a limit ends
    there. null for no limit but the context length."""
    audit: str = field(default="off", metadata={"allowed": ("off", "sizes", "texts")})
    """Log of requests: `sizes` writes a line each with ids, sizes and times; `texts` also what was said."""
    audit_file: str | None = None
    """Where that log is written; null takes logs/audit.jsonl of the run folder."""
    replicas_min: int = field(default=1, metadata={"low": 0})
    """Fewest replicas per model; with 0 a model that nobody asks lets go of its place, and the next request waits until
    it has started again."""
    replicas_max: int = field(default=1, metadata={"low": 1})
    """Most replicas per model."""
    target_ongoing_requests: int = field(default=32, metadata={"low": 1})
    """Requests in flight per replica that the autoscaler aims at."""
    upscale_seconds: float = field(default=10.0, metadata={"low": 0.0})
    """Time that there must be more of them before a replica is added."""
    downscale_seconds: float = field(default=300.0, metadata={"low": 0.0})
    """Time that there must be fewer before a replica goes."""
    drain_seconds: float = field(default=600.0, metadata={"above": 0.0})
    """Time that a replica which is replaced or no longer needed has for its answers under way: more than any takes."""
    gpus_per_replica: int = field(default=0, metadata={"low": 0})
    """GPUs per replica; also its tensor-parallel degree. 0 runs on CPU."""
    threads_per_replica: int | None = field(default=None, metadata={"low": 1})
    """CPU only: compute threads, and logical CPUs reserved, per replica; null shares the cores and reserves one CPU."""
    max_model_len: int = field(default=1024, metadata={"low": 16})
    """Context length, prompt and answer together, in tokens."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Further vLLM engine arguments, passed through by name."""


@dataclass
class JudgeConfig(EndpointConfig):
    """Which model compares or grades answers, for the suites that need one."""

    base_url: str | None = None
    """Endpoint of the judge; null takes the endpoint that is evaluated, where `model` is one of its names."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; without a base_url that of `evaluate` counts."""
    model: str | None = None
    """The judge's name at the endpoint; null has no judge, and suites that need one are refused."""
    max_tokens: int = field(default=512, metadata={"low": 1})
    """Longest reply, in tokens."""
    temperature: float = field(default=0.0, metadata={"low": 0.0})
    """Sampling temperature; 0 is greedy."""


@dataclass
class IfevalConfig:
    """The suite `ifeval`: instructions that a program can check (arXiv 2311.07911)."""

    path: str | None = None
    """IFEval's input file, JSONL as published; required by the suite."""


@dataclass
class PairwiseConfig:
    """The suite `pairwise`: a judge compares two models' answers in both orders."""

    path: str | None = None
    """A prompt file in the forms of `prompts.path`; null takes the run's held-out prompts."""
    clustered: bool = False
    """Take prompts with one `source` for a cluster in the intervals: right where a source is a document or a person,
    and needlessly wide where it is a data set."""


@dataclass
class CustomConfig:
    """The suite `custom`: prompts of your own, each with what its answer is scored by."""

    path: str | None = None
    """A JSONL file; required by the suite, which says in its docstring what a line holds."""


@dataclass
class MixevalConfig:
    """The suites `mixeval` and `mixeval_hard`: questions of many benchmarks (arXiv 2406.06565)."""

    path: str | None = None
    """A version's folder of MixEval's data, as published; required by the suites."""
    multiple_choice: str = field(default="model", metadata={"allowed": ("model", "rule")})
    """What reads the option that an answer chooses: the judge, or rules, which read less and cost nothing."""
    free_form: str = field(default="model", metadata={"allowed": ("model", "rule")})
    """What compares an answer with the right ones: the judge, from 0 to 1, or rules on words and numbers."""


@dataclass
class EvaluateConfig(EndpointConfig):
    """How base and aligned model, or other served models, are compared."""

    base_url: str | None = None
    """Endpoint that serves both models as `base` and `aligned`; null serves them for the evaluation."""
    models: list[str] = field(default_factory=list)
    """Names at `base_url` that the suites compare, the baseline first; empty for `base` and `aligned`."""
    prompts: int | None = field(default=None, metadata={"low": 1})
    """Held-out prompts to use; null for all."""
    max_tokens: int = field(default=160, metadata={"low": 1})
    """Longest answer, in tokens."""
    temperature: float = field(default=0.0, metadata={"low": 0.0})
    """Sampling temperature; 0 is greedy."""
    actors_max: int = field(default=1, metadata=_OPERATION | {"low": 1})
    """Most actors that ask."""
    bootstrap_samples: int = field(default=10_000, metadata={"low": 100})
    """Resamples behind each 95% interval."""
    suites: list[str] = field(default_factory=list)
    """Suites that run beside the comparison of answer lengths: names of `raylign.evaluate.suites.registry`, or
    `module:Class` of your own."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    ifeval: IfevalConfig = field(default_factory=IfevalConfig)
    pairwise: PairwiseConfig = field(default_factory=PairwiseConfig)
    custom: CustomConfig = field(default_factory=CustomConfig)
    mixeval: MixevalConfig = field(default_factory=MixevalConfig)


@dataclass
class PromoteConfig:
    """When the aligned model may take its baseline's place: by paired differences, aligned minus base."""

    metric: str | None = field(default=None, metadata=_OPERATION)
    """The figure that decides, SUITE.METRIC of `evaluate/suites.json`, e.g. ifeval.prompt_strict; required."""
    bar: float = field(default=0.0, metadata=_OPERATION)
    """What the gain's lower bound must be above, in the metric's own unit; of a metric that is better when it is lower,
    the gain is how far it fell."""
    guards: dict[str, Any] = field(default_factory=dict, metadata=_OPERATION)
    """SUITE.METRIC to the worst fall that is allowed, or to a band [lowest, highest] for the difference, null for an
    open end; it must hold at the interval's bad end."""
    served: bool = field(default=False, metadata=_OPERATION)
    """After a promotion, upgrade the served model; false writes the decision and leaves what is served."""
    served_from: str | None = field(default=None, metadata=_OPERATION)
    """Folder that `raylign serve` keeps its record in: the run of its first --from, or its --out; null for this run."""
    alias: str = field(default="aligned", metadata=_OPERATION)
    """Name of the served model that is upgraded."""


@dataclass
class ClusterConfig:
    """Which Ray cluster does the work."""

    address: str | None = field(default=None, metadata=_OPERATION)
    """Ray address; null uses RAY_ADDRESS where it is set, otherwise starts a private local cluster."""
    local_cpus: int = field(default=8, metadata=_OPERATION | {"low": 1})
    """Logical CPUs of the private local cluster; they are places for actors, not cores."""


@dataclass
class LoopConfig:
    """A whole run: one section a stage."""

    model: str = "bundled"
    """The target model: `bundled` (SmolLM2-135M-Instruct), a path, or a hub id."""
    seed: int = 0
    """Seed of every random choice."""
    trust_remote_code: bool = False
    """Run Python code that a model folder brings along; off unless asked for by name."""
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    revise: ReviseConfig = field(default_factory=ReviseConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    offpolicy: OffpolicyConfig = field(default_factory=OffpolicyConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    promote: PromoteConfig = field(default_factory=PromoteConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
