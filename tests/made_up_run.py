"""A made-up run with the shape of a real one: two layers, eight heads, sixty checkpoints, two knees and a plateau."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from ontogeny.reports import (
    Page,
    Panel,
    TokenView,
    claims_panel,
    component_panels,
    insert_after,
    summary,
    susceptibility_panels,
    trajectory_panels,
    verdict,
)

CHAINS, DRAWS, WARMUP, POSITIONS, SEQUENCES = 2, 80, 40, 128, 24
DATASETS = ["mixed", "code", "prose"]
ORDERS = ["unigram", "bigram", "trigram"]
SCORES = ["previous_token", "current_token", "duplicate_token", "prefix_matching"]
SNIPPET = [
    *("def", " find", "(", "text", ",", " word", ")", ":\n", "    ", "for", " part", " in", " text"),
    *(".", "split", "(", ")", ":\n", "        ", "if", " part", " ==", " word", ":"),
]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rise(steps: np.ndarray, middle: float, width: float = 0.12) -> np.ndarray:
    """A step from 0 to 1 in the logarithm of the training step."""
    return sigmoid((np.log10(np.maximum(steps, 0.5)) - np.log10(middle)) / width)


def make_trajectory(seed: int = 0, layers: int = 2, heads: int = 8) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    steps = np.unique(np.concatenate([[0], np.geomspace(1, 6000, 66).round()])).astype(int)[:60]
    steps[-1] = 6000
    count, log_step = len(steps), np.log10(np.maximum(steps, 0.5))

    loss = 6.0 - 1.9 * rise(steps, 25, 0.28) - 1.0 * rise(steps, 160, 0.25) - 0.75 * rise(steps, 1500, 0.3)
    losses = np.stack([loss, loss - 0.25 * rise(steps, 300, 0.3), loss + 0.3 * rise(steps, 300, 0.3)], axis=1)
    losses += rng.normal(0, 0.012, losses.shape)

    llc = 12 + 28 * rise(steps, 40, 0.25) + 26 * rise(steps, 650, 0.14) + 9 * rise(steps, 2600, 0.18)
    llc = np.stack([llc, 0.9 * llc + 1, 1.07 * llc], axis=1)[:, None, :] + rng.normal(0, 0.7, (count, 1, 3))
    mcse = rng.uniform(0.25, 0.6, llc.shape)
    outcome = np.full(llc.shape, "converged", dtype=object)
    outcome[3, 0, 0], outcome[41, 0, 0], outcome[9, 0, 1] = "not_a_minimum", "not_converged", "diverged"
    llc[9, 0, 1] = np.nan
    mcse[41, 0, 0] = 2.1

    def chains(length: int) -> np.ndarray:
        noise = rng.normal(0, 1, (count, 1, 3, CHAINS, length))
        for k in range(1, length):
            noise[..., k] = 0.8 * noise[..., k - 1] + 0.6 * noise[..., k]
        return noise * 3.5

    warm = llc[..., None, None] * (1 - np.exp(-np.arange(WARMUP) / 9)) + chains(WARMUP)
    trace = llc[..., None, None] + chains(DRAWS)
    trace[41, 0, 0, 1] += np.linspace(0, 9, DRAWS)

    position = np.arange(POSITIONS)
    by_position = (
        losses[:, :, None]
        + 0.9 * np.exp(-position / 4)
        - 0.25 * rise(steps, 2500)[:, None, None] * (np.log1p(position) / np.log(POSITIONS))
    )
    icl = -0.05 - 0.05 * rise(steps, 100) - 0.14 * rise(steps, 2500)
    icl_by_sequence = icl[:, None] + rng.normal(0, 0.05, (count, SEQUENCES))
    ngram = np.stack(
        [
            6.4 - 1.1 * rise(steps, 12, 0.2) + 1.6 * rise(steps, 300, 0.3),
            6.5 - 3.1 * rise(steps, 80, 0.28) + 0.55 * rise(steps, 1100, 0.2),
            6.6 - 3.6 * rise(steps, 160, 0.32) + 0.28 * rise(steps, 2500, 0.15),
        ],
        axis=1,
    )
    ngram_by_sequence = ngram[..., None] + rng.normal(0, 0.15, (count, 3, SEQUENCES))

    final = rng.uniform(0.01, 0.09, (4, layers, heads))
    final[0, 0, 3], final[0, 0, 6] = 0.42, 0.2
    if layers > 1:
        final[3, 1, 2], final[3, 1, 5] = 0.21, 0.13
    middles = np.array([900.0, 60.0, 400.0, 2600.0])
    score = np.stack([final[s] * rise(steps, middles[s])[:, None, None] for s in range(4)], axis=1)
    score = score + rng.normal(0, 0.003, score.shape) + 0.01
    settings = {
        **{"nbeta": 30.0, "localization": 200.0, "step_size": 1e-3, "num_samples": 24576, "kernel": "SGLD"},
        **{"num_chains": CHAINS, "num_draws": DRAWS, "num_warmup": WARMUP, "batch_size": 16, "seed": 0, "paired": True},
    }
    return xr.Dataset(
        {
            "loss": (("step", "dataset"), losses),
            "loss_sem": (("step", "dataset"), np.full(losses.shape, 0.02)),
            "test_loss": (("step", "distribution"), losses + 0.02),
            "llc": (("step", "component", "dataset"), llc),
            "llc_mcse": (("step", "component", "dataset"), mcse),
            "llc_rhat": (("step", "component", "dataset"), 1 + rng.exponential(0.006, llc.shape)),
            "llc_ess": (("step", "component", "dataset"), rng.uniform(90, 160, llc.shape)),
            "llc_outcome": (("step", "component", "dataset"), outcome),
            "llc_trace": (("step", "component", "dataset", "chain", "draw"), trace),
            "llc_warmup_trace": (("step", "component", "dataset", "chain", "warmup_draw"), warm),
            "loss_by_position": (("step", "distribution", "position"), by_position),
            "icl_score": ("step", icl),
            "icl_by_sequence": (("step", "sequence"), icl_by_sequence),
            "ngram_cross_entropy": (("step", "order"), ngram),
            "ngram_by_sequence": (("step", "order", "ngram_sequence"), ngram_by_sequence),
            "ngram_entropy": (("step", "order"), np.tile([5.2, 3.35, 2.9], (count, 1))),
            "head_score": (("step", "score", "layer", "head"), score),
            "head_score_by_sequence": (
                ("step", "score", "layer", "head", "repeat"),
                score[..., None] + rng.normal(0, 0.01, (*score.shape, SEQUENCES)),
            ),
            "repeated_gain": ("step", -0.9 * rise(steps, 2500) + rng.normal(0, 0.01, count)),
            "outputs": (("step", "output"), np.outer(log_step, np.ones(5))),
        },
        coords={
            **{"step": steps, "component": ["all"], "dataset": DATASETS, "distribution": DATASETS},
            **{"position": position, "order": ORDERS, "score": SCORES},
        },
        attrs={"settings": json.dumps(settings), "model": "2-layer attention-only", "num_parameters": 412_000},
    )


def taken_apart(trajectory: xr.Dataset, seed: int = 2) -> xr.Dataset:
    """The same run with complexity and descent measured apart: descent is large early and exceeds complexity at first.

    Where it does, the outcome is `not_a_minimum`.
    """
    rng = np.random.default_rng(seed)
    complexity = trajectory.llc
    share = 1.6 * (1 - rise(trajectory.step.values, 12, 0.3)) + 0.02
    descent = complexity * xr.DataArray(share, dims="step") + rng.normal(0, 0.2, complexity.shape)
    error = trajectory.llc_mcse
    llc = complexity - descent
    outcome = xr.where((llc < 0) & (trajectory.llc_outcome == "converged"), "not_a_minimum", trajectory.llc_outcome)
    withheld = 0.05 + 0.25 * xr.DataArray(rise(trajectory.step.values, 500), dims="step") + 0 * complexity
    return trajectory.assign(
        llc=llc,
        llc_mcse=1.2 * error,
        llc_complexity=complexity,
        llc_complexity_mcse=error,
        llc_descent=descent,
        llc_descent_mcse=0.5 * error,
        llc_withheld=withheld.transpose(*complexity.dims),
        llc_withheld_mcse=0.02 + 0 * complexity,
        llc_gradients=200_000.0 + 0 * complexity,
        llc_outcome=outcome.transpose(*complexity.dims).astype(object),
    )


def make_choice(seed: int = 0) -> xr.Dataset:
    """Pilots at three checkpoints and six temperatures; one trial diverged."""
    rng = np.random.default_rng(seed)
    nbeta = np.geomspace(30, 3000, 6)
    rises = np.array([[20.0], [40.0], [70.0]])
    complexity = rises * (1 - np.exp(-nbeta / 200)) + rng.normal(0, 0.5, (3, 6))
    descent = np.array([[0.9], [0.15], [0.01]]) * complexity * (nbeta / 800) ** 0.7
    complexity[0, 5] = descent[0, 5] = np.nan
    return xr.Dataset(
        {
            "nbeta": ("trial", nbeta),
            "localization": ("trial", np.full(6, 10.0)),
            "complexity": (("pilot", "trial"), complexity),
            "descent": (("pilot", "trial"), descent),
            "rise": (("pilot", "trial"), complexity / nbeta),
        },
        coords={"pilot": [10, 400, 6000]},
        attrs={"loss_gain": 3.7, "nbeta": float(nbeta[2]), "localization": 10.0},
    )


def make_stages() -> xr.Dataset:
    grid = np.geomspace(1, 6000, 200)
    smooth = 12 + 28 * rise(grid, 40, 0.25) + 26 * rise(grid, 650, 0.14) + 9 * rise(grid, 2600, 0.18)
    slope = np.gradient(smooth, np.log10(grid))
    spread = 4 + 6 / (1 + np.arange(200) / 15)
    return xr.Dataset(
        {
            "boundary_step": ("boundary", np.array([9.0, 251.0, 1510.0])),
            "boundary_low": ("boundary", np.array([5.0, 214.0, 1320.0])),
            "boundary_high": ("boundary", np.array([15.0, 290.0, 1790.0])),
            "boundary_probability": ("boundary", np.array([0.71, 0.998, 0.93])),
            "boundary_kind": ("boundary", np.array(["plateau", "knee", "knee"])),
            "stage_start": ("stage", np.array([0, 9, 251, 1510])),
            "stage_end": ("stage", np.array([9, 251, 1510, 6000])),
            "stage_delta_llc": ("stage", np.array([-0.4, 27.1, 26.4, 9.2])),
            "stage_delta_llc_low": ("stage", np.array([-1.6, 25.2, 24.6, 7.7])),
            "stage_delta_llc_high": ("stage", np.array([0.9, 29.3, 28.1, 10.9])),
            "stage_delta_loss": ("stage", np.array([-0.31, -2.24, -0.62, -0.43])),
            "stage_type": ("stage", np.array(["B", "A", "A", "A"])),
            "grid_step": ("grid", grid),
            "llc_smooth": ("grid", smooth),
            "llc_smooth_sd": ("grid", np.full(200, 0.5) + 1.2 * np.exp(-np.arange(200) / 12)),
            "slope": ("grid", slope),
            "slope_low": ("grid", slope - spread),
            "slope_high": ("grid", slope + spread),
        }
    )


def make_pca(seed: int = 0, runs: tuple[str, ...] = ("seed 0",)) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    steps = make_trajectory().step.values
    parts, nulls, t = [], [], np.linspace(0, 1, len(steps))
    for _ in runs:
        u = np.log10(np.maximum(steps, 0.5))
        parts.append(np.stack([6 * rise(steps, 60, 0.3), 3 * np.exp(-((u - 2.3) ** 2) / 0.3), rise(steps, 2500)], 1))
        nulls.append(np.stack([4 * np.cos(np.pi * k * t + 0.05 * rng.normal()) / k for k in (1, 2, 3)], 1))
    score = np.concatenate(parts) + rng.normal(0, 0.05, (len(runs) * len(steps), 3))
    return xr.Dataset(
        {
            "score": (("point", "pc"), score),
            "explained_variance": ("pc", np.array([0.81, 0.12, 0.03])),
            "brownian_score": (("point", "pc"), np.concatenate(nulls)),
            "brownian_explained_variance": ("pc", np.array([0.61, 0.15, 0.07])),
        },
        coords={"trajectory": ("point", np.repeat(runs, len(steps))), "step": ("point", np.tile(steps, len(runs)))},
    )


def make_snippet(seed: int = 0) -> xr.Dataset:
    rng, count = np.random.default_rng(seed), len(SNIPPET)
    names = [f"L{layer}H{head}" for layer in range(2) for head in range(8)]
    names[3], names[10] = "L0H3 (previous token)", "L1H2 (induction)"
    raw = rng.gumbel(0, 1.5, (len(names), count, count))
    query, key = np.indices((count, count))
    raw[3] += 6 * (key == query - 1)
    copies = np.array([[k > 0 and SNIPPET[k - 1] == SNIPPET[q] for k in range(count)] for q in range(count)])
    raw[10] += 6 * copies
    raw = np.where(key <= query, raw, -np.inf)
    attention = np.exp(raw - raw.max(-1, keepdims=True))
    loss = rng.gamma(2.0, 1.1, count)
    loss[0] = np.nan
    return xr.Dataset(
        {
            "attention": (("component", "query", "key"), attention / attention.sum(-1, keepdims=True)),
            "token_loss": ("query", loss),
        },
        coords={"component": names, "token": ("query", SNIPPET), "key_token": ("key", SNIPPET)},
    )


CLAIMS = (
    {
        **{"id": "a1", "title": "The bigram solution is passed through", "source": "Hoogland et al. 2024, section 4"},
        **{"expectation": "cross-entropy against bigrams rises again by more than 0.1 nats", "measured": 0.5513},
        **{"interval": [0.4821, 0.6202], "unit": "nats", "control": "unigram order shuffled: 0.01 nats"},
        **{"p_value": 0.0002, "p_adjusted": 0.0010, "status": "held", "note": ""},
    },
    {
        **{"id": "b", "title": "Previous-token heads come before induction heads", "source": "Olsson et al. 2022"},
        **{"expectation": "half of its final score is reached earlier", "measured": 0.46, "interval": [0.31, 0.58]},
        **{"unit": "decades", "control": "layer-1 heads as previous-token heads: −0.03", "p_value": 0.012},
        **{"p_adjusted": 0.036, "status": "held", "note": "Over three seeds."},
    },
    {
        **{"id": "e", "title": "Stage boundaries are near behavioural changes", "source": "This study"},
        **{"expectation": "nearer than under circular shifts in log step", "measured": 0.21, "interval": [0.12, 0.35]},
        **{"unit": "decades", "control": "shifted boundaries: 0.24", "p_value": 0.31, "p_adjusted": 0.62},
        **{"status": "not held", "note": "Nearer, but not by more than chance allows."},
    },
    {
        **{"id": "d", "title": "One layer forms no induction head", "source": "Olsson et al. 2022", "measured": None},
        **{"expectation": "prefix matching stays below 0.05", "interval": None, "unit": "", "control": ""},
        **{"p_value": None, "p_adjusted": None, "status": "not tested", "note": "Needs the standard preset."},
    },
)

FACTS = {
    **{
        "Model": "attention-only, 2 layers, 8 heads, 412k parameters",
        "Data": "Python standard library, code and prose",
    },
    **{"Preset": "standard", "Seeds": "0, 1, 2", "Wall time": "36 min on 2 cores"},
    **{"Versions": "ontogeny 0.1.0, torch 2.13.0, Python 3.11.9"},
}


@dataclass(frozen=True)
class Content:
    """What a page of a run is made from, in the order of a study's report."""

    title: str
    trajectory: xr.Dataset
    stages: xr.Dataset | None = None
    pca: xr.Dataset | None = None
    claims: Sequence[Mapping[str, Any]] = ()
    snippet: xr.Dataset | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    controls: Mapping[str, xr.Dataset] = field(default_factory=dict)
    refined: xr.Dataset | None = None
    signatures: xr.Dataset | None = None
    susceptibility: xr.Dataset | None = None
    choice: xr.Dataset | None = None
    unstaged: str = ""

    def page(self) -> Page:
        panels = trajectory_panels(
            self.trajectory,
            stages=self.stages,
            unstaged=self.unstaged,
            pca=self.pca,
            controls=self.controls,
            choice=self.choice,
            parts=self.refined is not None,
        )
        panels = insert_after(panels, "stages", [claims_panel(self.claims)])
        parts: list[Panel] = []
        if self.refined is not None:
            parts += component_panels(self.refined, signatures=self.signatures, stages=self.stages)
        parts += susceptibility_panels(self.susceptibility) if self.susceptibility is not None else []
        panels = insert_after(panels, "refined", parts)
        if self.snippet is not None:
            attention = Panel("attention", "Attention on a snippet", [TokenView(self.snippet)], "Attention")
            panels = insert_after(panels, "trajectory", [attention])
        found = verdict(self.trajectory, self.stages, self.claims, self.unstaged, self.refined)
        return Page(self.title, found, self.facts, panels, self.command, summary(self.trajectory))


def full_content() -> Content:
    """A report with every panel of a trajectory."""
    return Content(
        title="A small language model learns Python",
        trajectory=make_trajectory(),
        stages=make_stages(),
        pca=make_pca(),
        claims=CLAIMS,
        snippet=make_snippet(),
        facts=FACTS,
        command="ontogeny study language --preset standard --seeds 3 --out runs/language",
        controls={"one layer": make_trajectory(seed=1, layers=1)},
    )
