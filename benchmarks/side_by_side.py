"""One network and one posterior, estimated by devinterp 1.3.2, devinterp 2.0.1 and ontogeny: docs/from-devinterp.md.

python -m benchmarks.side_by_side ours            in the environment of ontogeny
python benchmarks/side_by_side.py devinterp1      in one with devinterp 1.3.2
python benchmarks/side_by_side.py devinterp2      in one with devinterp 2.0.1

A linear network at its minimum has an exact answer at any nβ and γ: ½ Σ nβh/(nβh + γ) over the curvatures h.
"""

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

NUM_SAMPLES, WIDTH, NBETA, LOCALIZATION = 1000, 20, 145.0, 1.0
STEP_SIZE, CHAINS, DRAWS, BURN_IN, BATCH = 1e-3, 4, 2000, 500, 100


def problem() -> tuple[nn.Linear, Tensor, Tensor]:
    """The network at the minimum of its loss, and the samples: inputs of unequal variances, noise 0.3."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(NUM_SAMPLES, WIDTH, generator=generator) * torch.logspace(-1.5, 0.3, WIDTH)
    y = x @ torch.ones(WIDTH, 1) + 0.3 * torch.randn(NUM_SAMPLES, 1, generator=generator)
    model = nn.Linear(WIDTH, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y).solution.T)
    return model, x, y


def exact() -> float:
    """The value at this nβ and γ."""
    _, x, _ = problem()
    curvatures = torch.linalg.eigvalsh(2 * x.T @ x / len(x))
    return 0.5 * (NBETA * curvatures / (NBETA * curvatures + LOCALIZATION)).sum().item()


def ours(seed: int) -> str:
    """The default call, with nβ and γ."""
    import ontogeny as og

    model, x, y = problem()
    estimate = og.estimate_llc(model, (x, y), og.losses.mse, nbeta=NBETA, localization=LOCALIZATION, seed=seed)
    cost = estimate.settings.gradient_evaluations if estimate.settings else 0
    return f"{estimate.value:.2f} ± {1.96 * estimate.mcse:.2f} {estimate.outcome}, {cost:,} gradients"


def devinterp1(seed: int) -> str:
    """As its README, at the same nβ, γ and step; twice: from its mean, and from its trace after the burn-in."""
    from devinterp.optim.sgld import SGLD
    from devinterp.slt.sampler import estimate_learning_coeff_with_summary

    model, x, y = problem()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    found = estimate_learning_coeff_with_summary(
        model,
        loader,
        evaluate=lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1]),
        sampling_method=SGLD,
        optimizer_kwargs={"lr": STEP_SIZE, "nbeta": NBETA, "localization": LOCALIZATION},
        num_draws=DRAWS,
        num_chains=CHAINS,
        num_burnin_steps=BURN_IN,
        seed=seed,
        device=torch.device("cpu"),
        verbose=False,
    )
    return f"{found['llc/mean']:.2f} ± {found['llc/std']:.2f}, {CHAINS * (DRAWS + BURN_IN) * BATCH:,} gradients"


def devinterp2(seed: int) -> str:
    """As its README, at the same nβ, γ and step. It takes token sequences alone, so rows go in by their numbers."""
    from devinterp.slt.llc import llc

    model, x, y = problem()

    class Rows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return NUM_SAMPLES

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            return {"input_ids": torch.tensor([index, index])}

    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        chosen = rows[:, 0]
        return (model(x[chosen]) - y[chosen]).square()

    with tempfile.TemporaryDirectory() as folder:
        found = llc(
            model,
            Rows(),
            {},
            lr=STEP_SIZE,
            n_beta=NBETA,
            localization=LOCALIZATION,
            loss_fn=loss,
            num_chains=CHAINS,
            num_draws=DRAWS,
            num_burnin_steps=BURN_IN,
            batch_size=BATCH,
            init_seed=1000 * seed,
            device="cpu",
            output_path=Path(folder) / "samples.zarr",
        )
    mean, spread = float(found["llc_mean"]), float(found["llc_std"])
    return f"{mean:.2f} ± {spread:.2f}, {CHAINS * (DRAWS + BURN_IN) * BATCH:,} gradients"


if __name__ == "__main__":
    torch.set_num_threads(1)
    which = {"ours": ours, "devinterp1": devinterp1, "devinterp2": devinterp2}[sys.argv[1]]
    sys.stdout.write(f"exact {exact():.2f}\n")
    for number in (0, 1, 2):
        sys.stdout.write(f"{sys.argv[1]} seed {number}: {which(number)}\n")
