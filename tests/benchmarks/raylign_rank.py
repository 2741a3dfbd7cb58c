"""One of several ranks of raylign's DeepSpeed engine, without Ray, for the gradient they have together. This acts."""

import os
from pathlib import Path
from typing import Any

import torch
from peers import answer, from_rows, listen
from safetensors.torch import save_file

from raylign.config import LoopConfig
from raylign.session import prepare_environment
from raylign.train.engine import Engine
from raylign.train.flops import pair_costs
from raylign.train.model_loading import load_model
from raylign.train.objectives import Objective, PairLogps
from raylign.train.order import share
from raylign.train.packing import pack
from raylign.train.policy import Policy


def main() -> None:
    """Answer at once, so that all ranks get to start; then the loss and gradient of the batch, once told."""
    asked = listen()
    request = asked()
    answer()
    asked()
    prepare_environment()
    os.environ.update({name: str(value) for name, value in request["environment"].items()})
    config = LoopConfig()
    config.train.dtype, config.train.workers = "fp32", request["ranks"]
    pairs = from_rows(request["rows"])
    config.train.batch_size = len(pairs)
    config.train.sequence_parallel = request["slices"]
    config.train.micro_batch_size = len(pairs) * request["slices"] // request["ranks"]
    config.train.beta, config.train.objective = request["beta"], request["objective"]
    with torch.no_grad():
        scores = zip(*Policy(load_model(request["reference"], config))(pack(pairs, "shared")), strict=True)
    reference = {
        pair.id: (float(chosen), float(rejected)) for pair, (chosen, rejected) in zip(pairs, scores, strict=True)
    }
    engine = Engine(request["model"], config, request["ranks"])
    costs = pair_costs(pairs, engine.size, engine.layout)
    mine = [pairs[at] for at in share(range(len(pairs)), costs, engine.row_rank, engine.row_workers, 1)[0]]
    logps = PairLogps.of(mine, *engine.engine(engine.batch(mine)), reference)
    loss = Objective.of(config.train).losses(logps)["loss"].sum() / len(pairs)
    engine.engine.backward(loss * engine.workers, scale_wrt_gas=False)
    total = sum(engine.gather(float(loss.detach()))) / request["slices"]
    found = _gradient(engine)
    if engine.rank == 0:
        save_file(found, Path(request["out"]))
    answer(loss=total)
    asked()


def _gradient(engine: Engine) -> dict[str, torch.Tensor]:
    """The gradient that the optimizer would see, by parameter; every rank has to ask for it."""
    from deepspeed.utils import safe_get_full_grad

    named: Any = engine.engine.module.model.named_parameters()
    return {name: safe_get_full_grad(value).float().clone().contiguous() for name, value in named}


if __name__ == "__main__":
    main()
