"""One edge between two parts taken away: what a head's queries, keys or values hear of an earlier part."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from torch import Tensor, nn

from ontogeny.circuits.ends import head_named
from ontogeny.circuits.norms import path_of_norm_before
from ontogeny.circuits.replacements import Replacement
from ontogeny.circuits.stream import check_adds
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Head, Intervention, Site, heads, intervene
from ontogeny.models.places import TensorSlice

_ROLES: dict[str, Callable[[Head], TensorSlice]] = {
    "Q": lambda head: head.query,
    "K": lambda head: head.key,
    "V": lambda head: head.value,
}


@contextmanager
def ablate_path(
    model: nn.Module,
    sender: str,
    receiver: str | Iterable[str],
    input: str = "K",
    how: str | Replacement = "zero",
) -> Generator[nn.Module]:
    """Within the context, one input of a later head hears a replacement of what an earlier part writes.

    The direct edge alone: with x the stream that the receiver's layer reads, and c what the sender added to it, the
    receiver's queries, keys or values are made of x - c + c' through the norm before them, whose scale follows. All
    other readers hear the sender as it is, and so do the layers between, whose answers reach the receiver as before.

    Args:
        model: any network whose layers add what attention and MLP return to the stream.
        sender: a head, `"L0.attn"`, `"L0.mlp"` or `"embed"`, before the receiver.
        receiver: a head; or several heads, which all lose the edge. Grouped queries share keys and values: all heads of
            a group must be named.
        input: `"Q"`, `"K"` or `"V"` of the receiver. Rotations and norms of queries and keys come after, as always.
        how: what takes the sender's place, as in `ablate`.

    Raises:
        InvalidArgument: for parts that do not exist or do not come in this order, keys or values that heads not named
            share, inputs that no module shows, and networks of another form.
    """
    receivers = [head_named(model, name, "receiver") for name in _listed(receiver)]
    if input not in _ROLES:
        raise InvalidArgument("input", expected="'Q', 'K' or 'V'", found=repr(input), instead="input='K'")
    hearers = {
        _shown(model, head, receivers, input): (head.attention, _ROLES[input](head).of(head.parameters))
        for head in receivers
    }
    place, to_stream = _sending(model, sender, receivers)
    check_adds(model)
    replaced = Replacement.of(how).interventions(model, [place])[place]
    norms = {head.attention: path_of_norm_before(model, head.attention) for head in receivers}
    changes: dict[str, Tensor] = {}

    def send(activation: Tensor) -> None:
        new = replaced(activation)
        changes["sent"] = to_stream(new if new is not None else activation) - to_stream(activation)

    def hear(attention: str, norm: nn.Module) -> Intervention:
        def change(x: Tensor) -> None:  # hooks of the norm are not run for what is only asked
            changes[attention] = norm.forward(x + changes["sent"]) - norm.forward(x)

        return change

    def receive(attention: str, weight: Tensor) -> Intervention:
        return lambda activation: activation + changes[attention if norms[attention] else "sent"] @ weight

    interventions: dict[str | Site, Intervention] = {place: send}
    for path, norm in norms.items():
        if norm is not None:
            interventions[Site(norm, "input")] = hear(path, model.get_submodule(norm))
    interventions |= {site: receive(*hearer) for site, hearer in hearers.items()}
    with intervene(model, interventions):
        yield model


def _listed(receiver: str | Iterable[str]) -> list[str]:
    return [receiver] if isinstance(receiver, str) else list(receiver)


def _shown(model: nn.Module, head: Head, receivers: list[Head], input: str) -> Site:
    """Where the receiver's input is."""
    part = _ROLES[input](head)
    sharing = [each.name for each in heads(model) if each.layer == head.layer and _ROLES[input](each) == part]
    if not set(sharing) <= {each.name for each in receivers}:
        raise InvalidArgument(
            "receiver",
            expected=f"all heads that share {input} with {head.name!r}",
            found=repr([each.name for each in receivers]),
            instead=repr(sharing),
        )
    if part.site is None:
        raise InvalidArgument(
            "receiver",
            expected=f"a head whose {input} a module shows, on its own",
            found=repr(head.name),
            instead="circuits.ablate(model, sender), which takes the sender from all that hear it",
        )
    return part.site


def _sending(model: nn.Module, sender: str, receivers: list[Head]) -> tuple[str, Callable[[Tensor], Tensor]]:
    """Where the sender is intervened on, and how its activation is added to the stream."""
    layer = sender[1:].partition(".")[0].partition("H")[0]
    known = sender == "embed" or (sender[:1] == "L" and layer.isdigit())
    if not known or any(sender != "embed" and int(layer) >= head.layer for head in receivers):
        first = min(head.layer for head in receivers)
        raise InvalidArgument(
            "sender",
            expected=f"a head, attention or MLP of a layer before {first}, or 'embed'",
            found=repr(sender),
            instead=f"'L{first - 1}.attn'" if first else "'embed'",
        )
    if sender == "embed" or "." in sender:
        return sender, lambda activation: activation
    output = head_named(model, sender, "sender").W_O
    return sender, lambda activation: activation @ output
