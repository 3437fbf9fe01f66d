"""The one posterior: temperature, localisation, restriction and data enter here, never in a kernel."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core import arguments
from ontogeny.core.batches import doubled, mapped
from ontogeny.core.copies import copied
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.restriction import Restriction, parameters_of, picked
from ontogeny.core.samples import Samples
from ontogeny.models import restrict
from ontogeny.sampling.activations import Activations, Reuse
from ontogeny.sampling.checks import at_least_0, check_passes, default_nbeta, free_of, refuse_complex
from ontogeny.sampling.kernels import Reductions
from ontogeny.sampling.memory import pass_size_of
from ontogeny.sampling.passes import Batched, OneByOne, Pass, Run, wide
from ontogeny.sampling.prefix import Prefix, prefix_of
from ontogeny.sampling.probe import probe
from ontogeny.sampling.recompute import recompute_layers
from ontogeny.sampling.sharded import Sharded, is_sharded, restrict_by_name, stored_here

_SOME = "a module with parameters of its own"


class LocalPosterior:
    """The localised, tempered posterior around a trained network's weights w*.

    p(w) ∝ exp(-nβ L(w) - (γ/2) |w - w*|²), where L is the mean loss over the data and w the free coordinates as one
    flat vector of length P.

    Args:
        model: any module; its present weights are the center w*. It is not changed: a copy of its structure is run in
            eval mode (dropout off, batch-norm statistics frozen). Weights below 32 bits get float32 copies.
        data: samples: a tensor or array, a tuple or dict of them, rows in a list, a map-style dataset, a
            `datasets.Dataset` or a `DataLoader`; with `num_samples` an `IterableDataset`, or an iterable of ready
            batches. The table in `ontogeny.Samples` shows the batch that each gives.
        loss_fn: `loss_fn(model, batch)` -> losses `(batch,)` or `(batch, position)`, unreduced.
        nbeta: n·β; default n / log n (Lau et al., 2308.12108). n is the number of samples, never of tokens and never
            the batch size.
        localization: γ ≥ 0; large values lower the estimate by Σ½ γ/(nβh+γ).
        restriction: the free coordinates, as a `Restriction` or a pattern for `restrict` such as "L0H3"; default all.
            With no free coordinates the coefficient is 0. Parameters with `requires_grad=False` always stay fixed.
        batch_size: samples per gradient, drawn with replacement. n or more uses all samples every time, without noise.
            Default the smaller of n and 256.
        num_samples: n, if the data have no length.
        device: device of the chains; default that of the model's parameters.
        pass_size: samples that go through the model at once, in every pass; larger batches are accumulated over several
            passes. It bounds memory and changes results by rounding only. By default it is set so that the backward
            pass stores 128 MB, measured on two samples.
        reuse: memory for activations before the first free weight. These are computed once per sample, and passes begin
            after them. Default `Reuse()`, 256 MB; `Reuse(memory=0)` computes them anew in every pass.
        precision: of passes with a model of 16-bit weights. "float32" runs a copy of it in 32 bits. "model" runs it as
            it is: only the free coordinates have float32 copies, which are rounded for each pass. This takes a third of
            the memory; a loss of your own should be computed in 32 bits, as those of `og.losses` are.
        recompute: do not store activations inside layers for the backward pass but compute them again there
            (`torch.utils.checkpoint`). Layers are what lists and sequences of modules hold.
        probed: whether `ontogeny.sampling.probe` has already checked the loss.

    Raises:
        InvalidArgument: for data of unknown length, n < 3 without `nbeta`, or a model whose parameters are missing or
            all frozen. Also for a loss that is not per sample, is random, depends on a sample's neighbours in the
            batch, or does not respond to the sampled weights.

    References:
        Lau et al., "Quantifying degeneracy in singular models via the learning coefficient", arXiv 2308.12108.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss_fn: LossFn,
        nbeta: float | None = None,
        localization: float = 1.0,
        restriction: Restriction | str | None = None,
        batch_size: int | None = None,
        *,
        num_samples: int | None = None,
        device: torch.device | str | None = None,
        pass_size: int | None = None,
        reuse: Reuse | None = None,
        precision: str = "float32",
        recompute: bool = False,
        probed: bool = False,
        known: dict[tuple[str, ...], Activations] | None = None,
    ) -> None:
        self.samples = Samples.of(data, num_samples)
        self._model, self.loss_fn = model, loss_fn
        self.nbeta = default_nbeta(len(self.samples)) if nbeta is None else at_least_0("nbeta", nbeta, "None")
        self.localization = at_least_0("localization", localization, "1.0")
        for name, size in (("batch_size", batch_size), ("pass_size", pass_size)):
            if size is not None and arguments.whole_number(name, size, None) < 1:
                raise InvalidArgument(name, expected="an integer ≥ 1", found=str(size), instead=f"{name}=None")
        self.batch_size = min(batch_size or 256, len(self.samples))
        sharded = isinstance(model, nn.Module) and is_sharded(model)
        if isinstance(restriction, str):
            restriction = (restrict_by_name if sharded else restrict)(model, restriction)
        if not (restriction is None or isinstance(restriction, Restriction)):
            expected, found = "a pattern such as 'L0H3', or a Restriction", arguments.show(restriction)
            raise InvalidArgument("restriction", expected=expected, found=found, instead="restriction=None")
        self.restriction = restriction
        parameters = parameters_of(model)
        if not parameters:
            raise InvalidArgument("model", expected="a module with parameters", found="none", instead=_SOME)
        free = free_of(parameters, restriction)
        refuse_complex({name: parameters[name] for name in free})
        some = next(iter(parameters.values()))
        self.model_size = sum(parameter.numel() for parameter in parameters.values())
        self.device = some.device if device is None else arguments.usable_device(device)
        check_passes(precision, recompute, sharded)
        self._options = {"precision": precision, "recompute": recompute}
        self.one_by_one: Run = (
            Sharded(model, loss_fn, free)
            if sharded
            else OneByOne(model, loss_fn, free, self.device, narrow=precision == "model")
        )
        if recompute:
            recompute_layers(self.one_by_one.model)
        free_parts = [(stored_here(parameters[name]), index) for name, index in self.one_by_one.indices.items()]
        self._shapes = [each.shape if index is None else index.shape for each, index in free_parts]
        self.layout = self.one_by_one.layout
        self.sizes = self.layout.sizes
        self._dtype = wide(some.dtype)
        self.center: Float[Tensor, " parameters"] = self._picked()
        self.reductions = Reductions(self.layout)
        self._center_losses = torch.full((self.samples.stored,), torch.nan)
        self._center_gradient: list[Tensor] = []  # a list, so that copies at other settings share the gradient
        self._pass_size: list[int] = [] if pass_size is None else [pass_size]
        self._batched: dict[bool, Pass] = {}
        center = self._views(self.center[None])
        if not probed:
            probe(self.one_by_one, center, self.samples, self.nbeta, model)
        self._reuse, self._activations = reuse or Reuse(), {} if known is None else known
        self._prefix: Prefix | None = None
        if isinstance(self.one_by_one, OneByOne):
            self._prefix = prefix_of(self.one_by_one, center, self.samples, self._reuse, self._activations)

    @property
    def num_parameters(self) -> int:
        """P, the number of free parameters, in all processes together."""
        return self.layout.total

    @property
    def full_batch(self) -> bool:
        """Whether each gradient uses all samples, without noise."""
        return self.batch_size >= self.samples.stored

    @property
    def kept_activations(self) -> tuple[str, ...]:
        """Paths of the modules whose outputs are kept per sample and begin every pass; see `Reuse`."""
        return () if self._prefix is None else self._prefix.kept

    @property
    def activation_bytes(self) -> int:
        """Bytes of memory set aside for these outputs so far."""
        return 0 if self._prefix is None else self._prefix.activations.reserved

    def at(
        self, *, nbeta: float | None = None, batch_size: int | None = None, localization: float | None = None
    ) -> "LocalPosterior":
        """The same posterior at another temperature, batch size or localisation; computed losses are shared."""
        other = copy.copy(self)
        other.nbeta = self.nbeta if nbeta is None else at_least_0("nbeta", nbeta, "None")
        if localization is not None:
            other.localization = at_least_0("localization", localization, "1.0")
        other.batch_size = self.batch_size if batch_size is None else min(batch_size, len(self.samples))
        return other

    def restricted(self, restriction: Restriction | str | None) -> "LocalPosterior":
        """The posterior of another component of the same network, at the same settings and on the same samples.

        Losses at w* belong to the whole network, so they are computed once for all components. The full-data gradient
        at w* is also reused if this posterior moves the whole network and has computed it.

        Raises:
            InvalidArgument: for an unknown name, or if the model's weights are no longer w*.
        """
        settings = self.nbeta, self.localization, restriction, self.batch_size
        size = self._pass_size[0] if self._pass_size else None
        reused = {"reuse": self._reuse, "known": self._activations}
        options: dict[str, Any] = {"device": self.device, "pass_size": size, "probed": True} | reused | self._options
        if not torch.equal(self._picked(), self.center):
            expected = "a model whose weights are unchanged since this posterior was made"
            raise InvalidArgument("model", expected=expected, found="other weights", instead="a new LocalPosterior")
        other = LocalPosterior(self._model, self.samples, self.loss_fn, *settings, **options)
        other._center_losses = self._center_losses
        if self._center_gradient and self.restriction is None:
            named = dict(zip(self.one_by_one.indices, self._center_gradient[0].split(self.sizes), strict=True))
            parts = [picked(named[name], index) for name, index in other.one_by_one.indices.items()]
            other._center_gradient.append(torch.cat([other.center[:0], *parts]))
        return other

    def _picked(self) -> Float[Tensor, " parameters"]:
        """The caller's present weights at the free coordinates, as a flat copy."""
        parameters = parameters_of(self._model)
        parts = [
            picked(
                stored_here(parameters[name].detach()).to(self.device, wide(parameters[name].dtype)), index
            ).flatten()
            for name, index in self.one_by_one.indices.items()
        ]
        return torch.cat([torch.empty(0, dtype=self._dtype, device=self.device), *parts])

    def gradients(
        self,
        positions: Float[Tensor, "chain parameters"],
        indices: Int[Tensor, "*chain batch"] | None,
        out: Float[Tensor, "chain parameters"],
        engine: Pass | None = None,
        paired: bool = True,
    ) -> Float[Tensor, " chain"]:
        """Write ∇U_B(w) = nβ ∇L_B(w) + γ (w - w*) of each chain into `out`; return L_B(w) - L_B(w*).

        Args:
            positions: w of each chain.
            indices: one minibatch for all chains, or one per chain; None for all samples.
            out: receives the gradients.
            engine: the pass that runs the chains; default one by one.
            paired: subtract the losses at w*, sample by sample; if False, return L_B(w).
        """
        torch.sub(positions, self.center, out=out).mul_(self.localization)
        weights, into = self._views(positions), self._views(out)
        run = engine or self.one_by_one
        total = doubled(torch.zeros(len(positions), device=positions.device))
        for block, share in self._blocks(indices, 1 if engine is None else len(positions)):
            batch, shared = self._take(self.samples, block), block.ndim == 1
            losses = doubled(run(weights, batch, block.shape[-1], shared, into, self.nbeta * share))
            if paired:
                losses = losses - self.center_losses(block).to(losses.device)
            total += share * losses.mean(-1)
        return total

    def center_gradient(self, indices: Int[Tensor, " batch"] | None = None) -> Float[Tensor, " parameters"]:
        """nβ ∇L_B(w*) on a minibatch, or on all samples. The latter takes one pass over the data and is cached."""
        if indices is None and self._center_gradient:
            return self._center_gradient[0] * self.nbeta
        found = torch.empty_like(self.center)[None]
        self.gradients(self.center[None], indices, found, paired=False)
        if indices is None and self.nbeta:
            self._center_gradient.append(found[0] / self.nbeta)
        return found[0]

    @property
    def center_gradient_known(self) -> bool:
        """Whether the full-data gradient at w* is already cached."""
        return bool(self._center_gradient)

    def losses(
        self, position: Float[Tensor, " parameters"], samples: Samples, indices: Tensor
    ) -> Float[Tensor, " entry"]:
        """Losses at `position` on any samples, without gradients: one per sample, or one per token with `per_token`."""
        batch = self._take(samples, indices)
        return self.one_by_one.losses(self._views(position[None]), batch, len(indices), samples.per_token)

    def gradient_at_center(self, samples: Samples) -> Float[Tensor, " parameters"]:
        """∇L'(w*), the gradient of the mean loss of any samples, in one pass over them."""
        found = torch.zeros_like(self.center)[None]
        weights, into = self._views(self.center[None]), self._views(found)
        for block in torch.arange(samples.stored).split(self.pass_size):
            batch, share = self._take(samples, block), len(block) / samples.stored
            self.one_by_one(weights, batch, len(block), True, into, share)
        return found[0]

    def differentiable(self, indices: Tensor) -> tuple[Float[Tensor, " parameters"], Float[Tensor, ""]]:
        """w* as a double-precision leaf, and the mean loss of some samples there, for derivatives of any order."""
        model = copied(self._model).double()
        weights = self.center.double().requires_grad_()
        parts = [part[0] for part in self._views(weights[None])]
        loss = Batched(OneByOne(model, self.loss_fn, self.one_by_one.indices, self.device)).loss
        return weights, loss(parts, mapped(_double, self.samples.take(indices, self.device)), len(indices))[0]

    def center_losses(self, indices: Tensor) -> Float[Tensor, "*chain batch"]:
        """Per-sample losses at w* on the posterior's own samples; each is computed once and cached."""
        found = self._center_losses[indices]
        if not found.isnan().any():
            return found
        for part in torch.unique(indices[found.isnan()]).split(self.pass_size):
            self._center_losses[part] = self.losses(self.center, self.samples, part).float().cpu()
        return self._center_losses[indices]

    def batched(self, compiled: bool = False) -> Pass:
        """Gradients of all chains in one `torch.func.vmap` pass; `compiled` compiles it once with `torch.compile`."""
        if not isinstance(self.one_by_one, OneByOne):
            expected, found = "chains one after another of a sharded model", "chains in one pass"
            raise InvalidArgument("vectorized", expected=expected, found=found, instead="vectorized=False")
        if compiled not in self._batched:
            self._batched[compiled] = Batched(self.one_by_one, compiled)
        return self._batched[compiled]

    def vectorizes(self) -> bool:
        """Whether the model and loss run under `torch.func.vmap`, with every operation batched over chains. Models with
        data-dependent control flow do not. A recurrent layer would run chain by chain, more slowly than without vmap.
        """
        if not isinstance(self.one_by_one, OneByOne):
            return False
        batch = self._take(self.samples, torch.zeros(1, dtype=torch.long))
        weights = self._views(self.center.repeat(2, 1))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                Batched(self.one_by_one)(weights, batch, 1, True, self._views(torch.zeros(2, len(self.center))), 1.0)
            except RuntimeError:
                return False
        return not any("batching rule" in str(each.message) for each in said)

    @property
    def pass_size(self) -> int:
        """Samples that go through the model at once, in every pass."""
        if not self._pass_size:
            take = partial(self._take, self.samples)
            found = pass_size_of(self.one_by_one, self._views(self.center[None]), self.samples.stored, take)
            self._pass_size.append(self.layout.least(found))
        return self._pass_size[0]

    def _take(self, samples: Samples, indices: Tensor) -> Any:
        """A batch of samples, with its activations before the first free weight if these are reused."""
        if self._prefix is None:
            return samples.take(indices, self.device)
        return self._prefix.take(samples, indices, self.device)

    def _blocks(self, indices: Tensor | None, chains: int) -> Iterator[tuple[Tensor, float]]:
        """Split a minibatch into blocks of one pass each, with the weight of each in the mean."""
        whole = torch.arange(self.samples.stored) if indices is None else indices
        for block in whole.split(max(1, self.pass_size // chains), dim=-1):
            yield block, block.shape[-1] / whole.shape[-1]

    def _views(self, flat: Float[Tensor, "chain parameters"]) -> list[Tensor]:
        parts: Sequence[Tensor] = flat.split(self.sizes, dim=1)
        rows = flat.shape[0]
        return [part.view(rows, *shape) for part, shape in zip(parts, self._shapes, strict=True)]


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
