"""What the documents show works as shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vcmbench.config.job import load_job
from vcmbench.config.training import load_training
from vcmbench.interfaces import Batch

ROOT = Path(__file__).resolve().parents[1]
TRAINING = ROOT / "examples" / "train_decoder.yaml"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


def python_blocks(document: str) -> list[str]:
    """The Python examples of a document."""
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    """A relative link names a file of the repository."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_python_example_of_the_readme_runs() -> None:
    """The example gives the scores that its comment shows."""
    [block] = python_blocks("README.md")
    *statements, last = block.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)  # noqa: S102  # our own document
    expression, _, comment = last.partition("#")
    assert eval(expression.strip(), names) == eval(comment.strip())  # noqa: S307  # likewise


def test_the_metric_of_the_contributing_guide_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole metric shown there is complete and right."""
    [block] = python_blocks("CONTRIBUTING.md")
    module = ModuleType("mean_absolute_error")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(block, vars(module))  # noqa: S102  # our own document
    black = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    scores = module.MeanAbsoluteError().score(Batch(black), Batch(black + 5))
    assert scores == {"mae": [5.0, 5.0]}


@pytest.mark.parametrize("job", sorted({*ROOT.glob("examples/*.yaml")} - {TRAINING}), ids=lambda path: path.name)
def test_every_example_job_is_accepted(job: Path) -> None:
    """The example job files pass all checks but those for data and weights."""
    assert load_job(job, ["untrained=true"]).codecs  # whose weights are not on every machine


def test_the_example_of_a_training_is_accepted() -> None:
    """The example of `vcmbench train-decoder` passes all checks but those for data."""
    assert load_training(TRAINING)[1].steps


def test_every_fault_that_is_described_has_its_test() -> None:
    """The tests that docs/faults.md names are there."""
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs/faults.md").read_text(encoding="utf-8"))
    assert len(named) > 50
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"
