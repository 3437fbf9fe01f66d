"""Losses of the outputs and batches that networks have: tuples, outputs of transformers, dicts, positions left out."""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import cross_entropy, logits_of, mse, next_token, per_sample

LOGITS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 3, 1, 2, 2])
TOKENS = torch.randint(4, (5, 6), generator=torch.Generator().manual_seed(1))
MASK = (torch.arange(6) < torch.tensor([6, 5, 4, 3, 2])[:, None]).long()


@dataclass
class Output:
    logits: Tensor


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        Output(LOGITS),
        SimpleNamespace(logits=LOGITS),
        transformers.modeling_outputs.SequenceClassifierOutput(logits=LOGITS),
        {"loss": torch.tensor(1.0), "logits": LOGITS},
        (LOGITS, torch.tensor(1.0)),
        (LOGITS, None),
        (torch.tensor(1.0), LOGITS, (LOGITS,)),
        [LOGITS, LOGITS + 1],
    ],
)
def test_logits_are_found_in_what_networks_return(output: Any) -> None:
    assert logits_of(output) is LOGITS
    torch.testing.assert_close(
        cross_entropy(lambda inputs: output, (LOGITS, LABELS)), -LOGITS.log_softmax(1)[torch.arange(5), LABELS]
    )


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (None, "NoneType"),
        ((None, "text"), "a tuple of NoneType, str"),
        ({"hidden": LOGITS}, "dict of 'hidden'"),
        (transformers.modeling_outputs.BaseModelOutput(last_hidden_state=LOGITS), "BaseModelOutput of 'last_hidden"),
        (LABELS, r"Tensor \(5,\) of torch.int64"),
    ],
)
def test_an_output_without_logits_is_named(output: Any, found: str) -> None:
    with pytest.raises(InvalidArgument, match=f"`model`: expected .* found {found}"):
        cross_entropy(lambda inputs: output, (LOGITS, LABELS))


class Tagger(nn.Module):
    """Logits (batch, position, 4), or with the classes second as of an image."""

    def __init__(self, second: bool = False) -> None:
        super().__init__()
        self.table, self.second = nn.Embedding(4, 4), second

    def forward(self, tokens: Tensor) -> Tensor:
        found = self.table(tokens)
        return found.movedim(-1, 1) if self.second else found


def masked_means(logits: Tensor, labels: Tensor) -> Tensor:
    """The means over what counts, one sample after another."""
    losses = []
    for row, wanted in zip(logits, labels, strict=True):
        kept = wanted != -100
        losses.append(-row[kept].log_softmax(-1).gather(-1, wanted[kept][:, None]).mean())
    return torch.stack(losses)


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("wrap", [lambda x, y: (x, y), lambda x, y: {"input_ids": x, "labels": y}])
def test_positions_that_do_not_count_are_left_out_of_the_mean(second: bool, wrap: Any) -> None:
    model, labels = Tagger(second), TOKENS.flip(1).masked_fill(MASK == 0, -100)
    found = cross_entropy(model, wrap(TOKENS, labels))
    torch.testing.assert_close(found, masked_means(model.table(TOKENS), labels))
    gradient = torch.autograd.grad(found.sum(), model.table.weight)[0]
    assert gradient.isfinite().all()
    whole = cross_entropy(model, wrap(TOKENS, TOKENS))
    torch.testing.assert_close(
        whole, F.cross_entropy(model(TOKENS) if second else model(TOKENS).mT, TOKENS, reduction="none").mean(1)
    )


def test_segmented_images() -> None:
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    labels[0, :3] = -100
    found = cross_entropy(nn.Identity(), (logits, labels))
    wanted = [
        F.cross_entropy(row[None], label[None], ignore_index=-100) for row, label in zip(logits, labels, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(wanted))


@pytest.mark.parametrize("with_labels", [True, False])
def test_next_tokens_that_do_not_count_are_left_out_of_the_mean(with_labels: bool) -> None:
    model, labels = Tagger(), TOKENS.masked_fill(MASK == 0, -100)
    batch = {"input_ids": TOKENS, "attention_mask": MASK} | ({"labels": labels} if with_labels else {})
    torch.testing.assert_close(next_token(model, batch), masked_means(model(TOKENS)[:, :-1], labels[:, 1:]))
    torch.testing.assert_close(next_token(model, {"input_ids": TOKENS}), next_token(model, TOKENS))


def test_padding_on_the_left_does_not_count_either() -> None:
    model, mask = Tagger(), MASK.flip(1)
    labels = TOKENS.masked_fill(mask == 0, -100)
    labels[torch.arange(5), mask.argmax(1)] = -100  # the first token of each has nothing before it
    found = next_token(model, {"input_ids": TOKENS, "attention_mask": mask})
    torch.testing.assert_close(found, masked_means(model(TOKENS)[:, :-1], labels[:, 1:]))


def test_chains_in_one_pass_have_the_losses_and_gradients_of_one_by_one() -> None:
    model, labels = Tagger(), TOKENS.masked_fill(MASK == 0, -100)
    batch = {"input_ids": TOKENS, "labels": labels}
    several = torch.stack([model.table.weight.detach() * scale for scale in (1.0, 2.0)])

    for loss_fn in (next_token, cross_entropy):

        def loss(weight: Tensor, given: dict[str, Tensor], loss_fn: Any = loss_fn) -> Tensor:
            def called(input_ids: Tensor) -> Tensor:
                return functional_call(model, {"table.weight": weight}, (input_ids,))

            return loss_fn(called, given).mean()

        wanted = torch.stack([grad(loss)(each, batch) for each in several])
        torch.testing.assert_close(vmap(grad(loss), in_dims=(0, None))(several, batch), wanted)
        apart = {name: torch.stack([each, each]) for name, each in batch.items()}
        torch.testing.assert_close(vmap(grad(loss))(several, apart), wanted)


@pytest.mark.parametrize("loss_fn", [cross_entropy, next_token])
def test_a_sample_in_which_nothing_counts_is_named(loss_fn: Any) -> None:
    labels = TOKENS.clone()
    labels[3] = -100
    with pytest.raises(InvalidArgument, match="a sample whose labels are all -100"):
        loss_fn(Tagger(), {"input_ids": TOKENS, "labels": labels})


def test_models_of_transformers_are_called_by_name() -> None:
    common = {
        "vocab_size": 4,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    config = transformers.BertConfig(**common, id2label={0: "a", 1: "b", 2: "c"})
    extra = {"special_tokens_mask": 1 - MASK, "length": MASK.sum(1)}  # what tokenizers return besides
    inputs = {"input_ids": TOKENS, "attention_mask": MASK}
    classifier = transformers.BertForSequenceClassification(config).eval()
    labels = torch.tensor([0, 1, 2, 0, 1])
    wanted = torch.stack(
        [classifier(**{k: v[i : i + 1] for k, v in inputs.items()}, labels=labels[i : i + 1]).loss for i in range(5)]
    )
    for name in ("labels", "label"):
        torch.testing.assert_close(cross_entropy(classifier, inputs | extra | {name: labels}), wanted)
    torch.testing.assert_close(cross_entropy(classifier, (inputs, labels)), wanted)
    tagger = transformers.BertForTokenClassification(config).eval()
    tags = (TOKENS % 3).masked_fill(MASK == 0, -100)
    wanted = [tagger(**{k: v[i : i + 1] for k, v in inputs.items()}, labels=tags[i : i + 1]).loss for i in range(5)]
    torch.testing.assert_close(cross_entropy(tagger, inputs | {"labels": tags}), torch.stack(wanted))


def test_an_encoder_decoder_makes_its_inputs_of_the_labels() -> None:
    config = transformers.T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    config.decoder_start_token_id = 0
    model = transformers.T5ForConditionalGeneration(config).eval()
    labels = (TOKENS + 2).masked_fill(MASK == 0, -100)
    inputs = {"input_ids": TOKENS + 1, "attention_mask": MASK}
    wanted = [model(**{k: v[i : i + 1] for k, v in inputs.items()}, labels=labels[i : i + 1]).loss for i in range(5)]
    torch.testing.assert_close(cross_entropy(model, inputs | {"labels": labels}), torch.stack(wanted))


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class Named(Wrapper):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.inner(input_ids)


class Masked(nn.Module):
    """Names its tokens as it likes, and the mask as transformers does."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 4)

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        return self.table(x) * attention_mask[..., None]


def test_models_are_given_what_they_name_and_else_the_tokens() -> None:
    batch = {"input_ids": TOKENS, "attention_mask": MASK}
    model = Tagger()
    torch.testing.assert_close(next_token(nn.Sequential(model), batch), next_token(model, batch))
    torch.testing.assert_close(next_token(Wrapper(Named(model)), batch), next_token(model, batch))
    masked = Masked()
    logits = masked.table(TOKENS) * MASK[..., None]
    torch.testing.assert_close(
        next_token(masked, batch), masked_means(logits[:, :-1], TOKENS.masked_fill(MASK == 0, -100)[:, 1:])
    )
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    linear = nn.Linear(3, 2)
    for data in ({"x": x, "labels": y}, {"input": x, "labels": y}):
        torch.testing.assert_close(mse(linear, data), mse(linear, (x, y)))
    with pytest.raises(InvalidArgument, match="`batch`: expected the inputs that Linear takes: input, found 'x', 'z'"):
        mse(linear, {"x": x, "z": x, "labels": y})


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_inputs_of_another_precision_are_cast_to_that_of_the_weights(dtype: torch.dtype) -> None:
    model, x, y = nn.Linear(3, 2), torch.randn(5, 3).bfloat16().float(), torch.randn(5, 2).bfloat16().float()
    torch.testing.assert_close(mse(model, (x.to(dtype), y.to(dtype))).float(), mse(model, (x, y)))


X, COLUMN = torch.zeros(5, 3), torch.zeros(5, 1)
WRONG: dict[str, tuple[Any, nn.Module, Any, str, str, Any]] = {
    "flat targets": (
        mse,
        nn.Linear(3, 1),
        (X, COLUMN[:, 0]),
        "targets of the shape",
        "targets[..., None]",
        (X, COLUMN),
    ),
    "flat outputs": (
        *(mse, nn.Flatten(0), (COLUMN, COLUMN), "targets of the shape", "targets.squeeze(-1)"),
        (COLUMN, COLUMN[:, 0]),
    ),
    "other outputs": (mse, nn.Linear(3, 2), (X, COLUMN), "found (5, 1)", "of the shape of the outputs", (X, X[:, :2])),
    "labels that are fractions": (
        *(cross_entropy, nn.Linear(3, 4), (X, LABELS.float()), "whole numbers", "labels.long()"),
        (X, LABELS),
    ),
    "labels in a column": (
        *(cross_entropy, nn.Linear(3, 4), (X, LABELS[:, None]), "found (5, 1)", "labels.squeeze(-1)"),
        (X, LABELS),
    ),
    "a class too many": (cross_entropy, nn.Linear(3, 3), (X, LABELS), "from 0 to 2", "a logit for each class", None),
    "a class that is left out": (
        *(cross_entropy, nn.Linear(3, 4), (X, LABELS.where(LABELS > 0, -100)), "found -100", "removed from the data"),
        None,
    ),
    "one class": (cross_entropy, nn.Linear(3, 1), (X, LABELS * 0), "two classes or more", "with_logits", None),
    "classes or positions": (
        *(cross_entropy, Tagger(), (TOKENS[:, :4], TOKENS[:, :4]), "differs from the number of positions", "'labels'"),
        {"input_ids": TOKENS[:, :4], "labels": TOKENS[:, :4]},
    ),
    "tokens of one position": (next_token, Tagger(), TOKENS[:, :1], "context ≥ 2", "", TOKENS[:, :2]),
    "tokens that are fractions": (next_token, Tagger(), TOKENS.float(), "of torch.float32", "tokens.long()", TOKENS),
    "tokens and what follows": (
        *(next_token, Tagger(), (TOKENS[:, :-1], TOKENS[:, 1:]), "a tuple of Tensor, Tensor", "cross_entropy"),
        None,
    ),
    "labels of samples": (
        *(next_token, Tagger(), {"input_ids": TOKENS, "labels": LABELS}, "labels Tensor (5,)", "cross_entropy"),
        None,
    ),
    "a token outside of the vocabulary": (
        *(next_token, nn.Sequential(nn.Embedding(9, 3)), TOKENS + 2, "from 0 to 2", "a logit for each class"),
        TOKENS.clamp(max=2),
    ),
    "logits of one position": (
        *(next_token, nn.Sequential(Tagger(), nn.AdaptiveAvgPool2d((1, 4))), TOKENS, "found (5, 1, 4)", "logits_of"),
        None,
    ),
    "a dict without labels": (mse, nn.Linear(3, 1), {"x": X, "y": COLUMN}, "'labels'", "", {"x": X, "labels": COLUMN}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_by_name_and_the_advice_works(case: str) -> None:
    loss_fn, model, batch, said, instead, right = WRONG[case]
    with pytest.raises(InvalidArgument) as caught:
        loss_fn(model, batch)
    assert said in str(caught.value)
    assert instead in caught.value.instead
    if right is not None:
        assert loss_fn(model, right).isfinite().all()


def test_losses_that_are_no_numbers_with_a_gradient_are_refused() -> None:
    for losses, found in ((torch.ones(5).long(), "losses of torch.int64"), (torch.ones(5, 0), r"\(5, 0\)")):
        with pytest.raises(InvalidArgument, match=f"`loss_fn`.*found {found}"):
            per_sample(lambda model, batch, given=losses: given, None, None, 5)


def test_probabilities_are_labels_too() -> None:
    probabilities = LOGITS.flip(0).softmax(1)
    found = cross_entropy(nn.Identity(), (LOGITS, probabilities.double()))
    torch.testing.assert_close(found, -(probabilities * LOGITS.log_softmax(1)).sum(1))
    torch.testing.assert_close(
        og.losses.cross_entropy(nn.Identity(), (LOGITS * 0, LABELS)), torch.full((5,), math.log(4))
    )
