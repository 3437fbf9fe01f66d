"""Folders that transformers and accelerate write, real ones: every family's network gives the same logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import load_into, open_checkpoints

tf = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries about themselves, while they train and save

SMALL: dict[str, Any] = {
    **{"vocab_size": 40, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "hidden_size": 16},
    **{"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 16},
}
GPT2 = {
    "vocab_size": 40,
    "n_positions": 16,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
Make = Callable[[], Any]
FAMILIES: dict[str, Make] = {
    "gpt2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(**GPT2)),
    "gpt_neox": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SMALL)),
    "mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(num_key_value_heads=1, num_local_experts=2, **SMALL)),
    "qwen2_moe": lambda: tf.Qwen2MoeForCausalLM(
        tf.Qwen2MoeConfig(
            num_key_value_heads=1, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8,
            shared_expert_intermediate_size=8, **SMALL
        )
    ),
    "llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**SMALL)),
    "tied llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(tie_word_embeddings=True, **SMALL)),
    "bert": lambda: tf.BertForMaskedLM(tf.BertConfig(**SMALL)),
    "t5": lambda: tf.T5EncoderModel(tf.T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)),
}  # fmt: skip
TOKENS = torch.arange(16).view(2, 8)


def made(family: str) -> Any:
    return FAMILIES[family]().eval()


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS)[0]


def same_outputs(run: Any, step: int, make: Make, expected: nn.Module) -> bool:
    model = make()
    assert not torch.equal(outputs(model), outputs(expected))
    load_into(model, run.load(step))
    return torch.equal(outputs(model), outputs(expected))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shard", ["5GB", "10KB"], ids=["one file", "shards"])
def test_what_save_pretrained_writes_is_loaded(family: str, shard: str, tmp_path: Path) -> None:
    model = made(family)
    model.save_pretrained(tmp_path / "checkpoint-100", max_shard_size=shard)
    run = open_checkpoints(tmp_path)
    assert run.steps == [100]
    assert same_outputs(run, 100, FAMILIES[family], model)
    assert same_outputs(open_checkpoints(tmp_path / "checkpoint-100"), 0, FAMILIES[family], model)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "mixtral", "llama"])
@pytest.mark.parametrize("wrap", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_on_disk_below_a_wrapper_are_loaded(family: str, wrap: str, tmp_path: Path) -> None:
    model = made(family)
    model.save_pretrained(tmp_path)
    weights = {wrap + name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    torch.save({"model": weights}, tmp_path / "model_3.pt")
    assert same_outputs(open_checkpoints(tmp_path / "model_{N}.pt"), 3, FAMILIES[family], model)


class Tokens(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": TOKENS[index % 2], "labels": TOKENS[index % 2]}


@pytest.mark.parametrize("family", ["gpt2", "mixtral"])
def test_a_run_of_the_trainer_is_opened_by_its_folder(family: str, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    options = {"max_steps": 2, "save_steps": 1, "report_to": [], "disable_tqdm": True, "use_cpu": True}
    arguments = tf.TrainingArguments(output_dir=str(tmp_path / "out"), **options)
    trainer = tf.Trainer(model=made(family), args=arguments, train_dataset=Tokens())
    trainer.train()
    trainer.save_model()  # the last weights lie in the folder itself, beside the checkpoints
    run = open_checkpoints(tmp_path / "out")
    assert run.steps == [1, 2]
    assert same_outputs(run, 2, FAMILIES[family], trainer.model)
    assert not same_outputs(run, 1, FAMILIES[family], trainer.model)


def test_what_accelerate_saves_is_opened(tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = nn.Linear(3, 2)
    prepared, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    prepared(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    for step in (1, 2):
        accelerator.save_state(str(tmp_path / f"step_{step}"))
    run, other = open_checkpoints(tmp_path), nn.Linear(3, 2)
    load_into(other, run.load(2))
    assert run.steps == [1, 2]
    assert torch.equal(other.weight, model.weight)


def saved_with(change: Callable[[dict[str, Tensor]], dict[str, Tensor]], family: str, folder: Path) -> Any:
    """A network whose file was changed to what another version of the library would have written."""
    model = made(family)
    model.save_pretrained(folder / "checkpoint-1")
    path = folder / "checkpoint-1" / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return model


def with_old_buffers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Masks and frequencies as older versions kept them in files."""
    old = dict(weights)
    mask = torch.ones(1, 1, 16, 16).tril()
    for layer in range(2):
        for place in (f"transformer.h.{layer}.attn", f"gpt_neox.layers.{layer}.attention"):
            old |= {f"{place}.bias": mask.clone(), f"{place}.masked_bias": torch.tensor(-1e4)}
        for place in (f"model.layers.{layer}.self_attn", f"gpt_neox.layers.{layer}.attention"):
            old |= {f"{place}.rotary_emb.inv_freq": 1e4 ** -torch.linspace(0, 1, 4)}
    stems = {name.split(".")[0] for name in weights}
    return {name: tensor for name, tensor in old.items() if name.split(".")[0] in stems}


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "mixtral"])
def test_buffers_of_older_versions_are_no_obstacle(family: str, tmp_path: Path) -> None:
    model = saved_with(with_old_buffers, family, tmp_path)
    assert same_outputs(open_checkpoints(tmp_path), 1, FAMILIES[family], model)


def test_the_prefix_of_the_base_model_may_be_there_or_not(tmp_path: Path) -> None:
    model = saved_with(
        lambda weights: {name.removeprefix("transformer."): tensor for name, tensor in weights.items()},
        "gpt2",
        tmp_path,
    )
    assert same_outputs(open_checkpoints(tmp_path), 1, FAMILIES["gpt2"], model)
    with_prefix = saved_with(lambda weights: weights, "gpt2", tmp_path / "whole")
    base = tf.GPT2Model(tf.GPT2Config(**GPT2))
    load_into(base, open_checkpoints(tmp_path / "whole").load(1))
    assert torch.equal(outputs(base), outputs(with_prefix.transformer))


def without_first(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.endswith("layers.0.input_layernorm.weight")}


@pytest.mark.parametrize("family", ["gpt_neox", "mixtral", "llama"])
@pytest.mark.parametrize(
    ("change", "found"),
    [
        (without_first, r"missing keys: \w+\.layers\.0\.input_layernorm\.weight"),
        (lambda weights: weights | {"value_head.weight": torch.ones(2)}, r"unexpected keys: value_head\.weight"),
        (
            lambda weights: {n: t[:, :8].clone() if ".embed_" in n else t for n, t in weights.items()},
            r"different shapes: \w+\.embed_\w+\.weight \(40, 8\) in the file and \(40, 16\) in the module",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(family: str, change: Any, found: str, tmp_path: Path) -> None:
    saved_with(change, family, tmp_path)
    model = FAMILIES[family]()
    before = outputs(model)
    with pytest.raises(InvalidArgument, match=found):
        load_into(model, open_checkpoints(tmp_path).load(1))
    assert torch.equal(outputs(model), before)


def test_transformers_settings_and_the_random_state_come_back(tmp_path: Path) -> None:
    model = made("mixtral")
    model.save_pretrained(tmp_path / "checkpoint-1")
    verbosity, state = tf.logging.get_verbosity(), torch.get_rng_state()
    load_into(model, open_checkpoints(tmp_path).load(1))
    assert tf.logging.get_verbosity() == verbosity
    assert tf.utils.logging.is_progress_bar_enabled()
    assert torch.equal(torch.get_rng_state(), state)
