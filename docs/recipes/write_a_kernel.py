# %% [markdown]
# # Write a kernel
#
# A kernel is one update of some chains. It knows nothing of temperature, data, loops or storage: these reach it as a
# potential U and its gradient. A frozen dataclass with five members is enough. Here is stochastic gradient Langevin
# dynamics with a mass for every weight group left out, from its equation.

# %%
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

import ontogeny as og


@dataclass(frozen=True)
class MyLangevin:
    """w ← w - (ε/2) ∇U(w) + √ε ξ."""

    step_size: float
    exact: ClassVar[bool] = False

    def start(self, state, noise):
        """The kernel's own state of each chain; this one has none."""
        return {}

    def step(self, state, potential, noise):
        """One update in place. Noise has an address, so that it is the same wherever a chain runs."""
        state.positions.add_(state.gradients, alpha=-self.step_size / 2)
        state.positions.add_(noise.normal(state.gradients), alpha=self.step_size**0.5)
        state.evaluated = False

    def inflation(self, state, loss_gradients, noise):
        """What finite steps add to the estimate, for a quadratic loss; NaN if unknown."""
        return self.step_size / 8 * state.reductions.dot(state.gradients, loss_gradients)

    def heat(self, state, noise, other):
        """Variance that the minibatch injects, relative to the kernel's own noise."""
        return self.step_size / 4 * state.reductions.mean_product(noise, other)


# %% [markdown]
# ## Hold it against a known answer
#
# A linear network with Gaussian inputs has an exact coefficient at any nβ and γ. `og.Fixed` runs any kernel.

# %%
generator = torch.Generator().manual_seed(0)
inputs = torch.randn(400, 3, generator=generator)
data = (inputs, inputs @ torch.ones(3, 1))
model = nn.Linear(3, 1, bias=False)
nn.init.ones_(model.weight)

sampler = og.Fixed(kernel=MyLangevin(2e-3), num_chains=4, num_draws=1000, num_warmup=200)
nbeta, localization = 100.0, 1.0
estimate = og.estimate_llc(model, data, og.losses.mse, nbeta=nbeta, localization=localization, sampler=sampler)
curvatures = torch.linalg.eigvalsh(2 * inputs.T @ inputs / len(inputs))
exact = 0.5 * (nbeta * curvatures / (nbeta * curvatures + localization)).sum().item()
print(estimate)
print(f"exact {exact:.3f}, off by {(estimate.value - exact) / estimate.mcse:+.1f} standard errors")
