"""What programs rely on: JSON, exit codes, examples that parse, and extras that are what they say."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from torch import nn

from ontogeny.cli.app import app
from ontogeny.cli.doctor import EXTRAS, lines
from ontogeny.cli.examples import EXAMPLES, EXIT_CODES
from ontogeny.cli.told import Told

ROOT = Path(__file__).parents[2]
COMMANDS = typer.main.get_command(app).commands  # pyrefly: ignore[missing-attribute]
SETUP = """
import torch
from torch import nn
from ontogeny.core.losses import mse as loss_fn

data = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(40, 1)

def model_fn():
    return nn.Linear(2, 1, bias=False)
"""
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def setup(tmp_path: Path) -> Path:
    (tmp_path / "setup.py").write_text(SETUP)
    torch.save(nn.Linear(2, 1, bias=False).state_dict(), tmp_path / "model.pt")
    return tmp_path / "setup.py"


def test_every_command_has_examples_that_parse_and_knows_json() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()
    for name, command in COMMANDS.items():
        assert "--json" in {option for parameter in command.params for option in parameter.opts}, name
        for example in EXAMPLES[name]:
            program, called, *arguments = shlex.split(example)
            assert (program, called) == ("ontogeny", name)
            command.make_context(name, arguments)


def test_an_example_with_an_unknown_option_does_not_parse() -> None:
    with pytest.raises(Exception, match="--jsonn"):
        COMMANDS["studies"].make_context("studies", ["--jsonn"])


def test_an_estimate_is_one_json_object(ontogeny: Command, setup: Path) -> None:
    weights = setup.with_name("model.pt")
    quick = ["--set", "sampler.budget=4000"]
    code, output, errors = ontogeny("llc", weights, setup, *quick, "--json")
    assert code == 0, errors
    (estimate,) = json.loads(output)["estimates"]
    assert estimate["component"] == "all"
    assert estimate["num_samples"] == 40
    assert estimate["low"] < estimate["value"] < estimate["high"]
    assert "LLC" in errors
    few = ["--set", "sampler=fixed", "--set", "sampler.num_draws=5", "--set", "sampler.num_warmup=0"]
    assert ontogeny("llc", weights, setup, *few, "--strict")[0] == 3
    assert ontogeny("llc", weights, setup, *few)[0] == 0


def test_lists_are_json_objects(ontogeny: Command, setup: Path) -> None:
    sizes = json.loads(ontogeny("components", setup, "--json")[1])["components"]
    assert sum(sizes.values()) >= 2
    names = {each["name"]: each["presets"] for each in json.loads(ontogeny("studies", "--json")[1])["studies"]}
    assert "quick" in names["language"]
    facts = json.loads(ontogeny("doctor", "--json")[1])
    assert facts["optional"].keys() == EXTRAS.keys()
    assert facts["packages"]["torch"] == torch.__version__


def test_what_is_missing_is_told_with_how_to_get_it() -> None:
    get = 'pip install "ontogeny[ray]"'
    about = {"purpose": "jobs", "packages": {"ray": None}, "missing": ["ray"], "get": get}
    facts = dict.fromkeys(("ontogeny", "python", "machine", "cores", "threads"), "")
    told = lines({**facts, "packages": {}, "gpus": [], "optional": {"ray": about}})
    assert told[-1] == f"  ray (jobs): missing ray; {get}"


def test_numbers_that_json_lacks_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    Told(True).result(value=float("nan"), parts=(torch.tensor(2.0), Path("a")))
    assert json.loads(capsys.readouterr().out) == {"value": None, "parts": [2.0, "a"]}


def test_extras_are_those_of_the_package_and_are_used() -> None:
    """Doctor's table is that of pyproject.toml, and every package in it is imported somewhere."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    packages = {name: tuple(re.split(r"[\[><=]", line)[0] for line in extras[name]) for name in extras}
    assert {name: extra.packages for name, extra in EXTRAS.items()} == {
        name: packages[name] for name in packages if name not in ("dev", "docs")
    }
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    for name, extra in EXTRAS.items():
        for package in extra.packages:
            module = package.replace("-", "_")
            assert re.search(rf"(import|from) {module}\b|import_module\(\"{module}", sources), (name, package)


def test_an_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("raise KeyboardInterrupt\n")
    command = [sys.executable, "-m", "ontogeny", "components", str(tmp_path / "setup.py")]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 130


def test_exit_codes_are_those_of_the_source() -> None:
    """Every code that a command exits with is documented."""
    used = {0, 130}
    for path in (ROOT / "src" / "ontogeny" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "typer.Exit"):
                used |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    assert used == set(EXIT_CODES)


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes_commands(shell: str) -> None:
    command = [sys.executable, "-m", "ontogeny"]
    words = {"COMP_WORDS": "ontogeny st", "COMP_CWORD": "1"} if shell == "bash" else {}
    words |= {"_TYPER_COMPLETE_ARGS": "ontogeny st", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    name = "_PYTHON _M ONTOGENY_COMPLETE".replace(" ", "_")
    result = subprocess.run(
        command, env={**words, name: f"complete_{shell}", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert {"study", "studies"} <= set(re.findall(r"\bstud\w+", result.stdout)), result.stdout + result.stderr
