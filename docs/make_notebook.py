"""Write docs/notebook.ipynb: the cells below, executed from the start in a fresh kernel.

Needs `pip install 'seqlab[notebook]'`.

python docs/make_notebook.py
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("notebook.ipynb")

CELLS = [
    """# From Python

A language, a model and their evaluation, first by hand, then as a run. Everything here takes less
than a minute on one CPU core; a run of this size learns little.""",
    """## A language

`Dyck` owns its symbols, its sampler and its rules. A rule scores a whole batch of strings at once.""",
    """from rule_extrapolation.dyck import Dyck

language = Dyck()
language.sample(4, length=8, seed=1)""",
    """{text: language.judge(text) for text in ("([])", "([)]", "))[]")}""",
    """A rule scores a whole batch at once, and a batch is a function of lengths and uniform numbers.""",
    """import torch

lengths = torch.tensor([6, 6, 6])
generator = torch.Generator().manual_seed(1)
uniforms = torch.rand(3, language.num_uniforms(6), dtype=torch.float64, generator=generator)
strings = language.batch(lengths, uniforms)
[language.text(string) for string in strings], language.rule_1(strings).tolist()""",
    """## A model, trained by hand

A data module knows its `Spec`, a model is built from it, and a batch is a function of the step. No
trainer is needed.""",
    """from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.metrics import token_loss
from seqlab.model import num_parameters
from seqlab.models.lstm import LSTM
from seqlab.optim import adamw

torch.set_num_threads(1)
torch.manual_seed(1)
data = GrammarDataModule(grammar=language, max_length=16, batch_size=64, seed=1)
model = LSTM(data.spec, d_model=16, hidden_dim=64, num_layers=1)
optimizer = adamw(model, lr=1e-2)
losses = []
for step in range(300):
    batch = data.train_batch(step)
    loss, _, _ = token_loss(model(batch[:, :-1]), batch[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
last = sum(losses[-20:]) / 20
print(f"{num_parameters(model):,} parameters; loss {losses[0]:.2f}, after 300 steps {last:.2f}")""",
    """import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(5, 2.5))
axes.plot(losses)
axes.set(xlabel="step", ylabel="nats a token")
figure.tight_layout()""",
    """## Decoding, and how often chance would do as well

Prompts are enumerated; which of them are out of distribution follows from the rules. `greedy`
carries the model's state.""",
    """from rule_extrapolation.baselines import chance
from rule_extrapolation.prompts import framed, prompts
from seqlab.decode import greedy

model.eval()
tested = prompts(language, 4)
for name, group in (("ID", tested.id), ("OOD", tested.ood)):
    ids, prompt_lengths = framed(group)
    with torch.inference_mode():
        decoded = greedy(model, ids, prompt_lengths, max_length=data.spec.max_length)
    kept = language.rule_1(decoded.tokens[:, 1:]).float().mean().item()
    by_chance = chance(language, group, 16)["rule_1"]
    print(f"{name}: {len(group)} prompts, rule 1 kept by {kept:.2f}, by chance {by_chance:.2f}")""",
    """from rule_extrapolation.complete import complete

complete(model, "( [", language, max_length=16)""",
    """## The same as a run

`seqlab.train` does what the command does: early stopping, checkpoints, baselines, plots, in one folder.""",
    """import tempfile
from pathlib import Path

import seqlab

folder = Path(tempfile.mkdtemp()) / "first"
run = seqlab.train("model=linear data=L5 data.max_length=16 data.prompt_lengths=[4] trainer=fast", dir=folder)
summary = run.summary
print(type(run.model).__name__, summary["steps"], "steps")
print("ID grammatical:", summary["metrics"]["test/id/grammatical"])
print("beside it:", {name: values["test/id/grammatical"] for name, values in summary["baselines"].items()})
print(run.predict("( [ ]"))""",
    """losses = run.metrics["val/loss"].dropna()
figure, axes = plt.subplots(figsize=(5, 2.5))
axes.plot(losses.index, losses, ".-")
axes.set(xlabel="step", ylabel="nats a token, validation")
figure.tight_layout()""",
    """A finished run can train further: `resume` goes on, bit for bit as if it had not stopped.""",
    """print(run.resume(max_steps=summary["steps"] + 20).summary["steps"], "steps")
seqlab.choices("data")""",
    """## A model of your own

Any module that maps ids to logits is tested beside chance and the baselines.""",
    """class Echo(torch.nn.Module):
    \"\"\"Says again what it has just read.\"\"\"

    def forward(self, ids):
        return 9 * torch.nn.functional.one_hot(ids, 7).float()


rows = seqlab.evaluate(Echo(), "data=L5 data.max_length=16 data.prompt_lengths=[4]")
{name: row["id/grammatical"] for name, row in rows.items()}""",
]


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def lines(text: str) -> list[str]:
    """As notebooks store text."""
    return text.splitlines(keepends=True)


def main() -> int:
    """Execute the cells in an empty folder and write the notebook."""
    from nbclient import NotebookClient  # pyright: ignore[reportMissingImports]
    from nbformat import from_dict  # pyright: ignore[reportMissingImports]

    path = [str(FILE.parents[1]), os.environ.get("PYTHONPATH")]  # of the kernel, which starts in another folder
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    cells: list[dict[str, Any]] = []
    for number, source in enumerate(CELLS):
        is_text = source.startswith(("#", "A ")) and not source.startswith("#!")
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": source}
        cell |= {"cell_type": "markdown"} if is_text else {"cell_type": "code", "outputs": [], "execution_count": None}
        cells.append(cell)
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook: Any = from_dict({"cells": cells, "metadata": spec, "nbformat": 4, "nbformat_minor": 5})
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    plain = json.loads(json.dumps(notebook))
    for cell in plain["cells"]:
        cell["metadata"] = {}
        cell["source"] = lines(source_of(cell))
        if cell["cell_type"] == "code":  # without the warnings of notebooks about notebooks
            cell["outputs"] = [output for output in cell["outputs"] if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            output.pop("metadata", None)
            if output["output_type"] != "stream":
                output["metadata"] = {}
            for key, value in output.get("data", {}).items():
                if key.startswith("text/"):
                    output["data"][key] = lines(value)
            if "text" in output:
                output["text"] = lines(output["text"])
    plain["metadata"] = spec
    FILE.write_text(
        re.sub(r"0x[0-9a-f]{6,}", "0x...", json.dumps(plain, indent=1, ensure_ascii=False)) + "\n", encoding="utf-8"
    )
    print(f"wrote {FILE}, {FILE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
