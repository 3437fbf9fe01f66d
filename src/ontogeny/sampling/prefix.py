"""The part of a network before its first free weight, whose activations are computed once per sample.

Which modules make it up is read off the pass itself: those whose output has no path from a free weight. Of their
outputs, those that the rest of the pass reads are kept, and the modules are skipped.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontogeny.core.losses import LossFn
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import generator
from ontogeny.sampling.activations import Activations, Reuse
from ontogeny.sampling.passes import OneByOne, one_path
from ontogeny.sampling.prefix_calls import Site, frozen_sites, tensors_of
from ontogeny.sampling.probe_passes import AGAIN, LEAST, alike, differ, scale

_TRIED = (3, 2)  # samples of trial passes: what grows with them belongs to samples
_DENSE = 100.0  # multiplications behind a number that make it worth keeping rather than computing
_SHARE = 0.05  # of the work of a pass that must be saved
_MOVED = 1e-2  # of the size of the free weights, at which passes with and without reuse are compared


class Supplied(NamedTuple):
    """A batch, and the rows of the activations that its pass begins with."""

    batch: Any
    rows: list[Tensor]


class _Complete(BaseException):  # not an Exception, which the caller's model may catch
    """All activations have been seen: the rest of the pass is not needed."""


class _Place:
    """Stands in for the forward pass of a module, whose output may be supplied."""

    def __init__(self, site: Site, kept: bool = False) -> None:
        self.site, self.kept, self._forward = site, kept, site.module.forward
        self._own = site.module.__dict__.get("forward")  # accelerate sets one of its own
        self.given: list[Tensor] | None = None
        self.seen: dict[str, list[Tensor]] | None = None
        self.last = False

    def install(self) -> None:
        self.site.module.forward = self

    def remove(self) -> None:
        del self.site.module.forward
        if self._own is not None:
            self.site.module.forward = self._own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.given is not None:
            return self.site.output(self.given)
        output = self._forward(*args, **kwargs)
        if self.seen is not None and self.kept:
            self.seen[self.site.path] = tensors_of(output)
            if self.last:
                raise _Complete
        return output


class Prefix:
    """Modules that are skipped, and the activations that are supplied in their stead.

    Args:
        run: the pass whose model's modules are skipped; its loss is replaced by one that takes `Supplied` batches too.
        weights: w* by parameter, one chain in front.
        sites: the modules, in the order of the pass.
        kept: paths of those whose outputs the rest of the pass reads.
        activations: where these are kept.
    """

    def __init__(
        self, run: OneByOne, weights: Sequence[Tensor], sites: Sequence[Site], kept: set[str], activations: Activations
    ) -> None:
        self._run, self._weights, self.activations = run, weights, activations
        self._loss_fn: LossFn = run.loss_fn
        self._places = [_Place(site, site.path in kept) for site in sites]
        [place for place in self._places if place.kept][-1].last = True

    @property
    def kept(self) -> tuple[str, ...]:
        """Paths of the modules whose outputs are kept."""
        return tuple(place.site.path for place in self._places if place.kept)

    def install(self) -> None:
        """Let the model's modules and loss take supplied activations."""
        for place in self._places:
            place.install()
        self._run.loss_fn = self.loss

    def remove(self) -> None:
        """Undo `install`."""
        for place in self._places:
            place.remove()
        self._run.loss_fn = self._loss_fn

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The caller's loss, of a batch alone or with supplied activations."""
        if not isinstance(batch, Supplied):
            return self._loss_fn(model, batch)
        rows, size = iter(batch.rows), len(batch.rows[0])
        try:
            for place in self._places:
                # in place changes of one pass must not reach the next
                given = [next(rows).clone() for _ in place.site.values] if place.kept else place.site.blank(size)
                place.given = given
            return self._loss_fn(model, batch.batch)
        finally:
            for place in self._places:
                place.given = None

    def take(self, samples: Samples, indices: Tensor, device: torch.device) -> Any:
        """A batch of samples with its activations, of which missing ones are computed; leading dimensions as given."""
        batch = samples.take(indices, device)
        if not samples.in_memory:  # samples that are collated batch by batch may be padded to other lengths
            return batch
        flat, kept = indices.flatten(), self.activations.of(samples)
        missing, rows = kept.missing(flat), list[Tensor]()
        if len(missing):
            rows = self._computed(samples, missing, device)
            kept.put(missing, rows)
        found = kept.get(flat, missing, rows)
        return Supplied(batch, [row if indices.ndim == 1 else row.unflatten(0, indices.shape) for row in found])

    def _computed(self, samples: Samples, indices: Tensor, device: torch.device) -> list[Tensor]:
        """The rows of some samples, from a pass up to the last activation that is kept."""
        self._run.point_at(self._weights, 0)
        seen: dict[str, list[Tensor]] = {}
        with ExitStack() as after:
            for place in self._places:
                place.seen = seen
                after.callback(setattr, place, "seen", None)
            try:
                with one_path():
                    self._loss_fn(self._run.model, samples.take(indices, device))
            except _Complete:
                pass
        return [tensor.detach() for path in self.kept for tensor in seen[path]]


def prefix_of(
    run: OneByOne, weights: Sequence[Tensor], samples: Samples, reuse: Reuse, known: dict[tuple[str, ...], Activations]
) -> Prefix | None:
    """The prefix of a network, installed; None where there is none, or where it would not pay.

    It pays if it saves a twentieth of the multiplications of a pass, and if each number that is kept stands for a
    hundred of them. A pass with supplied activations must agree with one without to rounding, near w* as well.

    Args:
        run, weights: the pass, and w* by parameter, one chain in front.
        samples: some of them are passed through.
        reuse: the bound on memory.
        known: activations of other restrictions of the same network, which are shared where they are the same.
    """
    frozen = any(not each.requires_grad for each in run.model.parameters())
    partly = any(index is not None for index in run.indices.values())
    if not (run.live and reuse.memory and samples.in_memory and samples.stored >= max(_TRIED) and (frozen or partly)):
        return None
    run.point_at(weights, 0)
    sites, kept = _sites(run, samples, weights[0].device)
    here = [site for site in sites if site.path in kept]
    names = tuple(site.path for site in here)
    activations = known.get(names)
    if activations is None:
        activations = Activations(reuse, [value[0] for site in here for value in site.values], weights[0].device)
    if not here:
        return None
    prefix = Prefix(run, weights, sites, kept, activations)
    if not _agrees(prefix, run, weights, samples):
        return None
    if names not in known:
        known.clear()  # the bound on memory holds for all restrictions together
        known[names] = activations
    prefix.install()
    return prefix


def _sites(run: OneByOne, samples: Samples, device: torch.device) -> tuple[list[Site], set[str]]:
    """The modules that can be skipped, and paths of those to keep; none of these if it would not pay."""
    batches = [samples.take(torch.arange(count), device) for count in _TRIED]
    sites, total = frozen_sites(run, batches, _TRIED)
    kept = _needed(run, sites, batches[0])
    return sites, kept if sum(site.multiplications for site in sites) >= _SHARE * total else set()


def _needed(run: OneByOne, sites: list[Site], batch: Any) -> set[str]:
    """Paths of the sites whose outputs the rest of the pass reads; sites that are not worth keeping are taken out."""
    while sites:
        places, leaves = [_Place(site) for site in sites], [site.leaves() for site in sites]
        try:
            for place, each in zip(places, leaves, strict=True):
                place.given = [leaf.clone() for leaf in each]  # which the network may change in place
                place.install()
            with one_path():
                total = run.loss_fn(run.model, batch).float().mean()
        except Exception:  # a network that does not run with modules skipped is run whole
            return set()
        finally:
            for place in places:
                place.remove()
        flat = [leaf for each in leaves for leaf in each if leaf.requires_grad]
        found = torch.autograd.grad(total, flat, allow_unused=True)
        reached = {id(leaf) for leaf, gradient in zip(flat, found, strict=True) if gradient is not None}
        needed = [site for site, each in zip(sites, leaves, strict=True) if reached & set(map(id, each))]
        cheap = [site for site in needed if not site.dense(_DENSE)]
        if not cheap:
            return {site.path for site in needed}
        for site in cheap:
            sites.remove(site)
    return set()


def _agrees(prefix: Prefix, run: OneByOne, weights: Sequence[Tensor], samples: Samples) -> bool:
    """Whether losses and gradients are the same with supplied activations, at weights moved at random."""
    source, device, chosen, moved = generator(0, "prefix"), weights[0].device, torch.arange(_TRIED[0]), list[Tensor]()
    for weight in weights:
        step = torch.randn(weight.shape, generator=source).to(weight)
        moved.append(weight + step * _MOVED * (float(weight.square().mean().sqrt()) + 1e-3))
    into = [[torch.zeros_like(weight) for weight in weights] for _ in range(2)]
    prefix.install()
    try:
        plain = run(moved, samples.take(chosen, device), len(chosen), True, into[0], 1.0)
        supplied = run(moved, prefix.take(samples, chosen, device), len(chosen), True, into[1], 1.0)
    except Exception:  # as above
        return False
    finally:
        prefix.remove()
    if differ(plain, supplied, AGAIN * scale(plain) + LEAST):
        return False
    return all(alike(left, right) for left, right in zip(*into, strict=True))
