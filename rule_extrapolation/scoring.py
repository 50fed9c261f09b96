"""How a run on a formal language is scored where it repeats the published protocol, fault by fault.

The public code counted PAD as a target, scored finished completions alone, and reported the maximum of each metric
over all validations of a run (docs/faults.md). Each has a key here, so that what it does to a result can be measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor
from torch.nn.functional import cross_entropy

from rule_extrapolation.metrics import model_loss
from rule_extrapolation.rules import PAD
from seqlab.model import SequenceModel, precise
from seqlab.proportion import Proportion, value_of

SCORED = {  # heading -> set of prompts and property, as metrics are named
    "ID grammatical": ("id", "grammatical"),
    "OOD rule 1": ("ood", "rule_1"),
    "OOD rule 2 completion": ("ood", "rule_2_completion"),
    "empty prompt grammatical": ("sos", "grammatical"),
}
COLUMNS = MappingProxyType(
    {"loss": "test/loss"}
    | {f"{heading}, as scored": f"test/scored_{group}_{name}" for heading, (group, name) in SCORED.items()}
    | {heading: f"test/{group}/{name}" for heading, (group, name) in SCORED.items()}
)


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Which faults of the published protocol a run's loss and its `scored` metrics have. All off is how we score.

    Args:
        loss_on_pad: PAD is a target, in training and in validation, so that a loss is a mean over the padded length.
        only_finished: a `scored` metric is over finished completions alone, and 0 where none has finished.
        maximum: a `scored` metric is the highest value of any validation, each metric on its own. Without it, it is
            the value of the test, at best.ckpt.
    """

    loss_on_pad: bool = False
    only_finished: bool = False
    maximum: bool = False

    def token_loss(self, model: SequenceModel, strings: Tensor) -> tuple[Tensor, Tensor, int]:
        """Mean cross-entropy in nats, next-token accuracy and the number of targets of framed strings (batch, time)."""
        return (padded_loss if self.loss_on_pad else model_loss)(model, strings)

    def num_targets(self, strings: Tensor) -> int:
        """The number of targets of framed strings (batch, time)."""
        targets = strings[:, 1:]
        return targets.numel() if self.loss_on_pad else int((targets != PAD).sum())

    def scored(
        self,
        results: Mapping[str, Proportion | float],
        checks: Mapping[str, Sequence[tuple[int, float]]],
    ) -> dict[str, float]:
        """The `scored` metrics of a finished run.

        Args:
            results: of its test.
            checks: metric -> (step, value) of each validation. A proportion without trials is not among them.
        """
        found = {}
        for group, name in SCORED.values():
            metric = f"{group}_finished/{name}" if self.only_finished else f"{group}/{name}"
            if self.maximum:
                value = max((value for _, value in checks.get(f"val/{metric}", [])), default=0.0)
            else:
                value = value_of(results[f"test/{metric}"]) or 0.0
            found[f"test/scored_{group}_{name}"] = value
        return found

    def apply_to(self, baselines: Mapping[str, dict[str, Proportion | float]]) -> None:
        """Add the `scored` metrics to the results of baselines, whose maximum is their only value.

        Their losses do not count PAD: they are taken out where the model's does. Nats above the optimum are no metric
        of a model here.
        """
        for results in baselines.values():
            results.pop("test/nats_above_optimal", None)
            if self.loss_on_pad:
                for metric in ("test/loss", "test/accuracy"):
                    results.pop(metric, None)
            for group, name in SCORED.values():
                plain = results.get(f"test/{group}/{name}")  # exact chance knows no finished completions
                result = results.get(f"test/{group}_finished/{name}", plain) if self.only_finished else plain
                if result is not None:
                    results[f"test/scored_{group}_{name}"] = value_of(result) or 0.0


def padded_loss(model: SequenceModel, strings: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean cross-entropy in nats over all targets, PAD among them; accuracy over these; and their number.

    On n strings that are all equally likely, each of which is settled by its length, no model has less than
    ln(n) / T with T targets per string: what precedes EOS tells the strings apart once, and PAD after EOS is certain.
    For aNbN up to 256 symbols that is ln(128) / 257 = 0.01888.
    """
    targets = strings[:, 1:]
    logits = model(strings[:, :-1])
    loss = cross_entropy(precise(logits).flatten(0, 1), targets.flatten())
    return loss, (logits.argmax(-1) == targets).float().mean(), targets.numel()
