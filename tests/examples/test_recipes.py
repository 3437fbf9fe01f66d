"""Every recipe runs as it stands on its page, and finds what the page says.

Where jupytext, nbclient and ipykernel are installed, as `make recipes` sees to, they run as notebooks; as scripts
otherwise.
"""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hub_server import HubServer, Repo

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
QUICK = ("slurm_shards", "write_a_kernel")
SLOW = ("deeper_finetune", "induction_head", "pythia_head", "trainer_curve", "two_checkpoints", "which_samples")


def test_every_recipe_is_tested() -> None:
    assert sorted(path.stem for path in RECIPES.glob("*.py")) == sorted((*QUICK, *SLOW))


AS_NOTEBOOKS = all(importlib.util.find_spec(name) for name in ("jupytext", "nbclient", "ipykernel"))


def run(name: str, folder: Path, **environment: str) -> str:
    """What a recipe prints, in a folder of its own."""
    return (_of_notebook if AS_NOTEBOOKS else _of_script)(name, folder, os.environ | environment)


def _of_script(name: str, folder: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-W", "ignore", str(RECIPES / f"{name}.py")]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _of_notebook(name: str, folder: Path, environment: dict[str, str]) -> str:
    jupytext, nbclient = importlib.import_module("jupytext"), importlib.import_module("nbclient")
    notebook = jupytext.read(RECIPES / f"{name}.py")
    assert notebook.cells[0].cell_type == "markdown"
    client = nbclient.NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_recipe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(RECIPES / f"{name}.py"))
    output = capsys.readouterr().out
    if name == "write_a_kernel":
        assert abs(float(re.findall(r"off by ([-+.\d]+)", output)[0])) < 4
    else:
        assert "shard 2/3 has done" in output


@pytest.mark.slow
def test_two_checkpoints_have_a_difference(tmp_path: Path) -> None:
    assert re.search(r"between -?[\d.]+ and -?[\d.]+", run("two_checkpoints", tmp_path))


@pytest.mark.slow
def test_the_induction_head_is_found_when_it_forms(tmp_path: Path) -> None:
    output = run("induction_head", tmp_path)
    since = re.findall(r"\('(L\dH\d)', '(\w+)'\): (\d+)", output)
    assert {(head, kind) for head, kind, _ in since} == {("L0H1", "previous_token"), ("L1H2", "prefix_matching")}
    assert all(int(step) > 10 for *_, step in since)


@pytest.mark.slow
def test_wrong_labels_raise_the_loss_of_right_ones(tmp_path: Path) -> None:
    output = run("which_samples", tmp_path)
    wrong, right = map(float, re.findall(r"wrong labels ([-+.\d]+), right labels ([-+.\d]+)", output)[0])
    assert wrong > 0 > right
    assert "under weight noise" in output


@pytest.mark.slow
def test_fine_tunings_have_estimates_to_trust_and_are_undone(tmp_path: Path) -> None:
    output = run("deeper_finetune", tmp_path)
    assert output.count("converged:") == 2
    assert "not converged" not in output
    steps = dict(re.findall(r"(light|heavy): (\d+) steps", output))
    assert set(steps) == {"light", "heavy"}
    assert all(0 < int(count) < 2000 for count in steps.values())


@pytest.mark.slow
def test_a_run_of_the_trainer_becomes_a_report(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    output = run("trainer_curve", tmp_path)
    assert "[0, 1, 2, 5, 12, 26, 30, 60]" in output
    verdicts = re.findall(r"^\d+ .* (\w+)$", output, re.MULTILINE)
    assert verdicts == ["converged"] * 8
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "out" / "checkpoints" / "overhead.json").exists()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub on this machine with a series by the name of the smallest Pythia, of a tiny network."""
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import save
    from torch import manual_seed

    shape = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.GPTNeoXConfig(**shape, intermediate_size=32, max_position_embeddings=32)

    def files(seed: int) -> dict[str, bytes]:
        manual_seed(seed)
        weights = transformers.GPTNeoXForCausalLM(config).state_dict()
        return {"model.safetensors": save(weights), "config.json": config.to_json_string().encode()}

    server, repo = HubServer().start(), Repo()
    for seed, step in enumerate((0, 1, 8, 64, 512)):
        repo.add(f"step{step}", lambda seed=seed: files(seed))
    repo.add("main", lambda: files(4))
    server.repos = {"EleutherAI/pythia-14m": repo}
    yield server
    server.stop()


@pytest.mark.slow
def test_a_head_is_followed_over_a_series(hub: HubServer, tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    output = run("pythia_head", tmp_path, **environment)
    assert "[0, 1, 8, 512]" in output or "[0, 1, 64, 512]" in output
    assert "prefix_matching" in output


@pytest.mark.slow
@pytest.mark.skipif(not AS_NOTEBOOKS, reason="without notebooks: pip install ontogeny[docs]")
@pytest.mark.parametrize("name", QUICK)
def test_a_quick_recipe_is_a_notebook_too(name: str, tmp_path: Path) -> None:
    assert run(name, tmp_path)
