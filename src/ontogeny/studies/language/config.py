"""The language study's one frozen config, and its presets."""

from typing import Any, Literal

from ontogeny.core.settings import Settings
from ontogeny.development import StageConfig
from ontogeny.measurement import TextProbes
from ontogeny.models import TransformerConfig
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.studies.language.texts import StudyText
from ontogeny.studies.study import Preset, StudyConfig
from ontogeny.training import TrainingConfig


class Architecture(Settings):
    """Shape of the network; vocabulary and context come from the text."""

    num_layers: int = 2
    d_model: int = 128
    num_heads: int = 8
    d_mlp: int = 0
    init_std: float = 0.5

    def with_text(self, text: StudyText, **changes: Any) -> TransformerConfig:
        tokens = {"vocabulary_size": text.num_tokens, "context_length": text.context_length}
        return TransformerConfig.model_validate(self.model_dump() | tokens | changes)


class Refinement(Settings):
    """How parts of the network are refined, at the nβ and γ of the whole.

    Attributes:
        checkpoints: how many of the run's, evenly spaced in log step, have a coefficient for each part on each text.
        first_measured: step of the earliest of them; before, single heads have hardly a coefficient to measure.
        components: the parts; None takes all heads, the attention of each layer, embedding and unembedding.
        datasets: texts besides the mixed one.
        sampler: of these coefficients.
        relative: whether heads are measured relative to the one-layer control too.
        responses: sampler of the susceptibilities at the last checkpoint; None leaves them out.
        probe_sequences, token_sequences: sequences of each text that losses, and single tokens' losses, are recorded
            on there.
    """

    checkpoints: int
    first_measured: int = 1
    components: tuple[str, ...] | None = None
    datasets: tuple[Literal["code", "prose"], ...] = ("code", "prose")
    sampler: Calibrated | Fixed
    relative: bool = True
    responses: Calibrated | Fixed | None = None
    probe_sequences: int = 32
    token_sequences: int = 2


class Thresholds(Settings):
    """What the claims are held to, and how curves are smoothed for them; fixed before the seeds that are reported.

    Attributes:
        bigram_rise: least later rise of the cross-entropy against bigrams, in nats.
        coincidence: largest distance between the in-context fall and the induction rise, in decades.
        control_prefix: largest prefix matching of the one-layer control.
        widest_boundary: boundaries with a wider 95 % interval are not counted, in decades.
        smoothing, first_step: of `ontogeny.development.curves.steepest`.
        bootstrap: resamples over probe sequences.
        head_scores: final scores from which a head is of a type; the first that it reaches is its type.
        together: longest interval, in decades of step, in which prefix matching, copying and the in-context score must
            all change.
        ablation_ratio: least ratio of the rise of the loss on repeats without an induction head to that without
            another head.
        planted_effect, planted_errors: rise of the loss of a mechanism's tokens without a head, beyond that of other
            tokens, from which the head serves it: in nats, and in standard errors.
        planted_share: least precision, and least recall, with which heads that serve mechanisms are found.
        fallen: relative fall from the peak, beyond twice its error, from which a curve counts as rising and falling.
    """

    bigram_rise: float = 0.1
    coincidence: float = 0.2
    control_prefix: float = 0.05
    widest_boundary: float = 0.15
    smoothing: float = 0.08
    first_step: int = 100
    bootstrap: int = 1000
    head_scores: tuple[tuple[str, float], ...] = (
        ("prefix_matching", 0.05),
        ("previous_token", 0.25),
        ("current_token", 0.25),
    )
    together: float = 0.4
    planted_effect: float = 0.1
    planted_errors: float = 4.0
    planted_share: float = 0.8
    ablation_ratio: float = 5.0
    fallen: float = 0.1


class LanguageConfig(StudyConfig):
    """Everything that the language study depends on; the text and the probes are the same for all seeds.

    Attributes:
        posterior: nβ and γ of every coefficient of the study, of the whole and of parts; where they are None they are
            chosen from pilot checkpoints of the whole.
        sampler: of the whole network's coefficients.
        smeared_training: of a network as the control, but with smeared keys; None leaves it out.
        twin_training: of a network as the first from other initial weights, whose heads are held against its own; None
            leaves it out.
        first_measured: checkpoints of earlier steps are not measured; in the first steps of training a network is at
            no minimum, and has no learning coefficient.
        control_layers: layers of the control network.
        planted_sequences: of a planted language, on which heads are ablated to see what they serve.
        circuit_checkpoints: how many of the run's checkpoints, evenly spaced in log step, have all heads' circuits read
            from their weights and by ablation.
        refinement: of parts of the network; None leaves them out.
    """

    text: StudyText = StudyText()
    architecture: Architecture = Architecture()
    control_layers: int = 1
    training: TrainingConfig
    control_training: TrainingConfig
    smeared_training: TrainingConfig | None = None
    twin_training: TrainingConfig | None = None
    posterior: PosteriorConfig = PosteriorConfig()
    sampler: Calibrated | Fixed = Calibrated(error=0.05)
    first_measured: int = 0
    probes: TextProbes = TextProbes()
    circuit_checkpoints: int = 0
    planted_sequences: int = 256
    refinement: Refinement | None = None
    stages: StageConfig = StageConfig()
    thresholds: Thresholds = Thresholds()


def _training(num_steps: int, log: int, linear: int, **options: float | str) -> TrainingConfig:
    steps = {"num_steps": num_steps, "checkpoints_log": log, "checkpoints_linear": linear}
    return TrainingConfig.model_validate({"weight_decay": 0.05, **steps, **options})


_COARSE = Calibrated(error=0.05, budget=20_000)

PRESETS = {
    # A network of 26,000 weights on contexts of 32 tokens learns bigrams, then trigrams, within 2,000 small steps.
    "quick": Preset(
        "4 minutes",
        LanguageConfig(
            text=StudyText(max_bytes=4_000_000, vocabulary_size=256, context_length=32),
            architecture=Architecture(d_model=32, num_heads=4),
            training=_training(2000, 20, 3, batch_size=16, learning_rate=5e-3),
            control_training=_training(300, 5, 0, batch_size=16, learning_rate=5e-3),
            posterior=PosteriorConfig(nbeta=50, localization=300),
            sampler=_COARSE,
            first_measured=10,
            probes=TextProbes(held_out_sequences=64),
            refinement=Refinement(
                checkpoints=3,
                first_measured=250,
                components=("L0H0", "L1H0", "L1.attn", "unembed"),
                datasets=(),
                sampler=_COARSE,
                relative=False,
            ),
        ),
    ),
    # Parts and checkpoints are those that a claim rests on, with the draws that they need. Coefficients of heads on
    # code and prose or relative to one layer, and susceptibilities, are further settings of `refinement`.
    "standard": Preset(
        "80 minutes a seed on one core",
        LanguageConfig(
            training=_training(6000, 32, 4, learning_rate=5e-3, schedule="cosine"),
            control_training=_training(3000, 8, 2, learning_rate=5e-3, schedule="cosine"),
            smeared_training=_training(3000, 8, 2, learning_rate=5e-3, schedule="cosine"),
            posterior=PosteriorConfig(nbeta=30, localization=300),
            sampler=Calibrated(error=0.05, budget=16_000),
            first_measured=50,
            circuit_checkpoints=24,
            refinement=Refinement(
                checkpoints=5,
                first_measured=300,
                components=tuple(f"L{layer}H{head}" for layer in range(2) for head in range(8)),
                datasets=(),
                sampler=Calibrated(error=0.07, budget=10_000, num_chains=2),
                relative=False,
            ),
        ),
    ),
    # Networks that are too small for text learn every mechanism of a planted language.
    "planted": Preset(
        "10 minutes a seed on one core",
        LanguageConfig(
            text=StudyText(source="planted", context_length=32),
            architecture=Architecture(d_model=64, num_heads=4, init_std=0.1),
            training=_training(6000, 32, 4, learning_rate=1e-2, schedule="cosine"),
            control_training=_training(3000, 8, 2, learning_rate=1e-2, schedule="cosine"),
            smeared_training=_training(3000, 8, 2, learning_rate=1e-2, schedule="cosine"),
            posterior=PosteriorConfig(nbeta=50, localization=300),
            sampler=_COARSE,
            first_measured=50,
            circuit_checkpoints=16,
        ),
    ),
    # Hoogland et al., 2402.02364: 3M parameters, AdamW 1e-3, batch 100, 50k steps; nβ and γ of Wang et al., 2410.02984.
    "paper": Preset(
        "hours on a GPU",
        LanguageConfig(
            device="cuda",
            text=StudyText(vocabulary_size=5000, context_length=1024),
            architecture=Architecture(d_model=256, init_std=0.02),
            probes=TextProbes(ngram_sequences=8),
            training=_training(50_000, 100, 200, batch_size=100, learning_rate=1e-3, state_every=1000),
            control_training=_training(50_000, 30, 20, batch_size=100, learning_rate=1e-3, state_every=1000),
            smeared_training=_training(50_000, 30, 20, batch_size=100, learning_rate=1e-3, state_every=1000),
            posterior=PosteriorConfig(nbeta=30, localization=200),
            sampler=Calibrated(error=0.05, budget=32_000),
            circuit_checkpoints=30,
        ),
    ),
}
LARGE = {"standard", "planted", "paper"}
"""The presets that are large enough for heads to form, and so for most claims."""
