"""TransformerLens 4 bridges: the parts of the model inside, found through a wrapper that names modules twice."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn

import ontogeny as og

transformers = pytest.importorskip("transformers")
bridge = pytest.importorskip("transformer_lens.model_bridge", reason="TransformerLens 4 or later")

WIDTHS = {"vocab_size": 31, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
ATTENTION = {"num_attention_heads": 6, "max_position_embeddings": 16}
BRIDGED = {
    "gpt2": ("GPT2", {"vocab_size": 31, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 16}),
    "EleutherAI/pythia-14m": ("GPTNeoX", WIDTHS | ATTENTION),
    "meta-llama/Llama-3.2-1B": ("Llama", WIDTHS | ATTENTION | {"num_key_value_heads": 2}),
}


@pytest.fixture(params=BRIDGED)
def models(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[nn.Module, nn.Module]:
    """A model of transformers with random weights, and the bridge around it."""
    family, settings = BRIDGED[request.param]
    kind = getattr(transformers, "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM")
    config = getattr(transformers, f"{family}Config")(**settings, bos_token_id=0, eos_token_id=0)
    config.architectures = [kind.__name__]
    torch.manual_seed(0)
    inside = kind(config).eval()
    special = {"bos_token": "0", "eos_token": "0", "unk_token": "0", "pad_token": "0"}
    words = Tokenizer(WordLevel({str(each): each for each in range(31)}, unk_token="0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    with mock.patch("transformers.AutoConfig.from_pretrained", return_value=config):
        boot = bridge.TransformerBridge.boot_transformers
        return inside, boot(request.param, hf_model=inside, tokenizer=tokenizer)


def test_a_bridge_has_the_parts_of_the_model_inside(models: tuple[nn.Module, nn.Module]) -> None:
    counts = [{name: part.num_parameters for name, part in og.components(model).items()} for model in models]
    own = {name: count for name, count in counts[0].items() if name in ("embed", "unembed") or name[0] == "L"}
    # a bridge splits the fused matrix of queries, keys and values and keeps it beside them, unused
    own = {name: count for name, count in own.items() if name not in ("L0", "L1", "L0.attn", "L1.attn")}
    assert len(own) >= 14
    assert {name: counts[1].get(name) for name in own} == own


def test_a_head_of_a_bridge_is_sampled_and_the_bridge_left_alone(models: tuple[nn.Module, nn.Module]) -> None:
    def loss(model: nn.Module, tokens: Tensor) -> Tensor:
        logits = model(tokens[:, :-1])
        return nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)

    tokens = torch.randint(31, (32, 9), generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in models[1].state_dict().items()}
    posterior = og.LocalPosterior(models[1], tokens, loss, nbeta=10.0, localization=100.0, restriction="L0H1")
    lengths = {"num_chains": 2, "num_draws": 4, "num_warmup": 0}
    one, all_at_once = (
        og.sample(posterior, og.SGLD(1e-3), vectorized=each, **lengths)["posterior"]["loss_difference"]
        for each in (False, True)
    )
    np.testing.assert_allclose(one, all_at_once, rtol=1e-3, atol=1e-6)
    after = models[1].state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
