"""raylign's bare step as a side of the benchmarks: pack, score, lose, go back, update; told by pipe. This acts."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bf16_products import bf16_products
from layouts import LAYOUTS, LOGITS, lay_out, model_flops, plain_logps, whole_head_logps
from peers import TYPES, answer, from_rows, listen
from safetensors.torch import save_file

from raylign.arithmetic import fast_products
from raylign.config import LoopConfig
from raylign.session import prepare_environment
from raylign.train import attention_plan, model_loading
from raylign.train import policy as policy_module
from raylign.train.allocator import FreeMemory, give_back
from raylign.train.attention import SEGMENTED
from raylign.train.baseline import mismatched, z_ref
from raylign.train.head import head_logps
from raylign.train.model_loading import load_model
from raylign.train.objectives import Objective, PairLogps
from raylign.train.packing import Batch
from raylign.train.policy import Policy
from raylign.train.tokens import TokenPair

MAX_NORM = 1.0
"""Gradients are clipped to this norm, on both sides."""


class MasterAdam:
    """fp32 master weights in one flat tensor under DeepSpeed's CPU AdamW, as its engine keeps them for a bf16 model.

    As there, a gradient moves into its fp32 place as soon as the backward pass has it.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter], learning_rate: float) -> None:
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        self.parameters = list(parameters)
        self.master = torch.nn.Parameter(torch.cat([value.detach().float().flatten() for value in self.parameters]))
        self.master.grad = torch.zeros_like(self.master)
        sizes = [value.numel() for value in self.parameters]
        shapes = [value.shape for value in self.parameters]
        self.weights, self.gradients = (
            [part.view(shape) for part, shape in zip(whole.split(sizes), shapes, strict=True)]
            for whole in (self.master.data, self.master.grad)
        )
        self.adam = DeepSpeedCPUAdam([self.master], lr=learning_rate, weight_decay=0.0)
        for value, gradient in zip(self.parameters, self.gradients, strict=True):
            value.register_post_accumulate_grad_hook(partial(_take, gradient))

    def step(self) -> None:
        """Clip, update, and hand the weights back to the model."""
        norm = torch.linalg.vector_norm(self.master.grad)
        self.master.grad.mul_(torch.clamp(MAX_NORM / (norm + 1e-6), max=1.0))
        self.adam.step()
        self.master.grad.zero_()
        torch._foreach_copy_([value.data for value in self.parameters], self.weights)


def _take(place: torch.Tensor, parameter: torch.Tensor) -> None:
    place.add_(parameter.grad)
    parameter.grad = None


class PlainAdam:
    """torch's AdamW on fp32 weights, as TRL takes it."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.adam = torch.optim.AdamW(self.parameters, lr=learning_rate, weight_decay=0.0, fused=True)

    def step(self) -> None:
        """Clip and update."""
        torch.nn.utils.clip_grad_norm_(self.parameters, MAX_NORM)
        self.adam.step()


class BareStep:
    """A policy, its optimizer, and the reference's log-probabilities by pair id."""

    def __init__(self, request: dict[str, Any]) -> None:
        config = LoopConfig()
        config.train.dtype = TYPES[request["dtype"]]
        config.train.products = request.get("products") or fast_products(0)
        config.train.activation_checkpointing = request.get("activation_checkpointing", False)
        if not request.get("lean", True):
            model_loading.make_lean = lambda model: 0
        if not request.get("grouped", True):
            attention_plan.MOST_PADDING = 0.0
        loaded = load_model(request["model"], config)
        self.policy = Policy(loaded, config.train.kept_logits_mb, request.get("whole_weights", True)).train()
        self.resident = None if request["cached"] else Policy(load_model(request["model"], config)).eval()
        optimizer = MasterAdam if request["dtype"] == "bfloat16" else PlainAdam
        self.make_optimizer = lambda: optimizer(list(self.policy.parameters()), request["learning_rate"])
        self.optimizer: MasterAdam | PlainAdam | None = None
        self.free_memory = FreeMemory()
        self.pairs = from_rows(request["rows"])
        self.train = config.train
        self.train.objective, self.train.beta = request["objective"], request["beta"]
        self.reference: dict[str, tuple[float, float]] = {}
        self.arrange(request["layout"], request["logits"])
        if request["reference"] is not None:
            self.first = Policy(load_model(request["reference"], config)).eval()
            self.reference = self.scores(self.first, self.pairs)

    def arrange(self, layout: str, logits: str) -> None:
        """Take one of LAYOUTS and of LOGITS from now on; `raylign` and `chunked` are the trainer's own."""
        assert layout in LAYOUTS
        assert logits in LOGITS
        self.layout, self.logits = layout, logits
        self.policy.model.set_attn_implementation("sdpa" if layout == "padded" else SEGMENTED)
        if self.resident is not None:
            self.resident.model.set_attn_implementation("sdpa" if layout == "padded" else SEGMENTED)
        policy_module.head_logps = head_logps if logits == "chunked" else whole_head_logps

    def logps(self, policy: Policy, pairs: Sequence[TokenPair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed log-probabilities [B] of chosen and rejected, in the layout and logits at hand."""
        batch = lay_out(pairs, self.layout)
        if self.logits == "everywhere":
            return _logits_everywhere(policy.model, batch)
        chosen_B, rejected_B = policy(batch)
        return chosen_B, rejected_B

    def scores(self, policy: Policy, pairs: Sequence[TokenPair]) -> dict[str, tuple[float, float]]:
        """Log-probabilities (chosen, rejected) by pair id, without gradient."""
        with torch.no_grad():
            chosen_B, rejected_B = self.logps(policy, pairs)
        found = zip(chosen_B.tolist(), rejected_B.tolist(), strict=True)
        return dict(zip([pair.id for pair in pairs], found, strict=True))

    def score(self, batches: Sequence[Sequence[int]]) -> None:
        """The reference pass over these pairs, under the weights as they are."""
        for indices in batches:
            self.reference |= self.scores(self.policy, [self.pairs[at] for at in indices])
        give_back()

    def backward(self, pairs: Sequence[TokenPair], global_pairs: int, baseline: float = 0.0) -> float:
        """Add a micro-batch's part of the global batch's gradient; returns its part of the mean loss."""
        reference = self.reference if self.resident is None else self.scores(self.resident, pairs)
        logps = PairLogps.of(pairs, *self.logps(self.policy, pairs), reference)
        loss = Objective.of(self.train).losses(logps, baseline)["loss"].sum() / global_pairs
        loss.backward()
        return float(loss.detach())

    def baseline(self) -> float:
        """KTO's z_ref over all pairs, which are then one global batch; 0 for an objective without such a term."""
        if not Objective.of(self.train).needs_baseline:
            return 0.0
        pairs = mismatched(self.pairs)
        return z_ref(pairs, self.scores(self.policy, pairs), self.scores(self.first, pairs))

    def step(self, indices: Sequence[int]) -> float:
        """One optimizer step on one batch; returns its mean loss."""
        if self.optimizer is None:
            self.optimizer = self.make_optimizer()
            give_back()  # as the trainer does before its first step
        self.policy.zero_grad(set_to_none=True)
        loss = self.backward([self.pairs[at] for at in indices], len(indices))
        self.optimizer.step()
        self.free_memory.after_step()
        return loss


def _logits_everywhere(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    logits_RTV = model(input_ids=batch.token_ids_RT, attention_mask=batch.padding_RT, use_cache=False).logits
    logps_N = plain_logps(logits_RTV.flatten(0, 1).index_select(0, batch.read_N), batch.target_N)
    logps_A = torch.zeros(2 * batch.pairs).index_add(0, batch.answer_N, logps_N)
    return logps_A[0::2], logps_A[1::2]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that some work took, and what it gave."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def steps(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """Optimizer steps, one a batch of indices."""
    seconds, losses = timed(lambda: [bare.step(indices) for indices in request["batches"]])
    return {"seconds": seconds, "losses": losses}


def reference(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """The reference pass over batches of indices."""
    return {"seconds": timed(lambda: bare.score(request["batches"]))[0]}


def rest(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """Give back what memory is kept for the next step, as the others need it."""
    give_back()
    return {}


def arrange(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """Another layout and way to the logits."""
    bare.arrange(request["layout"], request["logits"])
    return {}


def gradient(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """Loss and gradient of a global batch given as micro-batches, the gradient written to a file."""
    bare.train.objective = request["objective"]
    bare.policy.zero_grad(set_to_none=True)
    total = sum(len(indices) for indices in request["batches"])
    baseline = bare.baseline()
    loss = sum(bare.backward([bare.pairs[at] for at in indices], total, baseline) for indices in request["batches"])
    found = {name: value.grad for name, value in bare.policy.model.named_parameters() if value.grad is not None}
    save_file({name: value.float().contiguous() for name, value in found.items()}, Path(request["out"]))
    return {"loss": loss}


def profile(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """Time of one step by operator, in seconds, under torch's profiler."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watch

    with watch(activities=[ProfilerActivity.CPU]) as found:
        bare.step(request["batches"][0])
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    return {"operators": [[row.key, row.self_cpu_time_total / 1e6, row.count] for row in rows]}


def flops(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """Model FLOPs and tokens of a step on each batch, and the GEMM peak of this machine just now, a second."""
    batches = [lay_out([bare.pairs[at] for at in indices], bare.layout) for indices in request["batches"]]
    settings = bare.policy.model.config
    return {
        "flops": [model_flops(batch, settings) for batch in batches],
        "tokens": [batch.token_ids_RT.numel() for batch in batches],
        "peak": gemm_peak(torch.bfloat16 if bare.policy.in_bf16 else torch.float32),
    }


def gemm_peak(dtype: torch.dtype, size: int = 2048, repetitions: int = 10) -> float:
    """Best of some products of square matrices, in FLOPs a second."""
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    return 2.0 * size**3 / min(timed(lambda: left @ right)[0] for _ in range(repetitions))


def logits(bare: BareStep, request: dict[str, Any]) -> dict[str, Any]:
    """Most memory that log-probabilities of so many answer tokens take beside hidden states, forward and back."""
    head = bare.policy.model.get_output_embeddings()
    hidden_ND = torch.randn(request["tokens"], head.in_features, dtype=head.weight.dtype, requires_grad=True)
    target_N = torch.randint(head.out_features, (request["tokens"],))
    head.weight.grad, hidden_ND.grad = torch.zeros_like(head.weight), torch.zeros_like(hidden_ND)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted anew from here
    before = _memory("VmRSS")
    head_logps(bare.policy.model, hidden_ND, target_N, bare.policy.kept_tokens).sum().backward()
    return {"bytes": _memory("VmHWM") - before}


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    """Serve until the pipe closes; the first request builds the step."""
    asked = listen()
    prepare_environment()
    torch.manual_seed(0)
    start = asked()
    with bf16_products(start.get("bf16_anywhere", False)):
        _serve(BareStep(start), asked)


def _serve(bare: BareStep, asked: Callable[[], dict[str, Any]]) -> None:
    answer()
    known = {made.__name__: made for made in (steps, reference, rest, arrange, gradient, profile, flops, logits)}
    while True:
        request = asked()
        answer(**known[request["what"]](bare, request))


if __name__ == "__main__":
    main()
