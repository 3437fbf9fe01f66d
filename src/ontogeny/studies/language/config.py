"""The language study's one frozen config, and its presets."""

from typing import Literal

from ontogeny.core.settings import Settings
from ontogeny.data import TextConfig
from ontogeny.development import StageConfig
from ontogeny.models import TransformerConfig
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.training import TrainingConfig

Preset = Literal["quick", "standard", "paper"]


class Architecture(Settings):
    """Shape of the network; vocabulary and context come from the text."""

    num_layers: int = 2
    d_model: int = 128
    num_heads: int = 8
    d_mlp: int = 0
    init_std: float = 0.5

    def with_text(self, text: TextConfig, num_layers: int | None = None) -> TransformerConfig:
        tokens = {"vocabulary_size": text.vocabulary_size, "context_length": text.context_length}
        layers = {"num_layers": num_layers or self.num_layers}
        return TransformerConfig.model_validate(self.model_dump() | tokens | layers)


class Probes(Settings):
    """Sizes of the fixed probes; positions of the in-context-learning score as parts of the context."""

    held_out_sequences: int = 256
    ngram_sequences: int = 64
    repeat_sequences: int = 32
    early: tuple[float, float] = (1 / 16, 1 / 8)
    late: tuple[float, float] = (1 / 2, 1.0)
    seed: int = 0


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
        smoothing: standard deviation of the Gaussian kernel in log10 step, in decades.
        first_step: steepest slopes are looked for from this step on.
        head_scores: final scores from which a head is of a type; the first that it reaches is its type.
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
    fallen: float = 0.1


class LanguageConfig(Settings):
    """Everything that the language study depends on.

    Attributes:
        seed: of initial weights, order of training data, and sampling; the text and the probes are the same for all
            seeds.
        posterior: nβ and γ of every coefficient of the study, of the whole and of parts; where they are None they are
            chosen from pilot checkpoints of the whole.
        sampler: of the whole network's coefficients.
        first_measured: checkpoints of earlier steps are not measured; in the first steps of training a network is at
            no minimum, and has no learning coefficient.
        control_layers: layers of the control network.
        refinement: of parts of the network; None leaves them out.
        device: where networks are trained and sampled, as torch names it: `cpu` or `cuda`.
        tested: ids of the claims that this preset is large enough to test.
    """

    preset: Preset
    seed: int = 0
    text: TextConfig = TextConfig()
    architecture: Architecture = Architecture()
    control_layers: int = 1
    device: str = "cpu"
    training: TrainingConfig
    control_training: TrainingConfig
    posterior: PosteriorConfig = PosteriorConfig()
    sampler: Calibrated | Fixed = Calibrated(error=0.05)
    first_measured: int = 0
    probes: Probes = Probes()
    refinement: Refinement | None = None
    stages: StageConfig = StageConfig()
    thresholds: Thresholds = Thresholds()
    tested: tuple[str, ...] = (
        "bigram-to-trigram",
        "previous-before-induction",
        "icl-with-induction",
        "one-layer-control",
        "stages",
        "signatures",
        "rise-and-fall",
        "code-and-prose",
        "relative",
    )


def preset(name: Preset) -> LanguageConfig:
    """`quick` for a look in minutes, `standard` for the claims on two cores, `paper` for the published 3M-parameter
    setting on a GPU.
    """
    return {"quick": _quick, "standard": _standard, "paper": _paper}[name]()


def _quick() -> LanguageConfig:
    # A network of 26,000 weights on contexts of 32 tokens learns bigrams, then trigrams, within 2,000 small steps.
    training = TrainingConfig(
        num_steps=2000,
        batch_size=16,
        learning_rate=5e-3,
        weight_decay=0.05,
        checkpoints_log=20,
        checkpoints_linear=3,
    )
    sampler = Calibrated(error=0.05, budget=20_000)
    return LanguageConfig(
        preset="quick",
        text=TextConfig(max_bytes=4_000_000, vocabulary_size=256, context_length=32),
        architecture=Architecture(d_model=32, num_heads=4),
        training=training,
        control_training=training.model_copy(update={"num_steps": 300, "checkpoints_log": 5, "checkpoints_linear": 0}),
        posterior=PosteriorConfig(nbeta=50, localization=300),
        sampler=sampler,
        first_measured=10,
        probes=Probes(held_out_sequences=64),
        refinement=Refinement(
            checkpoints=3,
            first_measured=250,
            components=("L0H0", "L1H0", "L1.attn", "unembed"),
            datasets=(),
            sampler=sampler,
            relative=False,
        ),
        tested=("bigram-to-trigram",),
    )


def _standard() -> LanguageConfig:
    training = TrainingConfig(
        num_steps=4000, learning_rate=3e-3, weight_decay=0.05, checkpoints_log=40, checkpoints_linear=10
    )
    return LanguageConfig(
        preset="standard",
        training=training,
        control_training=training.model_copy(update={"checkpoints_log": 16, "checkpoints_linear": 10}),
        posterior=PosteriorConfig(nbeta=30, localization=300),
        sampler=Calibrated(error=0.05, budget=16_000),
        refinement=Refinement(
            checkpoints=14,
            sampler=Calibrated(error=0.05, budget=4000),
            responses=Calibrated(error=0.05, budget=16_000),
        ),
    )


def _paper() -> LanguageConfig:
    # Hoogland et al., 2402.02364: 3M parameters, AdamW 1e-3, batch 100, 50k steps; nβ and γ of Wang et al., 2410.02984.
    training = TrainingConfig(
        num_steps=50_000,
        batch_size=100,
        learning_rate=1e-3,
        weight_decay=0.05,
        checkpoints_log=100,
        checkpoints_linear=200,
        state_every=1000,
    )
    return LanguageConfig(
        preset="paper",
        device="cuda",
        text=TextConfig(vocabulary_size=5000, context_length=1024),
        architecture=Architecture(d_model=256, init_std=0.02),
        probes=Probes(ngram_sequences=8),
        training=training,
        control_training=training.model_copy(update={"checkpoints_log": 30, "checkpoints_linear": 20}),
        posterior=PosteriorConfig(nbeta=30, localization=200),
        sampler=Calibrated(error=0.05, budget=32_000),
    )
