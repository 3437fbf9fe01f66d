"""An independent library agrees on h, C, E and χ of five processes; optional, since `pip install sofic` brings much."""

import pytest

from ontogeny import compmech as cm

CASES = [
    ("GoldenMean", "golden_mean", {}),
    ("Even", "even", {}),
    ("RIP", "random_insertion", {}),
    ("Nemo", "nemo", {}),
    ("RRX", "rrxor", {}),
    ("GoldenMean", "golden_mean", {"p": 0.3}),
]


@pytest.mark.parametrize(("theirs", "ours", "parameters"), CASES, ids=[f"{ours} {given}" for _, ours, given in CASES])
def test_an_independent_library_agrees(theirs: str, ours: str, parameters: dict[str, float]) -> None:
    pytest.importorskip("sofic")
    from sofic.examples import processes

    machine = getattr(processes, theirs)(*parameters.values())
    process = cm.process(ours, **parameters)
    for measure in (cm.entropy_rate, cm.statistical_complexity, cm.excess_entropy, cm.crypticity):
        other = getattr(machine, measure.__name__)
        assert float(measure(process)) == pytest.approx(float(other() if callable(other) else other), abs=1e-6)
