"""The copy of a caller's module: whatever it holds, it is copied or named, and it stays as it was."""

import threading

import pytest
import torch
from torch import Tensor, nn

import ontogeny as og

X, Y = torch.randn(60, 6), torch.randn(60, 1)


class Keeps(nn.Module):
    """Keeps what its last pass computed, in more than one place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last, self.seen = nn.Linear(6, 1), None, {}

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.layer(x)
        self.seen["shifted"] = [self.last + 1]
        return self.last


def test_activations_that_are_kept_are_no_obstacle() -> None:
    model = Keeps()
    model(X[:3])
    before = model.last
    posterior = og.LocalPosterior(model, (X, Y), og.losses.mse)
    posterior.center_gradient()
    posterior.differentiable(torch.arange(4))
    assert model.last is before
    assert model.seen["shifted"][0].shape == (3, 1)


def test_a_view_of_a_weight_that_is_kept_as_an_attribute_is_refused() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 1)
            self.turned = self.layer.weight.T

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.turned + self.layer.bias

    with pytest.raises(og.InvalidArgument, match=r"layer\.weight of your own module"):
        og.LocalPosterior(Views(), (X, Y), og.losses.mse)


def test_hooks_that_only_look_are_left_out_of_the_copy() -> None:
    model, seen = nn.Sequential(nn.Linear(6, 1)), []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output))
    posterior = og.LocalPosterior(model, (X, Y), og.losses.mse)
    few = len(seen)
    og.sample(posterior, og.SGLD(1e-4), num_chains=1, num_draws=20, num_warmup=0)
    assert len(seen) == few < 10
    assert len(model[0]._forward_hooks) == 1


def test_hooks_that_change_the_output_stay() -> None:
    model = nn.Sequential(nn.Linear(6, 1))
    model[0].register_forward_hook(lambda module, args, output: 3 * output)
    posterior = og.LocalPosterior(model, (X, Y), og.losses.mse)
    torch.testing.assert_close(posterior.center_losses(torch.arange(60)), og.losses.mse(model, (X, Y)).detach())


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_what_cannot_be_copied_is_named() -> None:
    model = nn.Sequential(nn.Linear(6, 1))
    vars(model[0])["guard"] = threading.Lock()
    with pytest.raises(og.InvalidArgument, match=r"model\.0\.guard"):
        og.LocalPosterior(model, (X, Y), og.losses.mse)
    del model[0].guard  # as the error says
    og.LocalPosterior(model, (X, Y), og.losses.mse)
    old = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 1)))
    with pytest.raises(og.InvalidArgument, match=r"`weight` of 0.*parametrizations\.weight_norm"):
        og.LocalPosterior(old, (X, Y), og.losses.mse)
    nn.utils.remove_weight_norm(old[0])
    og.LocalPosterior(old, (X, Y), og.losses.mse)


def test_lazy_modules_are_refused_until_they_have_seen_a_batch() -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    with pytest.raises(og.InvalidArgument, match=r"lazy ones.*0\.weight"):
        og.LocalPosterior(model, (X, Y), og.losses.mse)
    model(X)
    og.LocalPosterior(model, (X, Y), og.losses.mse)


@pytest.mark.parametrize("vectorized", [False, True])
def test_networks_of_several_types_keep_them(vectorized: bool) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 1).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).double()).float()

    posterior = og.LocalPosterior(Mixed(), (X, Y), og.losses.mse)
    draws = og.sample(posterior, og.SGLD(1e-4), num_chains=2, num_draws=5, num_warmup=0, vectorized=vectorized)
    assert draws["posterior"]["loss_difference"].notnull().all()


def test_half_precision_is_sampled_in_32_bits_on_data_of_any_precision() -> None:
    half = nn.Linear(6, 1).bfloat16()
    for kind in (torch.bfloat16, torch.float16, torch.float32):
        posterior = og.LocalPosterior(half, (X.to(kind), Y.to(kind)), og.losses.mse)
        assert posterior.center.dtype == torch.float32
        assert posterior.center_losses(torch.arange(60)).isfinite().all()


def test_a_type_that_the_pass_fixes_is_refused_and_so_are_complex_weights() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 1).bfloat16()

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.to(torch.bfloat16))

    with pytest.raises(og.InvalidArgument, match=r"weight\.dtype"):
        og.LocalPosterior(Fixed(), (X, Y), og.losses.mse)

    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wave = nn.Parameter(torch.randn(6, dtype=torch.cfloat))

        def forward(self, x: Tensor) -> Tensor:
            return (x * self.wave).abs().sum(1, keepdim=True)

    with pytest.raises(og.InvalidArgument, match="view_as_complex"):
        og.LocalPosterior(Complex(), (X, Y), og.losses.mse)
