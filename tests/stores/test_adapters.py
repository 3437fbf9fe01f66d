"""Adapters of peft: their weights land in the adapter of a `PeftModel`, and the base model's stay."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores import load_into, open_checkpoints
from ontogeny.stores.layouts import Adapter

pytestmark = pytest.mark.filterwarnings("ignore")


def written(folder: Path, alpha: int = 8) -> Path:
    """A folder as peft names its files and weights."""
    folder.mkdir(parents=True)
    weights = {f"base_model.model.0.lora_{each}.weight": torch.randn(2, 2) for each in "AB"}
    save_file(weights, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": alpha}))
    torch.save({}, folder / "optimizer.pt")
    return folder


def test_an_adapter_is_opened_with_its_settings_and_both_count(tmp_path: Path) -> None:
    folder = written(tmp_path / "checkpoint-3")
    run = open_checkpoints(tmp_path)
    weights = run.load(3)
    assert isinstance(weights, Adapter)
    assert weights.config["lora_alpha"] == 8
    before = run.checksum(3)
    for path in (folder / "adapter_config.json", folder / "adapter_model.safetensors"):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert run.checksum(3) != before
        path.write_bytes(content)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(CorruptFile, match=r"adapter_config\.json"):
        run.load(3)


def test_an_adapter_does_not_fit_a_module_that_has_none(tmp_path: Path) -> None:
    written(tmp_path / "checkpoint-3")
    with pytest.raises(InvalidArgument, match=r"an adapter's weights") as raised:
        load_into(nn.Sequential(nn.Linear(2, 2)), open_checkpoints(tmp_path).load(3), argument="model_fn")
    assert "PeftModel.from_pretrained" in raised.value.instead


def base() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def adapted(**settings: Any) -> Any:
    peft = pytest.importorskip("peft")
    options = {"r": 2, "lora_alpha": 4, "target_modules": ["0"], "init_lora_weights": False} | settings
    return peft.get_peft_model(base(), peft.LoraConfig(**options))


INPUTS = torch.arange(6.0).view(2, 3)


def answers(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(INPUTS)


@pytest.mark.parametrize(
    "settings", [{}, {"modules_to_save": ["2"]}, {"use_rslora": True}, {"target_modules": ["0", "2"]}], ids=str
)
def test_an_adapter_is_loaded(settings: dict[str, Any], tmp_path: Path) -> None:
    model = adapted(**settings)
    model.save_pretrained(tmp_path / "checkpoint-3")
    other = adapted(**settings)
    assert not torch.equal(answers(other), answers(model))
    load_into(other, open_checkpoints(tmp_path).load(3))
    assert torch.equal(answers(other), answers(model))


TOKENS = torch.arange(16).view(2, 8)
OTHERS = {
    "prompts": lambda peft: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "scales": lambda peft: peft.IA3Config(task_type="CAUSAL_LM", init_ia3_weights=False),
    "magnitudes": lambda peft: peft.LoraConfig(use_dora=True, init_lora_weights=False, target_modules=["c_attn"]),
    "a head": lambda peft: peft.LoraConfig(modules_to_save=["lm_head"], target_modules=["c_attn"]),
}


def language_model(kind: str, seed: int) -> Any:
    peft, tf = pytest.importorskip("peft"), pytest.importorskip("transformers")
    shape = {"vocab_size": 40, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tf.GPT2LMHeadModel(tf.GPT2Config(**shape, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0))
        torch.manual_seed(seed)
        adapted = peft.get_peft_model(model, OTHERS[kind](peft))
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data += torch.randn_like(weight)
    return adapted.eval()


@pytest.mark.parametrize("kind", OTHERS)
def test_adapters_of_other_kinds_are_loaded_into_a_language_model(kind: str, tmp_path: Path) -> None:
    model, other = language_model(kind, 1), language_model(kind, 2)
    model.save_pretrained(tmp_path / "checkpoint-3")
    with torch.no_grad():
        expected = model(input_ids=TOKENS).logits
        assert not torch.equal(other(input_ids=TOKENS).logits, expected)
        load_into(other, open_checkpoints(tmp_path).load(3))
        assert torch.equal(other(input_ids=TOKENS).logits, expected)


def test_a_whole_state_dict_of_a_peft_model_is_loaded_by_name() -> None:
    model, other = adapted(), adapted()
    load_into(other, model.state_dict())
    assert torch.equal(answers(other), answers(model))


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "alpha"])
def test_an_adapter_that_does_not_fit_is_named_and_the_model_left_alone(change: str, tmp_path: Path) -> None:
    adapted().save_pretrained(tmp_path / "checkpoint-3")
    path = tmp_path / "checkpoint-3" / "adapter_model.safetensors"
    weights = load_file(path)
    first = sorted(weights)[0]
    if change == "missing":
        del weights[first]
    elif change == "unexpected":
        weights["base_model.model.9.lora_A.weight"] = torch.ones(2, 3)
    elif change == "shape":
        weights[first] = torch.ones(7, 7)
    save_file(weights, path)
    other = adapted(lora_alpha=16) if change == "alpha" else adapted()
    before = answers(other)
    found = {"missing": "missing keys", "unexpected": "unexpected keys", "shape": "lora_A", "alpha": "lora_alpha=16"}
    with pytest.raises(InvalidArgument, match=rf"`model_fn`.*{found[change]}"):
        load_into(other, open_checkpoints(tmp_path).load(3), argument="model_fn")
    assert torch.equal(answers(other), before)
