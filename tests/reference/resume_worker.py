"""A training run in its own process, for the test that kills it: ``resume_worker FOLDER OUT DIE_AT``."""

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from expunge.models.view import View
from expunge.objectives.npo import NPO
from expunge.scopes.layers import Layers
from expunge.smoothing.sam import SAM
from expunge.training.config import TrainConfig
from expunge.training.loop import train
from reference.tiny_rows import rows, tiny_view


def main(folder: Path, out: Path, die_at: int = 0) -> None:
    """Train; at step ``die_at`` the process kills itself with SIGKILL, after the optimizer step of that number."""

    def kill(step: int, view: View) -> None:
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    view = tiny_view()
    for block in view.anatomy.blocks:
        block.self_attn.attention_dropout = 0.1
    config = TrainConfig(lr=1e-2, steps=12, batch_size=4, checkpoint_every=3, schedule="cosine", weight_decay=0.1)
    streams = {"forget": rows("f", 10, seed=1), "retain": rows("r", 7, seed=2)}
    settings = {"smoother": SAM(rho=0.05), "scope": Layers(layers=[0, 1]), "callback": kill}
    train(view, streams, NPO(keep="kl"), config=config, folder=folder, **settings)
    save_file({name: weight.detach().clone() for name, weight in view.named_weights().items()}, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
