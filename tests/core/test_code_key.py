"""An edit of code that a function reaches is another key; where its text stands, and who runs it, is not."""

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import ontogeny
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.losses import mse

HELPERS = """
import torch
SLOPE = 0.5
TABLE = {"a": [1, 2], "b": frozenset({"x", "y", "z"})}
def square(x): return x ** 2
class Base:
    width = 3
    def scale(self, x): return x * 2
"""
USER = """
import functools
import user_helpers
from dataclasses import dataclass
from user_helpers import square
from torch import nn
from pydantic import BaseModel
import torch

SCALE = 1.0
UNUSED = 1

def helper(a, b): return square(a - b)

def loss(model, batch):
    x, y = batch
    return SCALE * helper(model(x), y)

def through_module(x): return user_helpers.SLOPE * x

def imports(x):
    from user_helpers import SLOPE
    return SLOPE * x

def imports_module(x):
    import user_helpers as helpers
    return helpers.square(x)

def decorate(function):
    @functools.wraps(function)
    def wrapper(*args): return function(*args) + SCALE
    return wrapper

@decorate
def decorated(x): return x * 3

@torch.no_grad()
def frozen(x): return x * 4

@functools.lru_cache
def cached(x): return x * 5

def default(x, how=helper): return how(x, x)

def nested(x): return [(lambda y: helper(y, SCALE))(z) for z in x if z in {"p", "q", "r"}]

def even(n): return True if n == 0 else odd(n - 1)
def odd(n): return False if n == 0 else even(n - 1)

class Net(nn.Module):
    gain = 1.0
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.ones_(self.linear.bias)
        self.depth = 2
    @property
    def twice(self): return 2
    @staticmethod
    def static(x): return x
    def forward(self, x): return self.activation(self.linear(x))
    def activation(self, x): return x

class Child(user_helpers.Base):
    def run(self, x): return self.scale(x)

@dataclass
class Setting:
    rate: float = 0.1
    def apply(self, x): return x * self.rate

class Config(BaseModel):
    rate: float = 0.1
    def apply(self, x): return x * self.rate

def make(): return Net()
def make_config(): return Config()
partial = functools.partial(helper, 1.0)
method = Setting().apply
whole = lambda name: getattr(user_helpers, name)
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """The user's modules, imported anew after edits of their text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write_and_import(*edits: tuple[str, str]) -> ModuleType:
        texts = {"user_helpers": HELPERS, "user": USER}
        for old, new in edits:
            assert sum(old in text for text in texts.values()) == 1, old
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module("user")

    return write_and_import


SQUARE, CONSTANT = ("return x ** 2", "return abs(x)"), ("SCALE = 1.0", "SCALE = 100.0")
SLOPE, FORWARD = ("SLOPE = 0.5", "SLOPE = 0.6"), ("self.activation(self.linear(x))", "torch.tanh(self.linear(x))")
RATE = "class Config(BaseModel):\n    rate: float"
REACHED = [
    ("loss", ("return square(a - b)", "return square(b + a)")),
    ("loss", SQUARE),
    ("loss", CONSTANT),
    ("through_module", SLOPE),
    ("imports", SLOPE),
    ("imports_module", SQUARE),
    ("decorated", ("x * 3", "x * 4")),
    ("decorated", CONSTANT),
    ("frozen", ("x * 4", "x * 5")),
    ("cached", ("x * 5", "x * 6")),
    ("default", SQUARE),
    ("nested", CONSTANT),
    ("nested", ('{"p", "q", "r"}', '{"p", "q", "s"}')),
    ("even", ("return False if", "return None if")),
    ("make", FORWARD),
    ("Net", FORWARD),
    ("Net", ("gain = 1.0", "gain = 2.0")),
    ("Net", ("def twice(self): return 2", "def twice(self): return 3")),
    ("Net", ("def static(x): return x", "def static(x): return -x")),
    ("Child", ("return x * 2", "return x * 3")),
    ("Child", ("width = 3", "width = 4")),
    ("Setting", ("def apply(self, x): return x * self.rate\n\nclass", "def apply(self, x): return -x\n\nclass")),
    ("Setting", ("class Setting:\n    rate: float = 0.1", "class Setting:\n    rate: float = 0.2")),
    ("make_config", (f"{RATE} = 0.1", f"{RATE} = 0.2")),
    ("make_config", (RATE, RATE.replace("float", "int | float"))),
    ("partial", SQUARE),
    ("method", ("def apply(self, x): return x * self.rate\n\nclass", "def apply(self, x): return -x\n\nclass")),
    ("whole", SLOPE),
    ("user_helpers", SQUARE),
]


@pytest.mark.parametrize(("name", "edit"), REACHED, ids=[f"{name}: {new[-24:]}" for name, (_, new) in REACHED])
def test_an_edit_of_what_is_reached_is_another_key(
    name: str, edit: tuple[str, str], load: Callable[..., ModuleType]
) -> None:
    before = fingerprint(getattr(load(), name))
    assert fingerprint(getattr(load(), name)) == before  # imported anew, from the same text
    assert fingerprint(getattr(load(edit), name)) != before


@pytest.mark.parametrize("edit", [FORWARD, ("gain = 1.0", "gain = 2.0"), ("self.depth = 2", "self.depth = 3")])
def test_an_instance_of_an_edited_module_class_is_another_key(
    edit: tuple[str, str], load: Callable[..., ModuleType]
) -> None:
    before = fingerprint(load().Net())
    assert fingerprint(load().Net()) == before
    assert fingerprint(load(edit).Net()) != before


NAMES = ["loss", "make", "decorated", "even", "nested", "Child", "Setting", "Config", "partial", "method", "cached"]


@pytest.mark.parametrize("name", NAMES)
def test_comments_docstrings_lines_paths_and_what_is_not_reached_do_not_count(
    name: str, load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    before = fingerprint(getattr(load(), name))
    texts = [
        ("SCALE = 1.0", "# a comment\n\n\nSCALE = 1.0"),
        ("UNUSED = 1", "UNUSED = 2\ndef unused(): return 3"),
        ("    x, y = batch", '    """What it is."""\n    # and why\n    x, y = (\n        batch\n    )'),
        ("    def activation(self, x): return x", '    def activation(self, x):\n        "same"\n        return x'),
        ("class Setting:", 'class Setting:\n    """A setting."""'),
        ("def make(): return Net()", 'def make():\n    """A net."""\n\n    return Net()'),
    ]
    assert fingerprint(getattr(load(*texts), name)) == before
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    load()
    sys.modules.pop("user")
    (tmp_path / "user.py").rename(moved / "user.py")
    sys.path.insert(0, str(moved))
    try:
        importlib.invalidate_caches()
        assert fingerprint(getattr(importlib.import_module("user"), name)) == before
    finally:
        sys.path.remove(str(moved))


@pytest.mark.parametrize(("text", "same"), [('"""Text."""', True), ("pass", True), ("width = 2", False)])
def test_a_docstring_in_a_class_inside_a_function_does_not_count(text: str, same: bool) -> None:
    def key(text: str) -> str:
        exec(f"def make():\n class Inner:\n  {text}\n  depth = 1\n return Inner", namespace := {})
        return fingerprint(namespace["make"])

    assert (key(text) == key("")) == same


def test_keys_are_the_same_in_every_process_whatever_the_hash_seed(
    load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    user = load()
    here = {name: fingerprint(getattr(user, name)) for name in [*NAMES, "whole", "user_helpers"]}
    together = fingerprint({user.even, user.odd, user.loss})
    script = (
        "import user; from ontogeny.core.fingerprint import fingerprint\n"
        f"print({{name: fingerprint(getattr(user, name)) for name in {list(here)}}})\n"
        "print(fingerprint({user.even, user.odd, user.loss}))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    there, set_there = answer.stdout.splitlines()
    assert eval(there) == here
    assert set_there == together


def test_code_of_main_counts_as_the_users(tmp_path: Path) -> None:
    def key(scale: float) -> str:
        text = f"SCALE = {scale}\ndef loss(x): return SCALE * x\n"
        text += "from ontogeny.core.fingerprint import fingerprint\nprint(fingerprint(loss))"
        (tmp_path / "script.py").write_text(text)
        command = [sys.executable, str(tmp_path / "script.py")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert key(1.0) == key(1.0) != key(2.0)


def test_code_of_a_notebook_is_the_users_though_a_library_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", torch.__file__, raising=False)
    cells = ({"__name__": "__main__", "SCALE": scale} for scale in (1.0, 2.0))
    keys = set()
    for cell in cells:
        exec("def loss(x): return SCALE * x", cell)
        keys.add(fingerprint(cell["loss"]))
    assert len(keys) == 2


def test_ontogeny_and_libraries_count_by_name_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"ours": fingerprint(mse), "theirs": fingerprint(nn.functional.mse_loss)}
    assert fingerprint(mse) == before["ours"]
    monkeypatch.setattr(ontogeny, "__version__", "99.0")
    assert fingerprint(mse) != before["ours"]
    assert fingerprint(nn.functional.mse_loss) == before["theirs"]
    monkeypatch.setattr("ontogeny.core.origins._version", lambda top: f"{top} 99.0")
    assert fingerprint(nn.functional.mse_loss) != before["theirs"]


def test_checks_of_annotations_at_run_time_do_not_count(load: Callable[..., ModuleType]) -> None:
    from beartype import beartype
    from jaxtyping import jaxtyped

    user = load()
    checked = jaxtyped(typechecker=beartype)(user.helper)
    assert checked is not user.helper
    assert fingerprint(checked) == fingerprint(user.helper)


def test_hooks_and_mode_of_a_module_do_not_count_but_freezing_does() -> None:
    module = nn.Linear(2, 1)
    before = fingerprint(module)
    module.eval().register_forward_hook(lambda *args: None)
    assert fingerprint(module) == before
    module.bias.requires_grad_(False)
    assert fingerprint(module) != before


@pytest.mark.slow  # torch takes seconds to load its compiler
def test_a_compiled_module_or_function_is_what_was_compiled() -> None:
    module = nn.Linear(2, 1)
    keys = [fingerprint(torch.compile(module, backend="eager")) for _ in range(2)]
    assert keys[0] == keys[1]
    assert fingerprint(torch.compile(nn.Linear(2, 1), backend="eager")) != keys[0]


def test_what_cannot_be_covered_is_refused_with_the_way_to_it() -> None:
    lock = __import__("threading").Lock()

    def helper() -> Any:
        return lock

    def loss() -> Any:
        return helper()

    with pytest.raises(InvalidArgument, match=r"object of type _thread\.lock, reached by .*loss → .*helper.*inside"):
        fingerprint(functools.partial(loss))
