"""A real run of Lightning is opened by the folder of its checkpoints."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ontogeny.stores import load_into, open_checkpoints

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_run_of_lightning_is_opened(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Regression(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"out": Path("a")})
            self.net = nn.Linear(3, 1)

        def training_step(self, batch: Tensor, index: int) -> Tensor:
            return self.net(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=2, save_top_k=-1, save_last=True)
    options = {"max_steps": 4, "callbacks": [keep], "logger": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(enable_progress_bar=False, enable_model_summary=False, **options)
    module = Regression()
    batches: Any = list(torch.randn(8, 3))
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=2))
    assert (tmp_path / "last.ckpt").exists()
    run, net = open_checkpoints(tmp_path), nn.Linear(3, 1)
    load_into(net, run.load(4))
    assert run.steps == [2, 4]
    assert torch.equal(net.weight, module.net.weight)
