"""TRL's trainers as a side of the benchmarks, on token ids as given; runs in .venv-peers, told by pipe. This acts."""

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import trl
from bf16_products import bf16_products
from datasets import Dataset
from peers import Rows, answer, listen
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

Asked = Callable[[], dict[str, Any]]


class _Given:
    """Stands before one of TRL's trainers: its rows are token ids already, and what it measures is kept."""

    losses: list[float]
    reference_seconds = 0.0

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        # TRL would end each answer with what the template writes after the end of turn, which no model generates.
        return dataset

    def _precompute_ref_logps(self, *arguments: Any) -> Dataset:
        started = time.perf_counter()
        made = super()._precompute_ref_logps(*arguments)  # type: ignore[misc]
        self.reference_seconds = time.perf_counter() - started
        return made

    def compute_loss(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss: torch.Tensor = super().compute_loss(*arguments, **named)  # type: ignore[misc]
        self.losses.append(float(loss.detach()))
        return loss


class _GivenDPOTrainer(_Given, DPOTrainer):
    pass


class _GivenKTOTrainer(_Given, KTOTrainer):
    pass


class _Told(TrainerCallback):
    """Lets the trainer's own loop go on for as many steps as it was asked for, and then wait."""

    def __init__(self, trainer: Any, asked: Asked, steps: int) -> None:
        self.trainer, self.asked, self.left = trainer, asked, steps
        self.started: float | None = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        if self.left == 0:
            self.left = int(self.asked()["steps"])
            self.started = None
        if self.started is None:
            self.trainer.losses.clear()
            self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0 and self.started is not None:
            answer(seconds=time.perf_counter() - self.started, losses=self.trainer.losses)


def build(request: dict[str, Any]) -> Any:
    """A trainer on `rows` in their order; `settings` are fields of TRL's own configuration."""
    unpaired = request["loss_type"] in ("kto", "apo_zero_unpaired")
    configuration = KTOConfig if unpaired else DPOConfig
    settings = configuration(
        output_dir=tempfile.mkdtemp(prefix="trl-"),
        per_device_train_batch_size=request["batch_size"] * (2 if unpaired else 1),
        loss_type=request["loss_type"] if unpaired else [request["loss_type"]],
        beta=request["beta"],
        learning_rate=request["learning_rate"],
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        **request["settings"],
    )
    tokenizer = AutoTokenizer.from_pretrained(request["model"])
    kept = {} if request["reference"] is None else {"ref_model": _load(request["reference"], request["dtype"])}
    trainer = _GivenKTOTrainer if unpaired else _GivenDPOTrainer
    trainer.losses = []
    rows = Dataset.from_list(_single_rows(request["rows"]) if unpaired else request["rows"])
    return trainer(
        _load(request["model"], request["dtype"]), args=settings, train_dataset=rows, processing_class=tokenizer, **kept
    )


def _load(model: str, dtype: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))


def _single_rows(rows: Rows) -> Rows:
    """Two rows a pair, one desirable and one not, each with the answer that the KL estimate sees with its prompt."""
    return [
        {
            "prompt_ids": row["prompt_ids"],
            "completion_ids": row[f"{side}_ids"],
            "KL_completion_ids": row.get(f"mismatched_{side}_ids", row[f"{side}_ids"]),
            "label": side == "chosen",
        }
        for row in rows
        for side in ("chosen", "rejected")
    ]


def gradient(trainer: Any, out: str) -> None:
    """Loss and gradient of the first batch, as TRL's training step computes them before it clips."""
    rows = [trainer.train_dataset[at] for at in range(trainer.args.per_device_train_batch_size)]
    model = trainer.accelerator.prepare_model(trainer.model).train()
    inputs = trainer._prepare_inputs(trainer.data_collator(rows))
    loss = trainer.compute_loss(model, inputs)
    trainer.accelerator.backward(loss)
    found = {name: value.grad.float() for name, value in trainer.model.named_parameters() if value.grad is not None}
    save_file({name: value.contiguous() for name, value in found.items()}, Path(out))
    answer(loss=float(loss.detach()))


def main() -> None:
    """Serve until the pipe closes; the first request starts the trainer."""
    logging.disable(logging.WARNING)
    asked = listen()
    request = asked()
    torch.manual_seed(0)
    with bf16_products(request.get("bf16_anywhere", False)):
        _serve(build(request), asked)


def _serve(trainer: Any, asked: Asked) -> None:
    answer(reference_seconds=trainer.reference_seconds, version=trl.__version__)
    request = asked()
    if request["what"] == "gradient":
        gradient(trainer, request["out"])
        asked()
    trainer.add_callback(_Told(trainer, asked, int(request["steps"])))
    trainer.train()
    asked()


if __name__ == "__main__":
    main()
