"""The section that trains."""

from dataclasses import dataclass, field

from raylign.config.metadata import OPERATION

TRUNCATIONS = ("drop", "left_truncate_prompt")
HELDOUT_METRICS = ("reward_accuracy", "reward_margin", "loss")


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
    reference_folder: str | None = field(default=None, metadata=OPERATION)
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
    workers: int = field(default=1, metadata=OPERATION | {"low": 1})
    """Training processes; the fewest where `workers_max` allows for more."""
    workers_max: int | None = field(default=None, metadata=OPERATION | {"low": 1})
    """Most training processes: the run grows and shrinks with the cluster, from its newest checkpoint, on the same
    batches; null for `workers`, always."""
    sequence_parallel: int = field(default=1, metadata=OPERATION | {"low": 1})
    """Workers that share each row of tokens, a slice each (DeepSpeed Ulysses): for answers so long that one worker's
    memory does not hold their activations. It must divide `workers` and the model's key-value heads."""
    resize_seconds: float = field(default=60.0, metadata=OPERATION | {"above": 0.0})
    """Time between looks whether the cluster has room for more workers, where `workers_max` allows for them."""
    cpus_per_worker: float = field(default=2.0, metadata=OPERATION | {"above": 0.0})
    """Logical CPUs reserved per worker."""
    gpus_per_worker: int = field(default=0, metadata={"low": 0, "high": 1})
    """1 trains on GPUs through NCCL, 0 on CPU through gloo."""
    zero_stage: int = field(default=1, metadata=OPERATION | {"allowed": (1, 2, 3)})
    """DeepSpeed ZeRO stage: what is sharded over workers (1 optimizer, 2 and gradients, 3 and parameters)."""
    offload_optimizer: bool = False
    """GPU only: keep optimizer state in host memory (on CPU it is there anyway)."""
    offload_parameters: bool = False
    """GPU and ZeRO-3 only: keep parameters in host memory too, and fetch them a layer at a time."""
    dtype: str = field(default="bf16", metadata={"allowed": ("bf16", "fp32")})
    """Type of the weights, in training and as they are exported; bf16 keeps fp32 master weights."""
    products: str = field(default="auto", metadata={"allowed": ("auto", "bf16", "fp32")})
    """What bf16 weights are multiplied in. `auto` is bf16, and fp32 on a CPU that is faster in it: one without
    instructions for bf16, which would emulate them at a quarter of fp32's speed, or one of Intel's without AMX, which
    has half of fp32's; what it came to when a run began stays with the run."""
    attention: str = field(default="auto", metadata=OPERATION | {"allowed": ("auto", "flex", "sdpa")})
    """What attends over a row of several answers: `auto` is FlexAttention on GPUs; on CPU, where that has no backward
    pass, and with `sdpa` everywhere, PyTorch's SDPA takes prompts or answers of about one size at a time."""
    kept_logits_mb: int = field(default=64, metadata=OPERATION | {"low": 0})
    """Most MiB of logits that a worker keeps for the backward pass; those beyond are computed a second time in it, up
    to 6% of a step. The default is what fp32 logits take that are at work at a time."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    export: str = field(default="merged", metadata={"allowed": ("merged", "adapter")})
    """With LoRA: `merged` writes a whole model, `adapter` the adapter alone, which evaluate does not take."""
    log_every: int = field(default=5, metadata=OPERATION | {"low": 1})
    """Steps between lines of training metrics."""
    evaluate_every: int = field(default=20, metadata={"low": 1})
    """Steps between held-out evaluations; one always runs at the end."""
    early_stop: str | None = field(default=None, metadata={"allowed": (None, *HELDOUT_METRICS)})
    """Stop when this held-out figure no longer gets better; null trains to the end."""
    early_stop_patience: int = field(default=3, metadata={"low": 1})
    """Evaluations in a row without a new best after which `early_stop` stops."""
    peak_tflops: float | None = field(default=None, metadata=OPERATION | {"above": 0.0})
    """What one worker's device could do at most, in TFLOP/s, behind the utilisation figure: the data sheet's number for
    `products`; null measures a matrix product at the start."""
    checkpoint_every: int = field(default=50, metadata={"low": 1})
    """Steps between checkpoints."""
    checkpoints_kept: int = field(default=2, metadata=OPERATION | {"low": 1})
    """Checkpoints kept on disk, besides the newest where `keep_best` keeps better ones; 12 bytes a parameter each."""
    keep_best: str | None = field(default=None, metadata={"allowed": (None, *HELDOUT_METRICS)})
    """Export the checkpoint with the best of this held-out figure, and evaluate at each; null exports the last step."""
    max_failures: int = field(default=3, metadata=OPERATION | {"low": 0})
    """Times training restarts from its last checkpoint after losing a worker; a node that Ray takes away after notice
    does not count."""
