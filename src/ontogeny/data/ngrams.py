"""The n-gram laws of a text: what the simplest predictors of its next token would say."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from scipy import sparse
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.data.tokenizer import END_OF_TEXT_ID


@dataclass(frozen=True)
class _Order:
    """Smoothed counts of one order: a row for each history seen, sorted, and an empty row for all others."""

    histories: Int64[np.ndarray, " history"]
    discounted: sparse.csr_array  # (history + 1, vocabulary): count(h, c) / (count(h) + distinct(h))
    backoff: Float32[np.ndarray, " row"]  # distinct(h) / (count(h) + distinct(h)); 1 for the empty row

    @classmethod
    def fit(cls, ngrams: Int64[np.ndarray, " ngram"], vocabulary_size: int) -> "_Order":
        """`ngrams`: history * vocabulary_size + next token, for every place in the text."""
        distinct, counts = np.unique(ngrams, return_counts=True)
        histories, starts = np.unique(distinct // vocabulary_size, return_index=True)
        num_distinct = np.diff(starts, append=len(distinct))
        total = np.add.reduceat(counts, starts) + num_distinct
        weights = (counts / np.repeat(total, num_distinct)).astype(np.float32)
        rows = np.append(starts, [len(distinct), len(distinct)])
        table = sparse.csr_array((weights, distinct % vocabulary_size, rows), (len(histories) + 1, vocabulary_size))
        return cls(histories, table, np.append(num_distinct / total, 1).astype(np.float32))

    def law(
        self,
        history: Int64[np.ndarray, "sequence place"],
        lower: Float32[np.ndarray, "..."],
    ) -> Float32[np.ndarray, "sequence place vocabulary"]:
        """The law of the next token after each history, given the law of the next lower order."""
        flat = history.ravel()
        row = np.searchsorted(self.histories, flat)
        seen = row < len(self.histories)
        seen[seen] = self.histories[row[seen]] == flat[seen]
        row = np.where(seen, row, len(self.histories))
        counted = sparse.csr_array(self.discounted[row]).toarray().reshape(*history.shape, lower.shape[-1])
        return counted + self.backoff[row].reshape(*history.shape, 1) * lower


@dataclass(frozen=True)
class NgramTables:
    """Unigram, bigram and trigram conditionals of training sequences, interpolated by Witten and Bell's rule.

        P1(c) = count(c) / count()
        P2(c | b) = [count(b c) + distinct(b) P1(c)] / [count(b) + distinct(b)]
        P3(c | a b) = [count(a b c) + distinct(a b) P2(c | b)] / [count(a b) + distinct(a b)]

    where count(h) is how often the history h is followed by anything within a sequence, and distinct(h) by how many
    different tokens. After a history that never occurred, the law is that of the next lower order. Only what occurs is
    stored: memory grows with the number of different trigrams, not with the cube of the vocabulary.

    A token that never occurs has probability 0 in every order, so take cross-entropies from these laws and not to them.
    On the sequences that they were fitted to, the trigram laws are partly memory: use held-out ones.
    """

    unigram: Float32[Tensor, " vocabulary"]
    after_one: _Order
    after_two: _Order

    @classmethod
    def fit(cls, tokens: Int[Tensor, "sequence position"], vocabulary_size: int) -> "NgramTables":
        """Count the n-grams of training sequences; no n-gram crosses from one sequence to the next.

        Args:
            tokens: token ids of the training sequences, at least three positions long.
            vocabulary_size: number of tokens that there are.

        Raises:
            InvalidArgument: for sequences that are too short, or ids outside the vocabulary.
        """
        ids = _ids("tokens", tokens, vocabulary_size, shortest=3)
        counts = np.bincount(ids.ravel(), minlength=vocabulary_size)
        pairs = ids[:, :-1] * vocabulary_size + ids[:, 1:]
        triples = pairs[:, :-1] * vocabulary_size + ids[:, 2:]
        return cls(
            torch.from_numpy((counts / counts.sum()).astype(np.float32)),
            _Order.fit(pairs.ravel(), vocabulary_size),
            _Order.fit(triples.ravel(), vocabulary_size),
        )

    def conditionals(
        self, contexts: Int[Tensor, "sequence position"]
    ) -> dict[str, Float32[Tensor, "sequence predicted vocabulary"]]:
        """The law of token t + 1 given the last 0, 1 or 2 tokens, at every position t but the last.

        Args:
            contexts: token ids (N, T), held-out ones for an honest trigram law.

        Returns:
            "unigram", "bigram" and "trigram", each (N, T - 1, vocabulary), on the CPU, of 4 N T V bytes. At the
            first position, where there is one token before, the trigram law is the bigram law.

        Raises:
            InvalidArgument: for sequences of less than two tokens, or ids outside the vocabulary.
        """
        vocabulary_size = len(self.unigram)
        ids = _ids("contexts", contexts, vocabulary_size, shortest=2)
        last = ids[:, :-1]
        bigram = self.after_one.law(last, self.unigram.numpy())
        after_two = self.after_two.law(last[:, :-1] * vocabulary_size + last[:, 1:], bigram[:, 1:])
        return {
            "unigram": self.unigram.expand(bigram.shape),
            "bigram": torch.from_numpy(bigram),
            "trigram": torch.from_numpy(np.concatenate([bigram[:, :1], after_two], axis=1)),
        }


def _ids(
    argument: str, tokens: Int[Tensor, "sequence position"], vocabulary_size: int, shortest: int
) -> Int64[np.ndarray, "sequence position"]:
    ids = tokens.cpu().numpy().astype(np.int64)
    if ids.shape[0] == 0 or ids.shape[1] < shortest:
        raise InvalidArgument(
            argument, expected=f"sequences of at least {shortest} tokens", found=f"shape {tuple(tokens.shape)}"
        )
    if ids.min() < 0 or ids.max() >= vocabulary_size:
        raise InvalidArgument(
            argument,
            expected=f"ids from 0 to {vocabulary_size - 1}",
            found=f"ids from {ids.min()} to {ids.max()}",
            instead="the ids and the vocabulary_size of one tokenizer",
        )
    return ids


def cross_entropy(
    log_probs: Float[Tensor, "sequence predicted vocabulary"],
    conditionals: Float[Tensor, "sequence predicted vocabulary"],
) -> Float[Tensor, "sequence predicted"]:
    """-sum_c q(c) log p(c) in nats at every position: how far the model's law p is from the n-gram law q.

    It is smallest, and then the entropy of q, where the model says exactly what the n-gram law says. A token with
    q(c) = 0 counts nothing; p(c) = 0 where q(c) > 0 gives infinity.
    """
    return -(conditionals * log_probs).masked_fill(conditionals == 0, 0.0).sum(-1)


def entropies(conditionals: dict[str, Float[Tensor, "sequence predicted vocabulary"]]) -> dict[str, float]:
    """Mean entropy in nats of each order's law over the given contexts: the least that `cross_entropy` can be."""
    return {order: torch.special.entr(law).sum(-1).mean().item() for order, law in conditionals.items()}


def random_repeats(
    unigram: Float[Tensor, " vocabulary"], num_sequences: int, context_length: int, generator: torch.Generator
) -> Int64[Tensor, "sequence position"]:
    """Sequences of random tokens whose second half repeats the first: only copying can predict it.

    Tokens are drawn independently from the text's own unigram law without `<|endoftext|>`. Uniformly drawn ones are so
    far from the text that a model trained on it hardly shows induction on them.

    Args:
        unigram: law of the tokens, as `NgramTables.unigram`.
        num_sequences: number of sequences.
        context_length: their length, an even number.
        generator: source of randomness.

    Raises:
        InvalidArgument: for an odd length, and for a law without a token to draw.
    """
    if context_length < 2 or context_length % 2:
        raise InvalidArgument(
            "context_length", expected="an even number", found=str(context_length), instead=str(context_length + 1)
        )
    law = unigram.clone()
    law[END_OF_TEXT_ID] = 0
    if not law.sum() > 0:
        raise InvalidArgument("unigram", expected="a law with tokens besides <|endoftext|>", found="none")
    half = torch.multinomial(law.expand(num_sequences, -1), context_length // 2, replacement=True, generator=generator)
    return torch.cat([half, half], dim=1)
