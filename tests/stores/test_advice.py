"""What errors of this room say to write instead."""

import sys
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.advice import Mistake, follow, mistakes
from tests.hub_server import HubServer, branches
from tests.hub_server import whole as hub_files
from torch import nn

import ontogeny as og
from ontogeny.stores import Checkpoints, CheckpointSchedule, Hub, load_into, locked, open_checkpoints
from ontogeny.stores.manifest import require_replaceable

pytestmark = pytest.mark.filterwarnings("ignore")
FOLDER = Path()  # of the mistake at hand


def linear(inputs: int = 3) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, 2)


def saved(content: Any, *names: str) -> Path:
    """Files of torch.save by these names in the folder; the first of them."""
    for name in names:
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)
    return FOLDER / names[0]


def state() -> dict[str, torch.Tensor]:
    return linear().state_dict()


def series(*names: str) -> Path:
    return saved(state(), *names).parent


def whole(name: str = "model.pt") -> str:
    return str(saved(linear(), name))


def scripted() -> str:
    torch.jit.script(linear()).save(str(FOLDER / "model.pt"))
    return str(FOLDER / "model.pt")


def arrays() -> str:
    content: dict[str, Any] = {name: each.numpy() for name, each in state().items()}
    np.savez(FOLDER / "weights.npz", **content)
    return str(FOLDER / "weights.npz")


def of_arrays(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path) as found:
        return {name: torch.as_tensor(found[name]) for name in found.files}


def executing() -> str:
    """A file in a protocol of pickle that is not read without executing it."""
    torch.save(state(), FOLDER / "model.pt", pickle_protocol=4)
    return str(FOLDER / "model.pt")


def opened(source: Any, **options: Any) -> Checkpoints:
    """Opened, and one of its steps read."""
    run = open_checkpoints(source, **options)
    run.load(run.steps[0])
    return run


def inside(pattern: str) -> str:
    return f"{FOLDER}/{pattern}"


def moved_model(clone: bool) -> Checkpoints:
    model, found = linear(), {}
    for step in range(2):
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()} if clone else model.state_dict()
        found[step] = weights
    return open_checkpoints(found)


def base() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def adapter(**settings: Any) -> Any:
    peft = pytest.importorskip("peft")
    return peft.get_peft_model(base(), peft.LoraConfig(target_modules=["0"], **{"r": 2, "lora_alpha": 4} | settings))


def of_adapter() -> Any:
    adapter().save_pretrained(FOLDER / "checkpoint-3")
    return open_checkpoints(FOLDER).load(3)


def loaded(model: nn.Module, weights: Any) -> None:
    load_into(model, weights, argument="model_fn")


def written(name: str) -> Path:
    path = FOLDER / name
    path.mkdir()
    (path / "thesis.tex").write_text("mine")
    return path


def beside(**settings: Any) -> dict[str, Any]:
    return {"encoder": state(), "decoder": state()} | settings


def optimizer() -> dict[str, Any]:
    return torch.optim.Adam(linear().parameters()).state_dict()


class Counting(nn.Linear):
    def __init__(self, persistent: bool) -> None:
        super().__init__(3, 2)
        self.register_buffer("seen", torch.zeros(()), persistent=persistent)


SERIES = "stores/series.py:"
OPENING = "stores/opening.py:"
READING = "stores/reading.py:"


def within(*folders: str) -> bool:
    with ExitStack() as held:
        for folder in folders:
            held.enter_context(locked(FOLDER / folder))
        return True


@cache
def server() -> HubServer:
    found = HubServer().start()
    steps = ["step1", "step2", "step4"]
    two_lines = [f"{stage}-step{step}" for stage in ("a", "b") for step in (1, 2)]
    found.repos = {"org/net": branches(steps), "org/lines": branches(two_lines), "org/moved": branches(steps)}
    found.repos["org/pickle"] = branches(steps, lambda step: {"pytorch_model.bin": b""})
    found.repos["org/empty"] = branches([], empty_main=True)
    found.repos["org/empty"].add("with-weights", lambda: hub_files(1))
    found.repos["org/twice"] = branches(["a-step1", "b-step1", "b-step2"])
    return found


def remote(source: str, **options: Any) -> Checkpoints:
    """Opened on the server."""
    hub = options.pop("hub", Hub)
    return open_checkpoints(source, hub=hub(endpoint=server().endpoint, cache=FOLDER), **options)


def after_a_move(**options: Any) -> Checkpoints:
    remote("hf://org/moved", hub=partial(Hub, moved="take"))
    server().repos["org/moved"].add("step2", lambda: hub_files(3))
    return remote("hf://org/moved", **options)


def pickled(**options: Any) -> Checkpoints:
    return remote("hf://org/pickle", **options)


def on_a_full_disk(patch: pytest.MonkeyPatch) -> Checkpoints:
    run = remote("hf://org/net")
    patch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=0))
    return run


def without_the_library(patch: pytest.MonkeyPatch, installed: bool) -> Checkpoints:
    if not installed:
        patch.setitem(sys.modules, "huggingface_hub", None)
    return remote("hf://org/net") if installed else open_checkpoints("hf://org/net", hub=Hub("http://x", FOLDER))


def kept(folder: str, num_steps: int = 2, start: int = 0) -> None:
    """A run of this schedule from its start to its end."""
    keep = CheckpointSchedule().keeper(FOLDER / folder, linear(), num_steps, start=start)
    keep(start)
    keep(num_steps)


def fitted(**limit: int) -> None:
    lightning = pytest.importorskip("lightning")

    class Regression(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = linear()

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            return self.net(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    callback = CheckpointSchedule().lightning_callback(FOLDER)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(**limit, callbacks=[callback], enable_checkpointing=False, **quiet)
    rows: Any = list(torch.randn(8, 3))
    trainer.fit(Regression(), torch.utils.data.DataLoader(rows, batch_size=4))


# fmt: off
MISTAKES = (
    ("stores/keeping.py:_begun", "(kept('run'), kept('run'))", "folder", "another folder", "kept('other')"),
    ("stores/keeping.py:_begun#2", "(kept('run'), kept('run', 3, start=2))", "folder", "another folder",
     "kept('other', 3)"),
    ("stores/lightning_callback.py:LightningCheckpoints.on_train_start", "fitted(max_epochs=-1)", "trainer",
     "Trainer(max_steps=...)", "(lambda Trainer: ADVICE)(lambda max_steps: fitted(max_steps=2))"),
    ("stores/grid.py:on_grid", "open_checkpoints({5: state(), 7: state()}, every=4)", "every", 'every="log:24"',
     "open_checkpoints([state(), state()], ADVICE)"),
    ("stores/grid.py:on_grid#2", "open_checkpoints([state()], every='24')", "every", 'every="log:24"',
     "open_checkpoints([state()], ADVICE)"),
    ("stores/hub_opening.py:open_hub", "remote('hf://net')", "source", '"hf://EleutherAI/pythia-70m"',
     "remote(ADVICE.replace('EleutherAI/pythia-70m', 'org/net'))"),
    ("stores/hub_opening.py:_Listing.choose", "pickled()", "source", "pickle=True", "pickled(ADVICE)"),
    ("stores/hub_opening.py:_Listing.choose", "remote('hf://org/empty')", "source", '"hf://org/empty@REVISION"',
     "remote(ADVICE.replace('REVISION', 'with-weights'))"),
    ("stores/hub_checkpoints.py:HubCheckpoints._require_room", "on_a_full_disk(patch).load(1)", "hub",
     'hub=Hub(cache="FOLDER")', "(patch.undo(), (lambda Hub: remote('hf://org/net', "
     "hub=lambda **given: Hub(endpoint=given['endpoint'], cache=FOLDER / 'larger')))(Hub).load(1))[1]"),
    ("stores/hub_series.py:_matching", "remote('hf://org/twice@*-step{N}')", "source", '"hf://org/twice@b"',
     "remote(ADVICE)"),
    ("stores/hub_series.py:_matching#2", "remote('hf://org/net@stage{N}')", "source", '"hf://org/net"',
     "remote(ADVICE)"),
    ("stores/hub_series.py:_refuse", "remote('hf://org/lines')", "source", '"hf://org/lines@b"', "remote(ADVICE)"),
    ("stores/pins.py:Pins.require_unmoved", "after_a_move()", "source", 'hub=Hub(moved="keep")',
     "(lambda Hub: after_a_move(ADVICE))(partial(partial, Hub))"),
    ("stores/pins.py:Pins.require_unmoved", "after_a_move()", "source", 'hub=Hub(moved="take")',
     "(lambda Hub: after_a_move(ADVICE))(partial(partial, Hub))"),
    ("stores/repository.py:Repository._ask", "without_the_library(patch, installed=False)", "source",
     'pip install "ontogeny[hf]"', "without_the_library(patch, installed=True)"),
    ("stores/repository.py:Repository._ask#2", "remote('hf://org/nothing')", "source", '"hf://organisation/name"',
     "remote(ADVICE.replace('organisation/name', 'org/net'))"),
    ("stores/repository.py:Repository._ask#3", "remote('hf://org/net@step9')", "source", '"hf://org/net"',
     "remote(ADVICE)"),
    (OPENING + "open_checkpoints", "open_checkpoints([state()], pickle=True)", "pickle", "no pickle=",
     "open_checkpoints([state()])"),
    ("stores/locks.py:locked", "within('a', 'a')", "out", "another folder", "within('a', 'b')"),
    ("stores/locks.py:locked", "within('a', 'a')", "out", "the same when that process has ended",
     "within('a') and within('a')"),
    ("stores/adapters.py:load_adapter", "loaded(adapter(r=3), dict(of_adapter()))", "model_fn",
     "peft.PeftModel.from_pretrained(base, folder)",
     "loaded((lambda base, folder: ADVICE)(base(), FOLDER / 'checkpoint-3'), of_adapter())"),
    ("stores/adapters.py:_require_settings", "loaded(adapter(lora_alpha=9), of_adapter())", "model_fn",
     "peft.get_peft_model(base, peft.PeftConfig.from_pretrained(folder))",
     "loaded((lambda base, folder: ADVICE)(base(), FOLDER / 'checkpoint-3'), of_adapter())"),
    ("stores/checkpoints.py:Checkpoints._require", "open_checkpoints([state()]).load(3)", "step", "run.steps",
     "(lambda run: [run.load(step) for step in ADVICE])(open_checkpoints([state()]))"),
    ("stores/entries.py:state_dict_in", "opened(saved(beside(), 'model.pt'), key='head')", "key", "key='encoder'",
     "opened(saved(beside(), 'model.pt'), ADVICE)"),
    ("stores/entries.py:state_dict_in", "opened(saved(state(), 'model.pt'), key='head')", "key", "no key",
     "opened(saved(state(), 'model.pt'))"),
    ("stores/entries.py:_by_itself#2", "opened(saved(beside(), 'model.pt'))", "source",
     "open_checkpoints(..., key='decoder')",
     "(lambda open_checkpoints: ADVICE)(lambda _, key: opened(saved(beside(), 'model.pt'), key=key))"),
    ("stores/entries.py:_by_itself#2", "opened(whole())", "source",
     'lambda path: torch.load(path, map_location="cpu", weights_only=False).state_dict()',
     "loaded(linear(), opened(whole(), load=ADVICE).load(0))"),
    ("stores/entries.py:_by_itself#2", "opened(saved([1.0, 2.0], 'model.pt'))", "source",
     "open_checkpoints(..., load=function)",
     "opened(saved([1.0, 2.0], 'model.pt'), load=lambda path: {'w': torch.tensor(torch.load(path))})"),
    ("stores/entries.py:_by_itself", "opened(saved(optimizer(), 'model_3.pt'))", "source", "model.pt",
     "opened(saved(state(), 'ADVICE'))"),
    ("stores/layouts.py:_only", "opened(series('checkpoint-3/best.pt', 'checkpoint-3/other.pt').parent)", "source",
     '/best.pt"', "opened(series('checkpoint-3/best.pt') / 'best.pt')"),
    ("stores/loading.py:_require_fit", "loaded(linear(5), state())", "model_fn",
     "a model_fn that makes the trained network", "loaded(linear(3), state())"),
    ("stores/loading.py:_require_fit",
     "loaded(linear(), opened(saved(state() | {'b': torch.ones(1)}, 'm.pt')).load(0))", "model_fn",
     "open_checkpoints(..., load=function)",
     "loaded(linear(), opened(saved(state(), 'm.pt'), load=lambda path: torch.load(path)).load(0))"),
    ("stores/loading.py:_require_fit", "loaded(Counting(persistent=True), state())", "model_fn",
     "register_buffer(..., persistent=False)", "loaded(Counting(persistent=False), state())"),
    ("stores/loading.py:_require_fit", "loaded(base(), of_adapter())", "model_fn",
     "peft.PeftModel.from_pretrained(base, folder)",
     "loaded((lambda base, folder: ADVICE)(base(), FOLDER / 'checkpoint-3'), of_adapter())"),
    ("stores/loading.py:_require_fit",
     "loaded(linear(), {f'{part}.{name}': each for part in ('a', 'b') for name, each in state().items()})",
     "model_fn", "open_checkpoints(..., key='a')",
     "loaded(linear(), opened(saved({f'a.{name}': each for name, each in state().items()}, 'm.pt'), "
     "key='a').load(0))"),
    ("stores/manifest.py:require_replaceable", "require_replaceable(written('mine'))", "path", "another path",
     "require_replaceable(FOLDER / 'other')"),
    (OPENING + "open_checkpoints#2", "open_checkpoints([state()], load=torch.load)", "load", "no load=",
     "open_checkpoints([state()])"),
    (OPENING + "open_checkpoints#3", "open_checkpoints(3)", "source", "a list", "open_checkpoints([state()])"),
    (OPENING + "open_checkpoints#6", "open_checkpoints({'3': state()})", "source", "{0: model.state_dict()}",
     "(lambda model: open_checkpoints(ADVICE))(linear())"),
    (OPENING + "open_checkpoints#4", "open_checkpoints([])", "source", "[model.state_dict()]",
     "(lambda model: opened(ADVICE))(linear())"),
    (OPENING + "open_checkpoints#5", "open_checkpoints([linear()])", "source", "[model.state_dict()]",
     "(lambda model: opened(ADVICE))(linear())"),
    (OPENING + "open_checkpoints#5", "open_checkpoints([series('model_3.pt') / 'model_3.pt'])", "source",
     "the folder or pattern of files", "opened(series('model_3.pt'))"),
    (OPENING + "_on_disk", "open_checkpoints(series('final.pt'))", "source", "final.pt", "opened(FOLDER / 'ADVICE')"),
    (OPENING + "_on_disk", "open_checkpoints(FOLDER / 'nothing')", "source", '"model_{N}.pt"',
     "(series('model_3.pt'), opened(inside(ADVICE)))"),
    (OPENING + "_refuse_aliases", "moved_model(clone=False)", "source",
     "{name: tensor.clone() for name, tensor in model.state_dict().items()}", "moved_model(clone=True)"),
    (READING + "read_file", "opened(arrays())", "source", "open_checkpoints(..., load=function)",
     "opened(arrays(), load=of_arrays)"),
    (READING + "_require_whole", "opened(scripted())", "source",
     'lambda path: torch.jit.load(path, map_location="cpu").state_dict()',
     "loaded(linear(), opened(scripted(), load=ADVICE).load(0))"),
    (READING + "_refusal", "opened(executing())", "source",
     'lambda path: torch.load(path, map_location="cpu", weights_only=False)', "opened(executing(), load=ADVICE)"),
    (SERIES + "paths_by_step", "open_checkpoints(inside('checkpoint-{N}-{N}'))", "source", '"checkpoint-{N}"',
     "(series('checkpoint-3/model.pt'), opened(inside(ADVICE)))"),
    (SERIES + "paths_by_step", "open_checkpoints(inside('epoch-{N}-{N}'))", "source", '"epoch=*-step={N}.ckpt"',
     "(series('epoch=1-step=3.ckpt', 'epoch=2-step=6.ckpt'), opened(inside(ADVICE)).steps == [3, 6])[1]"),
    (SERIES + "paths_by_step#2", "(series('a_1.pt', 'a_2.pt'), open_checkpoints(inside('b_{N}.pt')))", "source",
     "a_{N}.pt", "opened(inside('ADVICE'))"),
    (SERIES + "find_series", "open_checkpoints(series('a_1.pt', 'a_2.pt', 'b_1.pt', 'b_2.pt'))", "source",
     "b_{N}.pt", "opened(inside('ADVICE'))"),
    (SERIES + "_one_a_step", "(series('a1_1.pt', 'a2_1.pt'), open_checkpoints(inside('a*_{N}.pt')))", "source",
     "a1_{N}.pt", "opened(inside('ADVICE'))"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    names = dict(globals())
    if "adapter" in mistake.wrong:
        names["peft"] = pytest.importorskip("peft")
    names["patch"] = monkeypatch
    if "without_the_library" in mistake.wrong:
        with monkeypatch.context() as patch:
            names["patch"] = patch
            follow(_undone(mistake), names)
        return
    follow(mistake, names)


def _undone(mistake: Mistake) -> Mistake:
    """The mistake with what it patched undone before what is right."""
    return Mistake(**(vars(mistake) | {"right": f"(patch.undo(), {mistake.right})[1]"}))
