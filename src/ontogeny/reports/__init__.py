"""Figure style, figures, panels and the HTML page, drawn from labelled data alone."""

from ontogeny.reports.behaviour import fig_behaviour, fig_head_scores
from ontogeny.reports.blocks import (
    Choice,
    Column,
    Entry,
    Facts,
    Figure,
    Heading,
    Panel,
    Prose,
    Sentence,
    Table,
    Tag,
    TokenView,
)
from ontogeny.reports.choice import fig_choice
from ontogeny.reports.claims import claims_panel
from ontogeny.reports.component_curves import fig_component_curves
from ontogeny.reports.component_map import fig_component_map
from ontogeny.reports.components import component_panels, susceptibility_panels
from ontogeny.reports.composition_graph import fig_composition_graph, graph_steps
from ontogeny.reports.diagnostics import fig_traces
from ontogeny.reports.head_map import fig_head_map
from ontogeny.reports.headlines import summary, verdict
from ontogeny.reports.learning_curves import fig_loss_and_llc, fig_refined_llc, fig_slope
from ontogeny.reports.page import Page, insert_after
from ontogeny.reports.paper import save_for_paper, to_matplotlib
from ontogeny.reports.rendering import write_page
from ontogeny.reports.sampler_figures import fig_calibration
from ontogeny.reports.similarity_map import fig_similarity
from ontogeny.reports.susceptibility_map import fig_susceptibility
from ontogeny.reports.tail_curves import fig_tails
from ontogeny.reports.token_plane import fig_token_susceptibility
from ontogeny.reports.trajectory import trajectory_panels
from ontogeny.reports.trajectory_plane import fig_trajectory_pca
from ontogeny.reports.wording import literal

__all__ = [
    "Choice",
    "Column",
    "Entry",
    "Facts",
    "Figure",
    "Heading",
    "Page",
    "Panel",
    "Prose",
    "Sentence",
    "Table",
    "Tag",
    "TokenView",
    "claims_panel",
    "component_panels",
    "fig_behaviour",
    "fig_calibration",
    "fig_choice",
    "fig_component_curves",
    "fig_component_map",
    "fig_composition_graph",
    "fig_head_map",
    "fig_head_scores",
    "fig_loss_and_llc",
    "fig_refined_llc",
    "fig_similarity",
    "fig_slope",
    "fig_susceptibility",
    "fig_tails",
    "fig_token_susceptibility",
    "fig_traces",
    "fig_trajectory_pca",
    "graph_steps",
    "insert_after",
    "literal",
    "save_for_paper",
    "summary",
    "susceptibility_panels",
    "to_matplotlib",
    "trajectory_panels",
    "verdict",
    "write_page",
]
