"""What errors of this room say to write instead."""

import random
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from tests.advice import Mistake, follow, mistakes
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import Dataset

import ontogeny as og
from ontogeny.core.samples import Samples
from ontogeny.sampling import Reuse, as_sampler
from ontogeny.stores import ZarrSink

x, y = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
data = (x, y)
cross_entropy, SGLD = og.losses.cross_entropy, og.SGLD
short = {"num_chains": 1, "num_draws": 2, "num_warmup": 0}
low_rank = og.PreconditionedSGLD(1e-6, torch.ones(8), torch.eye(8)[:, :1], torch.ones(1))
directions = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])


class OfTheirOwn:
    """A sampler of the caller's."""

    def draw(self, posterior: og.LocalPosterior, **options: Any) -> Any: ...


def fits(num_chains: int) -> bool:
    """Whether chains of a megabyte each fit into eight."""
    told = og.forecast(posterior(), og.Fixed(num_draws=5, num_warmup=5, num_chains=num_chains))
    replace(told, memory=num_chains * 2**20, available=8 * 2**20).require_fit()
    return True


class Jittered(Dataset[Any]):
    """Augmented samples: drawn anew at each reading, though never different once they are kept."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        if index >= 12:
            raise IndexError
        return x[index] + random.gauss(0, 1), int(y[index])


class Shifted(nn.Module):
    """Noise that does not stop in eval mode, or does."""

    def __init__(self, stops: bool) -> None:
        super().__init__()
        self.linear, self.stops = nn.Linear(3, 2), stops

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.linear(x), 0.5, training=self.training if self.stops else True)


class Halved(nn.Module):
    """Casts to half precision, whatever the weights are; or to the weights' own."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.linear, self.fixed = nn.Linear(3, 2).bfloat16(), fixed

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.to(torch.bfloat16 if self.fixed else self.linear.weight.dtype))


class Waves(nn.Module):
    def __init__(self, real: bool) -> None:
        super().__init__()
        self.real = real
        self.parameter = nn.Parameter(torch.zeros(3, 2, 2) if real else torch.zeros(3, 2, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        parameter = self.parameter
        return (x.to(torch.complex64) @ (torch.view_as_complex(parameter) if self.real else parameter)).abs()


class Closed(nn.Module):
    """A forward pass that reaches its layer from outside."""

    def __init__(self, by_self: bool) -> None:
        super().__init__()
        self.linear = linear = nn.Linear(3, 2)
        self.run = None if by_self else lambda x: linear(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) if self.run is None else self.run(x)


def network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, outputs)


def posterior(**settings: Any) -> og.LocalPosterior:
    return og.LocalPosterior(network(), data, cross_entropy, **settings)


def deep(**settings: Any) -> og.LocalPosterior:
    return og.LocalPosterior(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)), data, cross_entropy, **settings)


def sharded(make: Any, **options: Any) -> bool:
    """A network divided over one process by FSDP2, and what is made of it."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        model: Any = network()
        ignored = {model.weight} if options.pop("ignoring", False) else None
        fully_shard(model, ignored_params=ignored)
        make(og.LocalPosterior(model, data, cross_entropy, **options))
    finally:
        dist.destroy_process_group()
    return True


def taken(model: nn.Module, loss_fn: Any = cross_entropy, data: Any = data) -> Any:
    """A posterior of it and two draws."""
    return og.sample(og.LocalPosterior(model, data, loss_fn, nbeta=1.0), SGLD(1e-6), **short)


def moved() -> og.LocalPosterior:
    model = network()
    found = og.LocalPosterior(model, data, cross_entropy)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    return found


def mass(restriction: str) -> Any:
    return og.calibrate(deep(restriction=restriction), budget=20_000).mass


def frozen(train: bool = False) -> nn.Module:
    return network().requires_grad_(train)


def normed(**settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, **settings), nn.Linear(4, 2))
    model(x)  # one pass in train mode
    return model


def against(y: Tensor, squeezed: bool) -> Any:
    return lambda model, batch: (
        (model(batch[0]).squeeze(1) - batch[1]).square() if squeezed else (model(batch[0]) - batch[1]).square()
    )


def centred(model: Any, batch: Any) -> Tensor:
    losses = cross_entropy(model, batch)
    return losses - losses.mean()


def detached(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]).detach(), batch[1], reduction="none")


def stepwise(model: Any, batch: Any) -> Tensor:
    return (model(batch[0]).argmax(1) != batch[1]).float() + 0 * model(batch[0]).sum(1)


OUTER = network()


def outer(model: Any, batch: Any) -> Tensor:
    return cross_entropy(OUTER, batch)


PRECONDITIONED = "sampling/kernels/preconditioned.py:PreconditionedSGLD.__post_init__"
CHECKS = "sampling/checks.py:"
POSTERIOR = "sampling/posterior.py:"


def plain(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none")


def focal(detached: bool) -> Any:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        losses = plain(model, batch)
        return losses * (1 + (losses.detach() if detached else losses))

    return loss


def joined(dataset: Dataset[Any]) -> Any:
    return zip(
        *((inputs, torch.tensor(label)) for inputs, label in (dataset[number] for number in range(12))), strict=True
    )


PROBE, GRADIENTS = "sampling/probe.py:", "sampling/probe_gradients.py:"


# fmt: off
MISTAKES = (
    ("sampling/costs.py:Forecast.require_fit", "fits(num_chains=40)", "device", "fewer chains", "fits(num_chains=4)"),
    ("sampling/costs.py:forecast", "og.forecast(posterior(), OfTheirOwn())", "sampler", "og.forecast(posterior)",
     "(lambda posterior: ADVICE.at_most)(posterior())"),
    ("sampling/calibration.py:Mass.on", "og.calibrate(deep(), budget=20_000, start=mass('0'))", "start",
     "start=None", "og.calibrate(deep(), budget=20_000, ADVICE)"),
    (PRECONDITIONED, "og.PreconditionedSGLD(1e-3, torch.ones(3), directions=directions)", "directions, factors",
     "factors=", "og.PreconditionedSGLD(1e-3, torch.ones(3), torch.linalg.qr(directions).Q, ADVICE torch.ones(2))"),
    (PRECONDITIONED + "#2", "og.PreconditionedSGLD(1e-3, torch.ones(3), directions, torch.ones(2))", "directions",
     "torch.linalg.qr(directions).Q", "og.PreconditionedSGLD(1e-3, torch.ones(3), ADVICE, torch.ones(2))"),
    ("sampling/kernels/protocol.py:check_positive", "SGLD(step_size=-1.0)", "step_size", "step_size=1e-4",
     "SGLD(ADVICE)"),
    ("sampling/kernels/protocol.py:check_each_positive", "og.PreconditionedSGLD(1e-3, torch.zeros(3))", "diagonal",
     "diagonal=torch.ones(", "og.PreconditionedSGLD(1e-3, ADVICE 3))"),
    ("sampling/kernels/protocol.py:check_positive", "og.SGHMC(1e-3, friction=0.0)", "friction", "numbers > 0",
     "og.SGHMC(1e-3, friction=0.1)"),
    ("sampling/loop.py:_check", "og.sample(posterior(), SGLD(1e-6), **(short | {'num_chains': 0}))", "num_chains",
     "num_chains=1", "og.sample(posterior(), SGLD(1e-6), num_draws=2, num_warmup=0, ADVICE)"),
    ("sampling/loop.py:_check", "og.sample(posterior(), SGLD(1e-6), **(short | {'num_warmup': -1}))", "num_warmup",
     "num_warmup=0", "og.sample(posterior(), SGLD(1e-6), num_draws=2, num_chains=1, ADVICE)"),
    ("sampling/loop.py:_check#3", "og.sample(posterior(batch_size=4), og.MALA(1e-6), **short)", "kernel",
     "batch_size=12", "og.sample(posterior(ADVICE), og.MALA(1e-6), **short)"),
    ("sampling/loop.py:_check#3", "og.sample(posterior(batch_size=4), og.MALA(1e-6), **short)", "kernel", "SGHMC",
     "og.sample(posterior(batch_size=4), og.ADVICE(1e-6), **short)"),
    ("sampling/loop.py:_check#2", "sharded(lambda made: og.sample(made, low_rank, **short))", "kernel",
     "directions=None, factors=None",
     "sharded(lambda made: og.sample(made, og.PreconditionedSGLD(1e-6, torch.ones(8), ADVICE), **short))"),
    ("sampling/one_call.py:_lengths_elsewhere#2", "og.sample(posterior(), num_draws=2)", "num_draws",
     "og.Fixed(kernel=og.SGLD(1e-4), num_draws=2)", "og.sample(posterior(), ADVICE)"),
    ("sampling/one_call.py:_lengths_elsewhere#2", "og.sample(posterior(), og.Fixed(), vectorized=False)",
     "vectorized", "og.SGLD(1e-4), vectorized=False", "og.sample(posterior(), ADVICE, **short)"),
    ("sampling/one_call.py:_lengths_elsewhere", "og.sample(posterior(), num_steps=2)", "num_steps",
     "one of these with a kernel", "og.sample(posterior(), SGLD(1e-6), num_chains=1, num_warmup=0, num_draws=2)"),
    ("sampling/one_call.py:estimate_llc",
     "og.estimate_llc(network(), data, cross_entropy, sampler=og.Calibrated(), budget=20_000)", "budget",
     "og.Calibrated(budget=20000)", "og.estimate_llc(network(), data, cross_entropy, sampler=ADVICE)"),
    ("sampling/passes.py:_Widened.__call__", "taken(Halved(fixed=True))", "model", "x.to(self.linear.weight.dtype)",
     "taken(Halved(fixed=False))"),
    (CHECKS + "at_least_0", "posterior(nbeta=-1.0)", "nbeta", "nbeta=None", "posterior(ADVICE)"),
    (CHECKS + "at_least_0", "posterior(localization=-1)", "localization", "localization=1.0", "posterior(ADVICE)"),
    (POSTERIOR + "LocalPosterior.__init__", "posterior(batch_size=0)", "batch_size", "batch_size=None",
     "posterior(ADVICE)"),
    (POSTERIOR + "LocalPosterior.__init__", "posterior(pass_size=0)", "pass_size", "pass_size=None",
     "posterior(ADVICE)"),
    (POSTERIOR + "LocalPosterior.__init__#3", "taken(nn.Flatten())", "model", "a module with parameters of its own",
     "taken(nn.Sequential(nn.Flatten(), network()))"),
    (POSTERIOR + "LocalPosterior.__init__#2", "posterior(restriction=3)", "restriction", "restriction=None",
     "posterior(ADVICE)"),
    (POSTERIOR + "LocalPosterior.restricted", "moved().restricted('weight')", "model", "a new LocalPosterior",
     "posterior().restricted('weight')"),
    (POSTERIOR + "LocalPosterior.batched",
     "sharded(lambda made: og.sample(made, SGLD(1e-6), vectorized=True, **short))",
     "vectorized", "vectorized=False", "sharded(lambda made: og.sample(made, SGLD(1e-6), ADVICE, **short))"),
    ("sampling/activations.py:Reuse.__post_init__", "Reuse(memory=-1)", "memory", "memory=2**28", "Reuse(ADVICE)"),
    ("sampling/recompute.py:recompute_layers", "posterior(recompute=True)", "recompute",
     "recompute=False, and a smaller pass_size", "posterior(recompute=False, pass_size=2)"),
    ("sampling/sharded.py:_require_rows", "sharded(lambda made: None, ignoring=True)", "model",
     "fully_shard(model) without ignored_params", "sharded(lambda made: None)"),
    (CHECKS + "check_passes", "posterior(precision='float16')", "precision", "precision='float32'",
     "posterior(ADVICE)"),
    (CHECKS + "check_passes#2", "sharded(lambda made: None, recompute=True)", "recompute", "recompute=False",
     "sharded(lambda made: None, ADVICE)"),
    (CHECKS + "free_of", "taken(frozen())", "model", "model.requires_grad_(True)",
     "taken((lambda model: ADVICE)(frozen()))"),
    (CHECKS + "refuse_complex", "taken(Waves(real=False))", "model", "torch.view_as_complex(parameter)",
     "taken(Waves(real=True))"),
    (CHECKS + "default_nbeta", "og.LocalPosterior(network(), (x[:1], y[:1]), cross_entropy)", "data", "nbeta=",
     "og.LocalPosterior(network(), (x[:1], y[:1]), cross_entropy, ADVICE 1.0)"),
    (PROBE + "_check_reading", "taken(network(), data=Jittered())", "data", "collated once, joined into tensors",
     "taken(network(), data=tuple(map(torch.stack, joined(Jittered()))))"),
    (PROBE + "_first", "taken(network(), lambda model: model(x))", "loss_fn", "lambda model, batch: losses",
     "taken(network(), lambda model, batch: cross_entropy(model, batch))"),
    (PROBE + "_first#2", "taken(network(), plain, (x.double(), y))", "data", "data.float()",
     "taken(network(), plain, (x.double().float(), y))"),
    (PROBE + "_first#2", "taken(network(), plain, (x.double(), y))", "data", "model.double()",
     "taken(network().double(), plain, (x.double(), y))"),
    (GRADIENTS + "_check_gradient", "taken(network(), focal(detached=True))", "loss_fn", "a loss without detach",
     "taken(network(), focal(detached=False))"),
    (PROBE + "_check_repeated", "taken(Shifted(stops=False))", "loss_fn", "F.dropout(x, p, training=self.training)",
     "taken(Shifted(stops=True))"),
    (PROBE + "_check_elsewhere", "taken(network(1), against(y, squeezed=False))", "loss_fn",
     "model(x).squeeze(1) - y", "taken(network(1), against(y, squeezed=True))"),
    (PROBE + "_of_neighbours", "taken(normed(track_running_stats=False))", "model",
     "track_running_stats=True, and one pass over the data in train mode", "taken(normed(track_running_stats=True))"),
    (PROBE + "_of_neighbours#2", "taken(network(), centred)", "loss_fn",
     "a loss and a model that treat each sample separately", "taken(network(), cross_entropy)"),
    (GRADIENTS + "check_answers", "taken(Closed(by_self=False))", "model",
     "a forward pass that reaches layers through `self`", "taken(Closed(by_self=True))"),
    (GRADIENTS + "check_answers", "taken(OUTER, outer)", "model", "loss_fn(model, batch) that calls its first argument",
     "taken(OUTER, cross_entropy)"),
    (GRADIENTS + "check_answers#2", "taken(network(), detached)", "loss_fn", "a loss without no_grad, detach",
     "taken(network(), cross_entropy)"),
    (GRADIENTS + "check_answers#2", "taken(network(), stepwise)", "loss_fn", "steps such as argmax",
     "taken(network(), cross_entropy)"),
    ("sampling/recorder.py:named_samples", "og.sample(posterior(), SGLD(1e-6), observables={'a/b': data}, **short)",
     "observables", 'observables={"name": data}', "og.sample(posterior(), SGLD(1e-6), ADVICE, **short)"),
    ("sampling/samplers.py:Calibrated.draw", "og.sample(posterior(), sink=ZarrSink('unused'))", "sink",
     "og.Fixed(...)", "og.sample(posterior(), og.Fixed(kernel=SGLD(1e-6), **short))"),
    ("sampling/samplers.py:Fixed._kernel", "og.Fixed(kernel=1e-4)", "kernel", "og.SGLD(1e-4)",
     "og.Fixed(kernel=ADVICE)"),
    ("sampling/samplers.py:as_sampler", "og.sample(posterior(), 'sgld')", "sampler", "og.Calibrated()",
     "as_sampler(ADVICE)"),
    ("sampling/samplers.py:as_sampler", "og.sample(posterior(), og.Fixed)", "sampler", "og.Fixed()",
     "as_sampler(ADVICE)"),
    ("sampling/samplers.py:as_sampler", "og.estimate_llc(network(), data, cross_entropy, sampler=SGLD(1e-4))",
     "sampler", "og.Fixed(kernel=og.SGLD(step_size=0.0001))", "as_sampler(ADVICE)"),
    ("sampling/samplers.py:_untouched", "og.sample(posterior(nbeta=0.0, localization=0.0))", "localization",
     "localization=1.0", "og.sample(posterior(nbeta=0.0, ADVICE))"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())


def test_a_dataset_that_is_read_twice_is_what_is_refused() -> None:
    assert len(Samples(Jittered())) == 12
