"""The constants of the self-tuning sampler in one place, each with its provenance.

[linear]: chosen on deep linear networks of 100 to 10,000 weights, at seeds that no table reports (ADR 0008). [truths]:
chosen on the known truths of `ontogeny.testing.cases`, at seeds below 5000. [theory]: follows from the equations.
[cost]: from the time of a pass on a CPU. [hand]: set by hand and not varied since.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Every constant of calibration, stopping, descent and spectrum; shares are of the complexity unless said."""

    # Windows of a calibration: steps between updates of mass, friction, step size and batch size.
    windows: tuple[int, ...] = (20, 40, 140, 80, 120)  # [linear] steps of each
    tempered_window: int = 2  # [linear] counted from 0: chains are tempered there, to reach soft directions sooner
    temperatures: tuple[float, float] = (2.0, 9.0)  # [linear] where chains have mixed, and where they have not
    mixed: float = 0.7  # [linear] equipartition from which they have; at 9 mixed chains left their basins (ADR 0008)
    reach: float = 0.7  # [linear] step size times the largest frequency; a quadratic becomes unstable at 2
    mass_prior: int = 10  # [linear] gradients that a tensor's mean mass is worth in the mass of each weight
    retries: int = 6  # [hand] restarts of a calibration with shorter steps after chains diverged

    # Minibatch noise: friction first, which costs stiff directions nothing, then the step size, then the batch size.
    friction: tuple[float, float] = (0.05, 0.15)  # [linear] per step: without noise, and at most
    shrink: float = 0.7  # [linear] of the step size, before batches grow
    inflation: float = 0.03  # [truths] share that minibatch noise may add, which is then subtracted
    budget_inflation: float = 0.1  # [hand] the same under a budget
    uncorrected: float = 0.15  # [hand] share of noise above which a control variate is worth a pass over the data
    noise_samples: int = 64  # [hand] a half; the noise at w* is measured on two

    # Batch sizes.
    smallest_batch: tuple[int, int] = (64, 1024)  # [cost] range of the smallest batch
    least_batch: int = 16  # [linear] under a budget; in small networks fewer samples take hardly less time
    first_batch: int = 4096  # [linear] at most, where the search begins
    full_pass: int = 2**20  # [cost] weights times samples of a pass; a smaller one takes hardly less time
    batch_growth: int = 4  # [truths] factor by which batches grow where sampling shows that they are too small

    # Shares of a budget.
    windows_share: float = 0.15  # [truths] most that the windows may spend, without the pass at w*
    steps: int = 4000  # [truths] steps of all chains that a budget should allow, with smaller batches if need be
    descent_samples: tuple[int, int] = (64, 4096)  # [hand] of a gradient of the descent from w*
    descent_share: float = 0.1  # [hand] of the descent at most
    cheap_pass: float = 0.1  # [hand] a pass over the data up to this cost is always made
    late: float = 0.6  # [truths] once this share is spent, chains are not restarted

    # Stopping.
    error: float = 0.016  # [truths] Monte Carlo error at which sampling stops
    first_round: int = 300  # [truths] draws a chain before the first look at the diagnostics
    short_round: int = 40  # [hand] the same where an error of `short_error` is enough
    short_error: float = 0.03
    most_steps: int = 6000  # [truths] per chain, unless a budget allows fewer
    noisy: float = 0.08  # [truths] share added by minibatch noise above which batches grow
    settled: float = 0.015  # [truths] drift per e-fold of time that is small compared with the target error
    watch_every: int = 40  # [linear] steps between checks of the curvature, which grew by up to 66 times
    watch_samples: int = 256  # [linear] samples for each check
    restarts: int = 6  # [truths] of the chains, at most
    restart_shrink: float = 0.6  # [truths] of the step size at a restart
    step_error: float = 0.006  # [truths] error for finite steps: one network of 100,000 weights was 0.3 % low
    thinning: int = 5  # [theory] steps between draws that record observables: a quarter of a swing
    resolution: float = 0.1  # [truths] nats: floor of the complexity in relative errors; the least truth is 0.25

    # Descent from w* to ŵ by L-BFGS.
    descent_iterations: int = 300  # [hand] most gradients, unless a budget allows fewer; a few suffice at a minimum
    descent_tolerance: float = 1e-6  # [hand] of U, absolute below 1 and relative above
    bounded: float = 1e6  # [hand] lengths of w* beyond which a descent has met no minimum, but a loss without a bound
    descent_memory: int = 8  # [hand] pairs of vectors that L-BFGS keeps
    compared_samples: int = 1024  # [hand] samples that losses at w* and ŵ are compared on, at least
    compared_blocks: int = 4  # [hand] blocks of them, for the error
    risen: float = 1e-3  # [hand] of U: a rise that is more than rounding
    whole_gradients: int = 16  # [truths] on all samples, without a budget, after a descent on fewer has failed
    fewest_gradients: int = 8  # [hand] on all samples: fewer are not worth starting a descent with
    fixed_share: float = 0.25  # [hand] gradients of a fixed sampler's descent, as a share of those of its chains
    fixed_samples: tuple[int, int] = (64, 1024)  # [hand] samples of a gradient of that descent
    fixed_gradients: int = 50  # [hand] gradients that its samples are chosen for
    fixed_whole: int = 4  # [hand] data with fewer than this many times those samples are used whole

    # Spectrum at w*, by stochastic Lanczos quadrature.
    exact_size: int = 400  # [cost] weights up to which all columns of the Hessian are taken
    lanczos_steps: int = 80  # [hand]
    lanczos_probes: int = 2  # [hand] random vectors
    spectrum_samples: int = 1024  # [hand]
    spectrum_largest: int = 200_000  # [cost] weights; the basis of Lanczos vectors is kept in double precision
    freed: float = 1e-3  # [hand] of γ: reference localization for the share that γ removes
    product_cost: int = 3  # [cost] gradients that a product with the Hessian costs


TUNING = Tuning()
