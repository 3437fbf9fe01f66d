"""The panels of the language study about circuits: composition, what heads say and serve, how large they write."""

import xarray as xr

from ontogeny.reports import (
    Choice,
    Column,
    Entry,
    Figure,
    Panel,
    Table,
    Tag,
    fig_composition_graph,
    fig_similarity,
    fig_tails,
    fig_trajectory_pca,
    graph_steps,
)
from ontogeny.reports.blocks import Block
from ontogeny.reports.style import step_text
from ontogeny.reports.wording import number
from ontogeny.studies.findings import Findings
from ontogeny.studies.language.circuit_curves import fig_circuits, fig_patterns


def circuit_panels(found: Findings) -> list[Panel]:
    """The panels of what was made of circuits."""
    stages = found.get("stages")
    panels = []
    if "circuits" in found:
        panels.append(circuit_panel(found["circuits"], stages))
    if "skip-trigrams" in found:
        panels.append(skip_trigram_panel(found["skip-trigrams"]))
    if "examples" in found and "circuits" in found:
        panels.append(multigram_panel(found["circuits"], found["examples"], stages))
    if "planted" in found:
        panels.append(planted_panel(found["planted"]))
    if "universality" in found:
        panels.append(universality_panel(found["universality"]))
    if "sizes" in found:
        panels.append(tail_panel(found["sizes"]))
    return panels


def circuit_panel(circuits: xr.Dataset, stages: xr.Dataset | None = None) -> Panel:
    """Composition between heads, and what each is worth on repeats, along training.

    Args:
        circuits: of `measurement.HeadCircuits`, along `step`.
        stages: whose boundaries are drawn behind.
    """
    caption = (
        "Composition is how much of what a later head reads through its queries, keys or values lies along what an "
        "earlier head writes, relative to heads turned at random (1, dotted). The pairs that are strongest at the end "
        "are named. Below, by how much the loss on the second half of repeated sequences rises if a head is set to "
        "zero: an induction head shows there, and so does the previous-token head that it reads."
    )
    alt = "Composition scores of pairs of heads, and effects of ablating heads, over training steps"
    graphs = {f"step {step_text(step)}": fig_composition_graph(circuits, step) for step in graph_steps(circuits)}
    drawn = (
        "Lines join a head with those that read it, the wider the further above chance; the 24 strongest are drawn. "
        "Point at a line for its score."
    )
    return Panel(
        "circuits",
        "How heads work together",
        [Figure(fig_circuits(circuits, stages), alt, caption), Choice(graphs, "Composition between heads", drawn)],
        "Circuits",
    )


def skip_trigram_panel(trigrams: xr.Dataset) -> Panel:
    """What the heads of the first layer say by themselves.

    Args:
        trigrams: `source`, `destination`, `output` (head, rank) as text, `score`, and the same as `bug_…` (head, bug).
    """
    rows = []
    for name in trigrams["head"].values:
        own = trigrams.sel(head=name)
        said = [_trigram(own, rank, "") for rank in range(own.sizes["rank"])]
        bugs = [_trigram(own, bug, "bug_") for bug in range(own.sizes["bug"]) if own["bug_output"].values[bug]]
        rows.append([str(name), Entry(said[0], said[1:]), Entry(bugs[0], bugs[1:]) if bugs else ""])
    caption = (
        "source … destination → output, with the score QK + OV of the weights alone, without positions and norms. A "
        "head that serves two skip-trigrams of one source must also say their crossings; the strongest are in the last "
        "column."
    )
    columns = [
        Column("Head", head=True),
        Column("It says most strongly", "wide"),
        Column("And must say besides", "wide"),
    ]
    table = Table(columns, rows, caption, "Skip-trigrams of the heads of the first layer", tall=True)
    return Panel("skip-trigrams", "Skip-trigrams of the first layer", [table], "Skip-trigrams")


def _trigram(own: xr.Dataset, place: int, prefix: str) -> str:
    source, destination, output = (str(own[prefix + end].values[place]) for end in ("source", "destination", "output"))
    return f"{source} … {destination} → {output}  ({number(float(own[prefix + 'score'].values[place]))})"


def multigram_panel(circuits: xr.Dataset, examples: xr.Dataset, stages: xr.Dataset | None = None) -> Panel:
    """How many patterns each layer knows by heart, along training, and tokens that single heads are needed for.

    Args:
        circuits: `pattern_multigrams` (step, head, kind).
        examples: over (head, rank), `before`, `token`, `kind` and `effect`.
        stages: whose boundaries are drawn behind.
    """
    caption = (
        "Different patterns (pairs of an earlier token and a token) among the tokens that lose half a nat or more "
        "without a head, summed over the heads of each layer. A token is sorted by the first rule that holds: repeat "
        "of an earlier pair (induction), closing delimiter, skip n-gram, n-gram."
    )
    blocks: list[Block] = [Figure(fig_patterns(circuits, stages), "Patterns of each kind over training", caption)]
    rows = []
    for name in examples["head"].values:
        own = examples.sel(head=name)
        texts = [
            f"{before}[{token}]  {kind}, +{number(effect)}"
            for before, token, kind, effect in zip(
                own["before"].values, own["token"].values, own["kind"].values, own["effect"].values, strict=True
            )
        ]
        rows.append([str(name), Entry(texts[0], texts[1:])])
    columns = [Column("Head", head=True), Column("Tokens that lose most without it", "wide")]
    told = "Held-out text; the token in brackets loses so many nats if the head is set to zero."
    blocks.append(Table(columns, rows, told, "Tokens most affected by ablating each head, in context", tall=True))
    return Panel("multigrams", "What heads know by heart", blocks, "Multigrams")


def planted_panel(planted: xr.Dataset) -> Panel:
    """Which head serves which planted mechanism, as read and in truth.

    Args:
        planted: over (part, kind), effects and errors, `read_…` and `true_…`.
    """
    rows = []
    for name in planted["part"].values:
        own = planted.sel(part=name)
        cells = [
            f"{number(float(own['read_effect'].sel(kind=kind)))} | {number(float(own['true_effect'].sel(kind=kind)))}"
            for kind in planted["kind"].values
        ]
        rows.append([str(name), *cells])
    caption = (
        "Rise of the loss of each kind of token without a head, beyond that of tokens of no kind, in nats: by patterns "
        "that anyone can count in the text | by the exact laws of the language."
    )
    columns = [Column("Head", head=True), *(Column(str(kind), "value") for kind in planted["kind"].values)]
    return Panel("planted", "Heads and planted mechanisms", [Table(columns, rows, caption)], "Planted")


def universality_panel(universality: xr.Dataset) -> Panel:
    """Heads of this network beside those of one with other initial weights.

    Args:
        universality: `cka` and `circuits` (network, twin), `partner` (network), `mean` and `control` (measure).
    """
    titles = {"cka": "Outputs of heads: debiased CKA", "circuits": "OV circuits from token to token: cosine"}
    partner = universality["partner"].values
    maps = {title: fig_similarity(universality[name], partner, title) for name, title in titles.items()}
    means = ", ".join(
        f"{measure} {mean:.2f} (over all pairs {control:.2f})"
        for measure, mean, control in zip(
            universality["measure"].values, universality["mean"].values, universality["control"].values, strict=True
        )
    )
    caption = (
        "Each head of this network (rows) against each of a network with other initial weights (columns), on the same "
        f"held-out text. Framed are the pairs of the best one-to-one matching by outputs. Mean over the pairs: {means}."
    )
    blocks = [Choice(maps, "Similarity of heads", caption, of="Measure", opened="first")]
    return Panel("universality", "The same heads in another network", blocks, "Another network")


def tail_panel(sizes: xr.Dataset) -> Panel:
    """Tails of the sizes of what heads write.

    Args:
        sizes: `size` (unit, sample), and over `unit` the `shape` of the tail, `low`, `high` and `best`.
    """
    caption = (
        "How often a head writes more than x, at one position of each of many held-out sequences. A straight line is "
        "an exponential tail. The heads that reach farthest are named."
    )
    rows = [
        [
            str(unit),
            float(shape),
            f"{low:.2f} to {high:.2f}",
            Tag(str(best), "good" if best == "exponential" else "plain", quiet=True),
        ]
        for unit, shape, low, high, best in zip(
            *(sizes[name].values for name in ("unit", "shape", "low", "high", "best")), strict=True
        )
    ]
    columns = [
        Column("Head", head=True),
        Column("Weibull shape", "number"),
        Column("95 %", "value"),
        Column("Best law"),
    ]
    told = (
        "Shape of the tail beyond the 90 % quantile: 1 is exponential, 2 falls as a Gaussian does. The best law has "
        "the least AIC."
    )
    table = Table(columns, rows, told, "Laws of the tails", tall=True)
    return Panel(
        "tails", "Tails of what heads write", [Figure(fig_tails(sizes["size"]), "Tails", caption), table], "Tails"
    )


def loss_plane_panel(pca: xr.Dataset, stages: xr.Dataset | None = None) -> Panel:
    """Principal components of single tokens' losses along training."""
    caption = (
        "As above, of the losses of single held-out tokens in place of the outputs (Olsson et al., 2209.11895): where "
        "the path turns, training begins to lower the loss of other tokens than before."
    )
    alt = "Principal components of the losses of single tokens along training, beside a Brownian null"
    figure = Figure(fig_trajectory_pca(pca, stages), alt, caption, height=420)
    return Panel("loss-plane", "Trajectory of single tokens' losses", [figure], "Token losses")
