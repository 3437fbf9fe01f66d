"""What errors of this room say to write instead."""

import sys

import pytest
from tests.advice import Mistake, follow, mistakes

from ontogeny.core.protocols import Silent
from ontogeny.execution import Job, Processes, Ray, Shard


def without_ray(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "ray", None)
    Ray().run([Job("a", lambda shared, progress: None)], Silent(), lambda *_: None)


# fmt: off
MISTAKES = (
    ("execution/jobs.py:Job.__post_init__", 'Job("a", lambda inputs, progress: 1, weight=0.0)', "weight",
     "weight=1.0", 'Job("a", lambda inputs, progress: 1, ADVICE)'),
    ("execution/processes.py:Processes.__post_init__", "Processes(0)", "num_workers", "num_workers=1",
     "Processes(ADVICE)"),
    ("execution/cluster.py:Ray.__post_init__", "Ray(retries=-1)", "retries", "retries=0", "Ray(ADVICE)"),
    ("execution/cluster.py:Ray._connected", "without_ray(patch)", "executor", "execution.Processes(2)",
     "(lambda execution: ADVICE)(__import__('ontogeny').execution)"),
    ("execution/cluster.py:Ray._connected", "without_ray(patch)", "executor", 'pip install "ontogeny[ray]"',
     "(patch.undo(), __import__('pytest').importorskip('ray'))"),
    ("execution/shards.py:Shard.__post_init__", "Shard(5, 4)", "shard", "Shard(1, 4)", "ADVICE"),
    ("execution/shards.py:Shard.of", "Shard.of('2 of 4')", "shard", '"1/4"', "Shard.of(ADVICE)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        follow(mistake, {**globals(), "patch": patch})
