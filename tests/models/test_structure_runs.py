"""Discovery takes few runs of few modules: coordinates are told apart by the runs in which they are kept."""

from collections import Counter
from collections.abc import Mapping

import pytest
import torch
from tests.models.families import network
from torch import Tensor, nn

from ontogeny.models import components
from ontogeny.models.structure_codes import spelt
from ontogeny.models.structure_copies import DRAWS, RandomCopy


@pytest.mark.parametrize(("count", "runs"), [(1, 1), (2, 2), (3, 3), (24, 7), (64, 8), (3072, 14)])
def test_every_place_is_told_which_coordinate_it_belongs_to(count: int, runs: int) -> None:
    owner = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    kept: list[Tensor] = []

    def reached(coordinates: Tensor) -> dict[str, Tensor]:
        kept.append(coordinates)
        several = coordinates[: min(2, count)].any(0, keepdim=True)
        return {"one each": coordinates[owner], "two, none": torch.cat([several, torch.zeros(1, dtype=torch.bool)])}

    found = spelt(count, reached)
    assert len(kept) == runs
    numbers, clear = found["one each"]
    assert clear.all()
    assert numbers.tolist() == owner.tolist()
    assert found["two, none"][1].tolist() == [count == 1, False]


def test_layers_built_alike_are_copied_once_and_an_mlp_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, parts = network("gpt2")
    copied: list[str] = []
    runs: Counter[tuple[str, int]] = Counter()
    prepare, run = RandomCopy._prepare, RandomCopy.run

    def prepared(self: RandomCopy, module: nn.Module, dtype: torch.dtype) -> None:
        copied.append(type(module).__name__)
        prepare(self, module, dtype)

    def counted(self: RandomCopy, stream: Tensor, changed: Mapping[str, Tensor]) -> Tensor:
        runs[type(self.module).__name__, stream.shape[1]] += 1
        return run(self, stream, changed)

    monkeypatch.setattr(RandomCopy, "_prepare", prepared)
    monkeypatch.setattr(RandomCopy, "run", counted)
    assert components(model) == parts
    assert copied == ["GPT2Block", "GPT2Attention", "GPT2MLP"]  # of two layers
    assert runs["GPT2Block", 3] == 2  # once, and once to see that it mixes positions
    assert runs["GPT2MLP", 3] == 1 + DRAWS  # which an MLP does in no draw
    assert runs["GPT2MLP", 1] < 60  # 9 sets for 96 neurons, and the projection, in two draws
    assert set(runs) == {("GPT2Block", 3), ("GPT2Attention", 3), ("GPT2MLP", 3), ("GPT2MLP", 1)}
