"""What errors of this room say to write instead."""

from typing import Any

import pytest
import torch
from tests.advice import Mistake, follow, mistakes

from ontogeny.testing import cases
from ontogeny.testing.aoyagi import backdoor, deep_linear, reduced_rank, two_layer_local
from ontogeny.testing.cases import CASES, Case
from ontogeny.testing.classification import SoftmaxRegression, perceptron
from ontogeny.testing.curvature import FlatLoss, hessian_rank
from ontogeny.testing.induction import InductionTransformer
from ontogeny.testing.linear_networks import DeepLinear
from ontogeny.testing.lookup_tables import table_coefficients
from ontogeny.testing.polynomials import LineAndDot
from ontogeny.testing.superposition import Superposition
from ontogeny.testing.targets import Gaussian, NormalCrossing


def rank(*curvatures: float) -> int:
    target = Gaussian(curvatures)
    return hessian_rank(FlatLoss(target.model(), torch.zeros(1, 1), target.loss))


ROW, LABEL = torch.tensor([[1.0, 0.0]]), torch.tensor([0])


# fmt: off
MISTAKES = (
    ("testing/aoyagi.py:backdoor", "backdoor((6, 2, 3), 1, -1)", "near_triggers", "near_triggers=0",
     "backdoor((6, 2, 3), 1, ADVICE)"),
    ("testing/aoyagi.py:deep_linear", "deep_linear((5,), 1)", "widths", "(5, 10, 5)", "deep_linear(ADVICE, 1)"),
    ("testing/aoyagi.py:two_layer_local", "two_layer_local((3, 4, 3), (2, 2), 3)", "product_rank",
     "the rank of the product of the two matrices", "two_layer_local((3, 4, 3), (2, 2), 2)"),
    ("testing/aoyagi.py:_check_rank", "reduced_rank(3, 2, 3, rank=3)", "rank", "rank ≤ 2",
     "reduced_rank(3, 2, 3, rank=2)"),
    ("testing/cases.py:Case.reference", "case('unknown').reference", "case",
     "python -m ontogeny.testing.reference unknown", "case('unknown', made=True).reference"),
    ("testing/classification.py:perceptron", "perceptron((5, 3), 'relu', torch.Generator())", "widths", "(5, 20, 3)",
     "perceptron(ADVICE, 'relu', torch.Generator())"),
    ("testing/classification.py:_no_minimum", "SoftmaxRegression(30, 3, 40, signal=4.0).model()", "target",
     "more samples", "SoftmaxRegression(30, 3, 4000, signal=4.0).model()"),
    ("testing/curvature.py:hessian_rank", "rank(1.0, 1e-9)", "target", "one without nearly flat directions",
     "rank(1.0, 0.0) == 1"),
    ("testing/induction.py:InductionTransformer.__post_init__", "InductionTransformer(num_heads=2)", "num_heads",
     "num_heads=3", "InductionTransformer(ADVICE).model()"),
    ("testing/lookup_tables.py:table_coefficients", "table_coefficients(ROW, LABEL, 1.0, localization=0)",
     "localization", "localization=1.0", "table_coefficients(ROW, LABEL, 1.0, ADVICE)"),
    ("testing/linear_networks.py:DeepLinear.__post_init__", "DeepLinear((5,))", "widths", "(5, 7)",
     "DeepLinear(ADVICE)"),
    ("testing/linear_networks.py:DeepLinear.__post_init__#2", "DeepLinear((5, 7), rank=6)", "rank", "rank=None",
     "DeepLinear((5, 7), ADVICE)"),
    ("testing/linear_networks.py:DeepLinear.coefficient", "DeepLinear((3, 3, 3, 3), rank=(1, 2, 2)).coefficient",
     "rank", "rank=1", "DeepLinear((3, 3, 3, 3), ADVICE).coefficient"),
    ("testing/linear_networks.py:DeepLinear.coefficient", "DeepLinear((3, 3, 3, 3), rank=(1, 2, 2)).coefficient",
     "rank", "rank=None", "DeepLinear((3, 3, 3, 3), ADVICE).coefficient"),
    ("testing/polynomials.py:LineAndDot.__post_init__", "LineAndDot(center=(2.0, 0.0))", "center",
     "center=(1.0, 0.3)", "LineAndDot(ADVICE)"),
    ("testing/superposition.py:Superposition.__post_init__", "Superposition(hidden=1)", "hidden, corners",
     "hidden=2, corners=6", "Superposition(ADVICE)"),
    ("testing/targets.py:NormalCrossing.__post_init__", "NormalCrossing((0, 0))", "exponents", "(1, 2)",
     "NormalCrossing(ADVICE)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    def case(name: str, made: bool = False) -> Case:
        found = Case(name, CASES[0].make, "regular", "regression", 100, 1000)
        if made:  # as the command does, which takes minutes
            stored = cases.stored_references() | {name: next(iter(cases.stored_references().values()))}
            monkeypatch.setattr(cases, "stored_references", lambda: stored)
        return found

    follow(mistake, globals() | {"case": case})
