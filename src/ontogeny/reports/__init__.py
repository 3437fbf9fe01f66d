"""The figure style, the figures and the HTML page, drawn from labelled data alone."""

from ontogeny.reports.behaviour import fig_behaviour, fig_head_scores
from ontogeny.reports.belief_pictures import fig_simplex
from ontogeny.reports.beliefs import fig_belief_lengths, fig_belief_r2, fig_context_loss, fig_rivals
from ontogeny.reports.choice import fig_choice
from ontogeny.reports.component_curves import fig_component_curves, fig_relative_llc
from ontogeny.reports.component_map import fig_component_map
from ontogeny.reports.content import ReportContent
from ontogeny.reports.data_refinement import fig_data_refinement
from ontogeny.reports.diagnostics import fig_traces
from ontogeny.reports.evidence import fig_evidence
from ontogeny.reports.learning_curves import fig_loss_and_llc, fig_refined_llc, fig_slope
from ontogeny.reports.page import write_page
from ontogeny.reports.presentation_graph import fig_presentation
from ontogeny.reports.susceptibility_map import fig_susceptibility
from ontogeny.reports.token_plane import fig_token_susceptibility
from ontogeny.reports.trajectory_plane import fig_trajectory_pca

__all__ = [
    "ReportContent",
    "fig_behaviour",
    "fig_belief_lengths",
    "fig_belief_r2",
    "fig_choice",
    "fig_component_curves",
    "fig_component_map",
    "fig_context_loss",
    "fig_data_refinement",
    "fig_evidence",
    "fig_head_scores",
    "fig_loss_and_llc",
    "fig_presentation",
    "fig_refined_llc",
    "fig_relative_llc",
    "fig_rivals",
    "fig_simplex",
    "fig_slope",
    "fig_susceptibility",
    "fig_token_susceptibility",
    "fig_traces",
    "fig_trajectory_pca",
    "write_page",
]
