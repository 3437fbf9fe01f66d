"""What errors of this room say to write instead."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from tests.advice import Mistake, follow, mistakes
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, WeightedRandomSampler

import ontogeny as og
from ontogeny.core.arguments import usable_device
from ontogeny.core.copies import copied
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.restriction import Component, Slice, matching
from ontogeny.core.runs import one_run, runs_of
from ontogeny.core.samples import Samples
from ontogeny.core.settings import Settings
from ontogeny.core.user_files import load_file

x, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
tokens = torch.arange(24).view(6, 4) % 5
ragged = [list(range(2 + number)) for number in range(3)]
table = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 1.0, 0.0]})
text = {"sentence": ["one", "two"], "length": [1, 2]}
linear, narrow, wide = nn.Linear(3, 2), nn.Linear(3, 1), nn.Linear(3, 3)
spoken = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5))
language = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
pairs: Any = list(zip(x, y, strict=True))
loader = DataLoader(pairs, sampler=WeightedRandomSampler([1.0] * 6, 9), batch_size=2)
indices = [0, 1, 1]
shapes = {"weight": (8, 3)}
parts = {"neurons": Component("neurons", {"weight": Slice(0, tuple(range(8)))}, 24, 8)}
padded = {"input_ids": tokens, "labels": tokens.where(torch.arange(6)[:, None] > 0, -100)}


class Coins:
    """A task."""

    def sample(self, num_samples: int, seed: int) -> Tensor:
        return torch.randint(2, (num_samples,), generator=torch.Generator().manual_seed(seed))


task = Coins()


class Table:
    """Rows by names, as a table has them: numbers find nothing."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, name: int) -> Any:
        raise KeyError(name)


def take_first(rows: list[Any]) -> Tensor:
    return torch.stack([image for image, _ in rows])[:1]


def take_all(rows: list[Any]) -> Tensor:
    return torch.stack([image for image, _ in rows])


def of_images(collate: Any) -> Samples:
    return Samples(DataLoader(pairs, collate_fn=collate))


def loaded(content: str) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "setup.py"
        path.write_text(content)
        return load_file(path, "a_file_of_mine", "SETUP")


def locked() -> nn.Module:
    model: Any = nn.Linear(1, 1)
    model.stream = (number for number in range(3))
    return model


def without(model: Any, name: str) -> Any:
    delattr(model, name)
    return model


def normed() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.nn.utils.weight_norm(nn.Linear(2, 2))


def run_once(model: nn.Module, batch: Tensor) -> nn.Module:
    model(batch)
    return model


def reading(source: Any) -> Any:
    """A function that has something open in its closure."""
    return lambda: next(source)


def trajectory(**dims: Any) -> xr.Dataset:
    sizes = [len(values) for values in dims.values()]
    return xr.Dataset({"llc": (list(dims), np.ones(sizes))}, coords=dims)


def gpt(tokens: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    logits = language(tokens)
    return (logits[:, -1:], None) if targets is None else (logits, logits.mean())


def of_gpt(model: Any, batch: Tensor) -> Tensor:
    logits = og.losses.logits_of(model(batch, batch))
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), batch[:, 1:], reduction="none")


def small() -> nn.Module:
    return nn.Linear(3, 2)


def loss(model: Any, batch: Any, **options: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1], **options)


def per_token(loss_fn: Any, model: Any, batch: Any) -> bool:
    return og.losses.per_token(loss_fn, model, batch, 6).shape == (6, 1)


class Chosen(Settings):
    """A config, and one that holds another."""

    num_draws: int
    kernel: Any = None
    inner: "Chosen | None" = None


BATCH = "core/batches.py:"
COLLATION = "core/collation.py:"
RUNS = "core/runs.py:"
SOURCES = "core/sources.py:"
TARGETS = "core/targets.py:"


# fmt: off
MISTAKES = (
    (BATCH + "joined", "Samples(iter([x, (x, y)]), 12)", "data", "the same keys, or as many tensors, in every batch",
     "len(Samples(iter([(x, y), (x, y)]), 12)) == 12"),
    (BATCH + "ragged", "Samples(ragged)", "data", "samples padded to one length",
     "Samples([row + [-100] * (4 - len(row)) for row in ragged])"),
    (BATCH + "ragged", "Samples(ragged)", "data", "a DataLoader whose collate_fn pads",
     "Samples(DataLoader(ragged, collate_fn=lambda rows: torch.tensor([row + [0] * (4 - len(row)) for row in "
     "rows])))"),
    (COLLATION + "columns", "Samples(torch.tensor(3.0))", "data", "tensors whose dimension 0 counts the samples",
     "Samples(torch.tensor([3.0]))"),
    (COLLATION + "columns", "Samples({})", "data", "tensors whose dimension 0 counts the samples",
     "Samples({'x': x})"),
    (COLLATION + "check_rows", "of_images(take_first)", "data", "a DataLoader with such a collate_fn",
     "of_images(take_all)"),
    (COLLATION + "_refuse_text", "Samples(text)", "data", "data without these", "Samples({'length': text['length']})"),
    (COLLATION + "_refuse_text", "Samples(datasets.Dataset.from_dict(text))", "data",
     "data.remove_columns(['sentence'])", "Samples((lambda data: ADVICE)(datasets.Dataset.from_dict(text)))"),
    (COLLATION + "_no_numbers", "Samples(['one', 'two'])", "data", "lists of numbers", "Samples([[1.0], [2.0]])"),
    (COLLATION + "_no_numbers", "Samples({'x': np.ma.masked_array([1.0, 2.0], [True, False])})", "data",
     "data.filled(", "Samples({'x': (lambda data: ADVICE 0.0))(np.ma.masked_array([1.0, 2.0], [True, False]))})"),
    (COLLATION + "_no_numbers", "Samples((x.to_sparse(), y))", "data", "data.to_dense()",
     "Samples(((lambda data: ADVICE)(x.to_sparse()), y))"),
    (COLLATION + "_no_numbers", "Samples({'train': Table(), 'test': Table()})", "data", "data['train']",
     "Samples((lambda data: ADVICE)({'train': x, 'test': x}))"),
    (COLLATION + "_unlike", "Samples([{'x': 1.0}, {'z': 1.0}])", "data", "the same keys",
     "Samples([{'x': 1.0}, {'x': 2.0}])"),
    (COLLATION + "_unlike", "Samples([(x[0], 1), (x[1],)])", "data", "as many parts, in every sample",
     "Samples([(x[0], 1), (x[1], 0)])"),
    ("core/copies.py:copied", "copied(locked())", "model", "`del` of model.stream before the call",
     "copied(without(locked(), 'stream'))"),
    ("core/copies.py:_refuse_old_norms", "copied(normed())", "model", "torch.nn.utils.parametrizations.weight_norm",
     "copied(ADVICE(nn.Linear(2, 2)))"),
    ("core/copies.py:_refuse_old_norms", "copied(normed())", "model", "torch.nn.utils.remove_weight_norm(module)",
     "copied((lambda module: ADVICE)(normed()))"),
    ("core/fingerprint.py:fingerprint", "fingerprint(reading(number for number in range(3)))", "fingerprint",
     "made inside the function that uses them", "fingerprint(lambda: next(number for number in range(3)))"),
    ("core/forward.py:logits_of", "og.losses.mse(lambda x: {'hidden': x}, (x, x))", "model", "your own loss_fn",
     "per_token(lambda model, batch: (model(batch)['hidden'] - x).square().mean(1), lambda x: {'hidden': x}, x)"),
    ("core/forward.py:predicted", "og.losses.cross_entropy(lambda x: x.long(), (x, y))", "model",
     "a loss_fn of your own", "per_token(lambda model, batch: model(batch).float().mean(1), lambda x: x.long(), x)"),
    ("core/forward.py:_arguments", "og.losses.cross_entropy(linear, {'pixels': x, 'mask': y, 'labels': y})", "batch",
     "a dict with these names", "og.losses.cross_entropy(linear, {'input': x, 'labels': y})"),
    ("core/forward.py:_whole_numbers", "og.losses.cross_entropy(linear, (x.byte(), y))", "batch", "inputs.float()",
     "(lambda inputs: og.losses.cross_entropy(linear, (ADVICE, y)))(x.byte())"),
    ("core/losses.py:mse", "og.losses.mse(narrow, (x, torch.view_as_complex(torch.zeros(6, 1, 2))))", "batch",
     "their real parts", "og.losses.mse(narrow, (x, torch.view_as_complex(torch.zeros(6, 1, 2)).real))"),
    ("core/losses.py:per_token#3", "per_token(lambda model, batch: torch.zeros(6, 2, 2), linear, (x, y))", "loss_fn",
     "losses.flatten(1)",
     "(lambda losses: og.losses.per_token(lambda model, batch: ADVICE, linear, (x, y), 6))(torch.zeros(6, 2, 2))"),
    ("core/arguments.py:usable_device", "usable_device('nowhere')", "device", "device='cpu'",
     "usable_device(given='cpu') == torch.device('cpu')"),
    ("core/losses.py:per_token#4", "per_token(loss, linear, (x, y))", "loss_fn", "reduction='none'",
     "per_token(lambda model, batch: loss(model, batch, ADVICE), linear, (x, y))"),
    ("core/losses.py:per_token#4", "per_token(loss, linear, (x, y))", "loss_fn", "og.losses.cross_entropy",
     "per_token(ADVICE, linear, (x, y))"),
    ("core/losses.py:per_token#5",
     "per_token(lambda model, batch: model(batch[0]).argmax(1) != batch[1], linear, (x, y))", "loss_fn",
     "og.losses.cross_entropy", "per_token(ADVICE, linear, (x, y))"),
    ("core/losses.py:per_token", "per_token(F.cross_entropy, linear, (x, y))", "loss_fn",
     "lambda model, batch: F.cross_entropy(model(batch[0]), batch[1], reduction='none')",
     "per_token(ADVICE, linear, (x, y))"),
    ("core/losses.py:per_token", "per_token(nn.MSELoss(), linear, (x, y))", "loss_fn", "lambda model, batch:",
     "per_token(og.losses.cross_entropy, linear, (x, y))"),
    ("core/losses.py:per_token", "per_token('mse', linear, (x, y))", "loss_fn", "lambda model, batch:",
     "per_token(og.losses.cross_entropy, linear, (x, y))"),
    ("core/losses.py:per_token#2",
     "per_token(lambda model, batch: (loss(model, batch), model(batch[0])), linear, (x, y))", "loss_fn",
     "the losses alone", "per_token(lambda model, batch: loss(model, batch, reduction='none'), linear, (x, y))"),
    ("core/losses.py:_another_shape", "og.losses.mse(narrow, (x, y.float()))", "batch", "targets[..., None]",
     "og.losses.mse(narrow, (x, (lambda targets: ADVICE)(y.float())))"),
    ("core/losses.py:_another_shape", "og.losses.mse(narrow, (x, y.float()))", "batch",
     "a model whose outputs are squeezed", "og.losses.mse(nn.Sequential(narrow, nn.Flatten(0)), (x, y.float()))"),
    ("core/losses.py:_another_shape", "og.losses.mse(nn.Sequential(narrow, nn.Flatten(0)), (x, y[:, None].float()))",
     "batch", "targets.squeeze(-1)",
     "og.losses.mse(nn.Sequential(narrow, nn.Flatten(0)), (x, (lambda targets: ADVICE)(y[:, None].float())))"),
    ("core/losses.py:_another_shape", "og.losses.mse(linear, (x, torch.zeros(6, 5)))", "batch",
     "targets of the shape of the outputs", "og.losses.mse(linear, (x, torch.zeros(6, 2)))"),
    ("core/losses.py:_other_positions", "og.losses.next_token(lambda tokens: language(tokens)[:, 1:], tokens)",
     "model", "a model that gives logits at every position", "og.losses.next_token(language, tokens)"),
    ("core/losses.py:_other_positions", "og.losses.next_token(gpt, tokens)", "model",
     "a loss_fn that passes the model its targets, and og.losses.logits_of", "of_gpt(gpt, tokens).shape == (6, 3)"),
    ("core/restriction.py:parameters_of", "og.components(nn.LazyLinear(2))", "model",
     "one pass of a batch through the model first", "og.components(run_once(nn.LazyLinear(2), x))"),
    ("core/restriction.py:parameters_of#2", "og.components(nn.Linear(3, 2, device='meta'))", "model",
     "model.to_empty(device='cpu')", "(lambda model: og.components(ADVICE))(nn.Linear(3, 2, device='meta'))"),
    ("core/restriction.py:_no_module", "og.components(linear.state_dict())", "model", "the module itself",
     "og.components(linear)"),
    ("core/restriction.py:_no_module", "og.components(small)", "model", "small(...)",
     "og.components((lambda _: small())(...))"),
    ("core/restriction.py:_term", "og.restrict(nn.Sequential(linear), '0.weigth')", "component", "'0.weight'",
     "og.restrict(nn.Sequential(linear), ADVICE)"),
    ("core/restriction.py:_span", "matching('neurons[3:99]', parts, shapes)", "component", "neurons[0:8]",
     "matching('ADVICE', parts, shapes)"),
    (RUNS + "one_run", "one_run(trajectory(step=[1, 2], seed=[0, 1]))", "trajectory", "trajectory.isel(seed=0)",
     "one_run((lambda trajectory: ADVICE)(trajectory(step=[1, 2], seed=[0, 1])))"),
    (RUNS + "run_dimension", "runs_of(trajectory(step=[1], seed=[0, 1], width=[3, 4]))", "trajectory",
     "trajectory.isel(seed=0)",
     "runs_of((lambda trajectory: ADVICE)(trajectory(step=[1], seed=[0, 1], width=[3, 4])))"),
    (RUNS + "run_dimension", "runs_of(trajectory(step=[1], seed=[0, 1], width=[3, 4]))", "trajectory",
     'trajectory.stack(run=["seed", "width"])',
     "len(runs_of((lambda trajectory: ADVICE)(trajectory(step=[1], seed=[0, 1], width=[3, 4])))) == 4"),
    (RUNS + "run_labels", "runs_of(trajectory(step=[1], seed=[3, 3]))", "trajectory",
     "trajectory.assign_coords(seed=range(2))",
     "len(runs_of((lambda trajectory: ADVICE)(trajectory(step=[1], seed=[3, 3])))) == 2"),
    (RUNS + "_along_steps", "runs_of(trajectory(step=[1]).llc)", "trajectory", 'trajectory.to_dataset(name="llc")',
     "runs_of((lambda trajectory: ADVICE)(trajectory(step=[1]).llc))"),
    (RUNS + "_along_steps#2", "runs_of(trajectory(step=['first', 'last']))", "trajectory",
     "trajectory.assign_coords(step=[...])", "runs_of(trajectory(step=['first', 'last']).assign_coords(step=[0, 9]))"),
    (RUNS + "_along_steps#3", "runs_of(trajectory(step=[1, 1]))", "trajectory", 'trajectory.drop_duplicates("step")',
     "runs_of((lambda trajectory: ADVICE)(trajectory(step=[1, 1])))"),
    (RUNS + "_no_steps", "runs_of(trajectory(step=[1, 2]).drop_vars('step'))", "trajectory",
     "trajectory.assign_coords(step=[...])",
     "runs_of(trajectory(step=[1, 2]).drop_vars('step').assign_coords(step=[1, 2]))"),
    (RUNS + "_no_steps", "runs_of(trajectory(epoch=[1, 2]))", "trajectory", 'trajectory.rename(epoch="step")',
     "runs_of((lambda trajectory: ADVICE)(trajectory(epoch=[1, 2])))"),
    (RUNS + "_no_steps", "runs_of(trajectory(step=[1, 2]).isel(step=0, drop=True))", "trajectory",
     "trajectory.isel(step=[0])", "runs_of((lambda trajectory: ADVICE)(trajectory(step=[1, 2])))"),
    ("core/samples.py:Samples.__init__", "Samples((x, torch.zeros(6, 0)))", "data", "data without this part",
     "Samples((x,))"),
    ("core/samples.py:Samples._counted", "Samples((x, y[:3]))", "data", "(inputs, targets) with one row per sample",
     "Samples((x[:3], y[:3]))"),
    ("core/samples.py:Samples._check", "Samples([])", "data", "data with samples in it", "Samples([1.0])"),
    ("core/samples.py:Samples._check", "Samples(x[:0])", "data", "data with samples in it", "Samples(x[:1])"),
    ("core/samples.py:Samples._check#2", "Samples(x, 60)", "num_samples", "num_samples=6", "Samples(x, ADVICE)"),
    ("core/samples.py:Samples._check#2", "Samples([x, x, x], 18)", "num_samples", "iter(data)",
     "len(Samples((lambda data: ADVICE)([x, x, x]), 18)) == 18"),
    ("core/settings.py:Settings.__init__", "Chosen(1)", "Chosen", "Chosen(num_draws=...)", "Chosen(num_draws=1)"),
    ("core/settings.py:_refusal", "Chosen(num_draws=1, inner={'num_draws': 2, 'inner': {'num_draw': 3}})",
     "inner.inner.num_draw", "num_draws", "Chosen(num_draws=1, inner={'num_draws': 2, 'inner': {'ADVICE': 3}})"),
    ("core/settings.py:_refusal#2", "Chosen(num_draws=1, nr_draws=2)", "nr_draws", "num_draws", "Chosen(ADVICE=2)"),
    ("core/settings.py:_refusal#3", "Chosen()", "num_draws", "Chosen(num_draws=...)", "Chosen(num_draws=1)"),
    (SOURCES + "opened", "Samples(task)", "data", "task.sample(1000, seed=1)", "len(Samples(ADVICE)) == 1000"),
    (SOURCES + "Rows._read", "Samples(table)", "data", "table.to_numpy()", "len(Samples(ADVICE)) == 3"),
    (SOURCES + "Rows._read", "Samples(Table())", "data", "(inputs, targets) as tensors", "Samples((x, y))"),
    (SOURCES + "_several", "Samples(([1.0, 2.0], 3))", "data", "torch.as_tensor(",
     "Samples(tuple(ADVICE each) for each in ([1.0, 2.0], [3.0, 4.0])), 2)"),
    (SOURCES + "_several", "Samples(({'a': 1.0}, 3))", "data", "list(data)",
     "len(Samples((lambda data: ADVICE)(({'a': 1.0}, {'a': 2.0})))) == 2"),
    (SOURCES + "_chosen", "Samples(loader)", "data",
     "DataLoader(Subset(loader.dataset, indices), collate_fn=loader.collate_fn)", "len(Samples(ADVICE)) == 3"),
    (SOURCES + "_chosen", "Samples(loader)", "data", "loader.dataset", "len(Samples(ADVICE)) == 6"),
    (SOURCES + "_gathered", "Samples(3)", "data", "(inputs, targets)",
     "(lambda inputs, targets: Samples(ADVICE))(x, y)"),
    (SOURCES + "_gathered#2", "Samples(iter([x, x]))", "data", "num_samples=", "Samples(iter([x, x]), ADVICE 12)"),
    (SOURCES + "_gathered#3", "Samples(iter([(x, y[:2])]), 6)", "data", "one row per sample in each tensor",
     "Samples(iter([(x, y)]), 6)"),
    (SOURCES + "_gathered#4", "Samples(iter([x, x]), 6)", "num_samples", "num_samples=... for all of them",
     "Samples(iter([x, x]), num_samples=12)"),
    (SOURCES + "_gathered#4", "Samples(iter([x, x]), 6)", "num_samples", "an iterable that ends after n samples",
     "Samples(iter([x]), 6)"),
    (SOURCES + "_gathered#5", "Samples(iter([]), 6)", "data", "an iterable that is not exhausted",
     "Samples(iter([x]), 6)"),
    (TARGETS + "inputs_and_targets", "og.losses.mse(linear, x)", "batch", "(inputs, targets)",
     "(lambda inputs, targets: og.losses.mse(linear, ADVICE))(x, torch.zeros(6, 2))"),
    (TARGETS + "inputs_and_targets", "og.losses.mse(linear, (x, y, x))", "batch",
     "your own loss_fn that unpacks the batch",
     "per_token(lambda model, batch: model(batch[0])[:, 0], linear, (x, y, x))"),
    (TARGETS + "text_of", "og.losses.next_token(language, tokens.float())", "batch", "tokens.long()",
     "(lambda tokens: og.losses.next_token(language, ADVICE))(tokens.float())"),
    (TARGETS + "text_of", "og.losses.next_token(language, (tokens, tokens))", "batch", "og.losses.cross_entropy",
     "ADVICE(language, (tokens, tokens))"),
    (TARGETS + "mean_where", "og.losses.next_token(language, padded)", "batch", "data without such samples",
     "og.losses.next_token(language, {name: each[1:] for name, each in padded.items()})"),
    (TARGETS + "whole_numbers", "og.losses.cross_entropy(linear, (x, y.float()))", "batch", "labels.long()",
     "(lambda labels: og.losses.cross_entropy(linear, (x, ADVICE)))(y.float())"),
    (TARGETS + "whole_numbers", "og.losses.cross_entropy(narrow, (x, y[:, None] / 3))", "batch", "og.losses.mse",
     "ADVICE(narrow, (x, y[:, None] / 3))"),
    (TARGETS + "classes_last", "og.losses.cross_entropy(linear, (x, F.one_hot(y)))", "batch", "labels.argmax(1)",
     "(lambda labels: og.losses.cross_entropy(linear, (x, ADVICE)))(F.one_hot(y))"),
    (TARGETS + "classes_last#2", "og.losses.cross_entropy(linear, (x, y[:, None]))", "batch", "labels.squeeze(-1)",
     "(lambda labels: og.losses.cross_entropy(linear, (x, ADVICE)))(y[:, None])"),
    (TARGETS + "classes_last#2", "og.losses.cross_entropy(linear, (x, y[:3]))", "batch", "one label for each logits",
     "og.losses.cross_entropy(linear, (x, y))"),
    (TARGETS + "classes_last#3", "og.losses.cross_entropy(nn.Embedding(5, 4), (tokens, tokens % 4))", "batch",
     "a dict of the inputs and 'labels'",
     "og.losses.cross_entropy(nn.Embedding(5, 4), {'input': tokens, 'labels': tokens % 4})"),
    (TARGETS + "classes_last#4", "og.losses.cross_entropy(narrow, (x, y))", "model", "a logit for each class",
     "og.losses.cross_entropy(linear, (x, y))"),
    (TARGETS + "classes_last#4", "og.losses.cross_entropy(narrow, (x, y))", "model",
     "F.binary_cross_entropy_with_logits(model(x)[:, 0], y.float(), reduction='none')",
     "(lambda model: ADVICE)(narrow).shape == (6,)"),
    (TARGETS + "_tensor", "og.losses.mse(linear, (x, [0.0] * 6))", "batch", "(inputs, targets) as tensors",
     "og.losses.mse(linear, (x, torch.zeros(6, 2)))"),
    ("core/token_losses.py:_refuse_out_of_range", "og.losses.cross_entropy(linear, (x, y + 1))", "batch",
     "a model with a logit for each class", "og.losses.cross_entropy(wide, (x, y + 1))"),
    ("core/token_losses.py:_refuse_out_of_range", "og.losses.cross_entropy(linear, (x, y.where(y > 0, -100)))",
     "batch", "samples without a class (label -100) removed from the data",
     "og.losses.cross_entropy(linear, (x[y > 0], y[y > 0]))"),
    ("core/position_blocks.py:NextTokenInBlocks.__post_init__", "og.losses.NextTokenInBlocks('1', positions=0)",
     "positions", "positions=512", "og.losses.NextTokenInBlocks('1', ADVICE)"),
    ("core/position_blocks.py:NextTokenInBlocks._refused", "og.losses.NextTokenInBlocks('head')(spoken, tokens)",
     "unembed", "the path that model.named_modules() lists", "og.losses.NextTokenInBlocks('2')(spoken, tokens)"),
    ("core/position_blocks.py:NextTokenInBlocks._refused", "og.losses.NextTokenInBlocks('1')(spoken, tokens)",
     "unembed", "og.losses.next_token", "ADVICE(spoken, tokens)"),
    ("core/user_files.py:load_file", "loaded('size = 1 / 0')", "SETUP", "which shows where",
     "loaded('size = 1').size == 1"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    names = dict(globals())
    if "datasets." in mistake.wrong:
        names["datasets"] = pytest.importorskip("datasets")
    follow(mistake, names)
