"""The language study's one frozen config, and its presets."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ontogeny.data import TextConfig
from ontogeny.development import StageConfig
from ontogeny.measurement import SamplerConfig
from ontogeny.models import TransformerConfig
from ontogeny.training import TrainingConfig

Preset = Literal["quick", "standard", "paper"]


class Architecture(BaseModel):
    """Shape of the network; vocabulary and context come from the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_layers: int = 2
    d_model: int = 128
    num_heads: int = 8
    d_mlp: int = 0
    init_std: float = 0.5

    def with_text(self, text: TextConfig, num_layers: int | None = None) -> TransformerConfig:
        tokens = {"vocabulary_size": text.vocabulary_size, "context_length": text.context_length}
        layers = {"num_layers": num_layers or self.num_layers}
        return TransformerConfig.model_validate(self.model_dump() | tokens | layers)


class Probes(BaseModel):
    """Sizes of the fixed probes; positions of the in-context-learning score as parts of the context."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    held_out_sequences: int = 256
    ngram_sequences: int = 64
    repeat_sequences: int = 32
    early: tuple[float, float] = (1 / 16, 1 / 8)
    late: tuple[float, float] = (1 / 2, 1.0)
    seed: int = 0


class Refinement(BaseModel):
    """How parts of the network are refined.

    Attributes:
        checkpoints: how many of the run's, evenly spaced in log step, have a coefficient for each part on each text.
        sampler: of these coefficients.
        responses: sampler of the susceptibilities at the last checkpoint.
        probe_sequences, token_sequences: sequences of each text that losses, and single tokens' losses, are recorded
            on there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: int
    sampler: SamplerConfig
    responses: SamplerConfig
    probe_sequences: int = 32
    token_sequences: int = 2


class Thresholds(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class LanguageConfig(BaseModel):
    """Everything that the language study depends on.

    Attributes:
        seed: of initial weights, order of training data, and sampling; the text and the probes are the same for all
            seeds.
        control_layers: layers of the control network.
        refinement: of parts of the network; None leaves them out.
        device: where networks are trained and sampled, as torch names it: `cpu` or `cuda`.
        tested: ids of the claims that this preset trains long enough to test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset
    seed: int = 0
    text: TextConfig = TextConfig()
    architecture: Architecture = Architecture()
    control_layers: int = 1
    device: str = "cpu"
    training: TrainingConfig
    control_training: TrainingConfig
    sampler: SamplerConfig
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
    training = TrainingConfig(
        num_steps=800, learning_rate=3e-3, weight_decay=0.05, checkpoints_log=14, checkpoints_linear=4
    )
    return LanguageConfig(
        preset="quick",
        text=TextConfig(max_bytes=4_000_000),
        training=training,
        control_training=training.model_copy(update={"num_steps": 300, "checkpoints_log": 6, "checkpoints_linear": 0}),
        sampler=SamplerConfig(
            nbeta=30,
            localization=300,
            step_size=1e-3,
            num_chains=2,
            num_draws=60,
            num_warmup=20,
            batch_size=8,
            loss_samples=128,
        ),
        probes=Probes(held_out_sequences=64),
        refinement=_refinement(checkpoints=3, num_draws=6, num_warmup=4, thinning=1).model_copy(
            update={"probe_sequences": 4, "token_sequences": 1}
        ),
        tested=("bigram-to-trigram",),  # heads and stages need longer training
    )


def _standard() -> LanguageConfig:
    training = TrainingConfig(
        num_steps=4000, learning_rate=3e-3, weight_decay=0.05, checkpoints_log=40, checkpoints_linear=10
    )
    return LanguageConfig(
        preset="standard",
        training=training,
        control_training=training.model_copy(update={"checkpoints_log": 16, "checkpoints_linear": 10}),
        sampler=SamplerConfig(
            nbeta=30,
            localization=300,
            step_size=1e-3,
            num_chains=2,
            num_draws=100,
            num_warmup=25,
            batch_size=16,
            loss_samples=256,
        ),
        refinement=_refinement(checkpoints=14, num_draws=40, num_warmup=10, thinning=2),
    )


def _refinement(checkpoints: int, num_draws: int, num_warmup: int, thinning: int) -> Refinement:
    sampler = SamplerConfig(
        nbeta=30,
        localization=300,
        step_size=1e-3,
        num_chains=2,
        num_draws=num_draws,
        num_warmup=num_warmup,
        batch_size=8,
        loss_samples=128,
    )
    responses = sampler.model_copy(update={"num_draws": 50 * thinning, "thinning": thinning})
    return Refinement(checkpoints=checkpoints, sampler=sampler, responses=responses)


def _paper() -> LanguageConfig:
    # Hoogland et al., 2402.02364: 3M parameters, AdamW 1e-3, batch 100, 50k steps; sampler of Wang et al., 2410.02984.
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
        sampler=SamplerConfig(
            nbeta=30, localization=200, step_size=1e-3, num_chains=4, num_draws=200, num_warmup=50, batch_size=32
        ),
    )
