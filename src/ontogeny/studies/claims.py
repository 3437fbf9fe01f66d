"""The claims of a study: each a test of what one seed found, and judged over all seeds."""

import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive
from ontogeny.studies.evidence import AT_PRESET, Claim, Evidence, Failed, Finding, NotTested, Test
from ontogeny.studies.findings import Findings, Unavailable, needed_and_found
from ontogeny.studies.judged import Judged, judge


class Claims:
    """The claims of a study, in order.

    Examples:
        >>> claims = Claims(source="Olsson et al., 2209.11895")
        >>> @claims.add("falls", "The loss falls", expects="by more than 1 nat", unit="nats", presets={"standard"})
        ... def _(found, config, rng):
        ...     loss = found["trajectory"]["loss"]
        ...     return Evidence(float(loss[0] - loss[-1]), met=bool(loss[0] - loss[-1] > 1))

    Args:
        source: papers that claims come from, where they name none of their own.
        presets: that are large enough for claims that name none of their own; default all.
    """

    def __init__(self, source: str = "", presets: Collection[str] | None = None) -> None:
        self._source, self._presets = source, presets
        self._claims: dict[str, Claim] = {}

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._claims.values())

    def add(
        self,
        id: str,
        title: str,
        *,
        expects: str,
        unit: str = "",
        source: str = "",
        presets: Collection[str] | None = None,
    ) -> Callable[[Test], Test]:
        """Decorates the test of a claim, `(found, config, rng) -> Evidence | NotTested`.

        Args:
            id: short and unique.
            title: the claim, as a sentence.
            expects: what must be measured for it to be met, fixed before the seeds that are reported.
            unit: of the effect.
            source: papers.
            presets: names of those that are large enough to show it; default those of all claims.
        """
        if id in self._claims:
            raise InvalidArgument("id", expected="an id of its own for each claim", found=f"{id!r} twice")

        def keep(test: Test) -> Test:
            self._claims[id] = Claim(id, title, expects, test, unit, source or self._source, presets or self._presets)
            return test

        return keep

    def test(self, found: Findings, config: Any) -> dict[str, Finding]:
        """What one seed says of each claim. A test that raises costs its own claim and no other.

        Every test has random numbers of its own, from the seed and the id of its claim.
        """
        return {claim.id: _tested(claim, found, config) for claim in self}

    def judge(
        self, by_seed: Mapping[int, Mapping[str, Finding]], alpha: float = 0.05, caution: str = ""
    ) -> list[Judged]:
        """Every claim over all seeds.

        Args:
            by_seed: seed -> what it says of each claim, as `test` gives it.
            alpha: level of the corrected test.
            caution: what must be known to read any claim that was tested.
        """
        judged = judge(list(self), by_seed, alpha)
        return [replace(each, caution="" if each.status == "not tested" else caution) for each in judged]


def _tested(claim: Claim, found: Findings, config: Any) -> Finding:
    if not claim.tested_at(config.preset, config.tested):
        return AT_PRESET
    try:
        finding: Any = claim.test(found, config, np.random.default_rng(derive(config.seed, "claims", claim.id)))
    except Unavailable as error:
        return NotTested(str(error))
    except InvalidArgument as error:
        return NotTested(needed_and_found(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Failed(f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})")
    if isinstance(finding, (Evidence, NotTested, Failed)):
        return finding
    return Failed(f"its test returned {type(finding).__name__}, not Evidence or NotTested")
