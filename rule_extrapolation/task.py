"""The task of rule extrapolation: training on a formal language and scoring completions by its rules."""

from collections.abc import Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

from rule_extrapolation import inside
from rule_extrapolation.auxiliary import AuxiliaryLoss
from rule_extrapolation.baselines import compare
from rule_extrapolation.broken import before_end, broken
from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.mass import check_length, masses
from rule_extrapolation.metrics import NAMES, model_loss, rule_results, score
from rule_extrapolation.prompts import Prompt, framed
from rule_extrapolation.samples import few, sampled_rows, table
from rule_extrapolation.sampling import sampled
from rule_extrapolation.scoring import COLUMNS, Scoring
from seqlab.answers import GREEDY, Answer, Sampling, Steps
from seqlab.decode import Decoded, greedy
from seqlab.errors import InputError
from seqlab.metrics import Mean
from seqlab.model import SequenceModel, device_of, evaluating
from seqlab.randomness import derived_seed
from seqlab.task import Checks, Results, Split, Task, Watched, predictions_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RuleExtrapolation(Task[GrammarDataModule, SequenceModel]):
    """Next-token prediction on strings of a language, evaluated by greedy completions of ID, OOD and empty prompts.

    Args:
        datamodule: the language's strings and prompts.
        eval_max_length: maximum number of symbols in prompt and completion together at evaluation (None:
            data.max_length).
        temperature: completions are sampled from softmax(logits / temperature), not greedy (None).
        num_draws: sampled completions of each prompt.
        mass_length: measure the probability of all strings of at most so many symbols, by the rules that they keep
            (None: do not; see rule_extrapolation/mass.py).
        auxiliary: train on OOD prompts as well: on completions that keep rule 1 (`oracle`) or that just miss it
            (`adversarial`); see rule_extrapolation/auxiliary.py.
        auxiliary_weight: weight of that loss beside the loss on the language's strings.
        scoring: which faults of the published protocol loss and scores have; None: none, and no `scored` metrics.

    Raises:
        ValueError: a prompt is longer than eval_max_length, or mass_length is too long for the language or the model,
            or no OOD prompt has the completion that `auxiliary` asks for.
    """

    columns = MappingProxyType(
        {
            "loss": "test/loss",
            "nats above optimal": "test/nats_above_optimal",
            "accuracy": "test/accuracy",
            "ID grammatical": "test/id/grammatical",
            "OOD rule 1": "test/ood/rule_1",
            "OOD rule 2 completion": "test/ood/rule_2_completion",
            "OOD both": "test/ood/rule_1_and_rule_2_completion",
            "empty prompt grammatical": "test/sos/grammatical",
        }
    )
    better = MappingProxyType(
        dict.fromkeys(columns.values(), "high") | {"test/loss": "low", "test/nats_above_optimal": "low"}
    )

    def __init__(
        self,
        datamodule: GrammarDataModule,
        *,
        eval_max_length: Annotated[int, Ge(1)] | None = None,
        temperature: Annotated[float, Interval(gt=0, lt=inf)] | None = None,
        num_draws: Annotated[int, Ge(1)] = 20,
        mass_length: Annotated[int, Ge(1)] | None = None,
        auxiliary: Literal["none", "adversarial", "oracle"] = "none",
        auxiliary_weight: Annotated[float, Gt(0)] = 1.0,
        scoring: Scoring | None = None,
    ):
        super().__init__(datamodule)
        self.temperature, self.num_draws = temperature, num_draws if temperature is not None else 1
        self.scoring = scoring
        self.token_loss = model_loss if scoring is None else scoring.token_loss
        if scoring is not None:
            self.columns = COLUMNS  # type: ignore[misc]
            self.better = MappingProxyType(dict.fromkeys(COLUMNS.values(), "high") | {"test/loss": "low"})  # type: ignore[misc]
        self.grammar = datamodule.grammar
        self.max_length = datamodule.max_length if eval_max_length is None else eval_max_length
        self.prompts = datamodule.prompts._asdict()  # id, ood, sos
        longest = max(len(prompt) for prompts in self.prompts.values() for prompt in prompts)
        if longest > self.max_length:
            raise ValueError(f"eval.max_length={self.max_length} must be at least {longest}, the longest prompt")
        self.kind, self.weight = auxiliary, auxiliary_weight
        self.auxiliary: AuxiliaryLoss | None = None
        if auxiliary != "none":
            self.auxiliary = AuxiliaryLoss(self.grammar, self.prompts["ood"], auxiliary, self.max_length)
        self.mass_length = mass_length
        if mass_length is not None:
            check_length(self.grammar, mass_length, self.max_length)

    def check_model(self, model: SequenceModel) -> None:
        """Raise ValueError if the model cannot read as many steps as an evaluation needs."""
        model.init_state(1, self.max_length + 1)

    def title(self) -> str:
        grammar = self.grammar
        paper = f"({grammar.paper} in the paper)" if grammar.paper else "(not in the paper)"
        language = f"{grammar.name}, {grammar.label} {paper}" if grammar.label else f"{grammar.name} {paper}"
        sampled = "" if self.temperature is None else f"; {self.num_draws} completions sampled at {self.temperature:g}"
        trained = "" if self.auxiliary is None else f"; trained on OOD prompts too ({self.kind})"
        if self.scoring is not None:  # the variants of the protocol share a table, whatever their strings
            how = "the published protocol, or what is left of it"
            return f"{language}, {grammar.language_class}; {how}{trained}{sampled}"
        return f"{language}, {grammar.language_class}; {self.data.kept_apart}{trained}{sampled}"

    def notes(self) -> Sequence[str]:
        """How many test strings are distinct."""
        strings = self.data.test_strings
        return [f"{len(strings.unique(dim=0)):,} of the {len(strings):,} test strings are distinct."]

    def loss(self, model: SequenceModel, batch: Tensor) -> Tensor:
        """Mean cross-entropy in nats over real targets: EOS counts, PAD does not (but see `scoring`).

        With `auxiliary`, its weighted loss is added; a validation measures the two apart.
        """
        loss = self.token_loss(model, batch)[0]
        return loss if self.auxiliary is None else loss + self.weight * self.auxiliary(model)

    def num_targets(self, batch: Tensor) -> int:
        return (self.scoring or Scoring()).num_targets(batch)

    def evaluate(self, model: SequenceModel, split: Split) -> Results:
        """Loss and accuracy on the strings of a split, and proportions of completions that satisfy each rule."""
        return self._measured(model, split, self.complete(model))

    def _measured(self, model: SequenceModel, split: Split, decoded: Decoded) -> Results:
        loss, accuracy = Mean(), Mean()
        with evaluating(model):
            for batch in self.batches(model, split):
                mean_loss, mean_accuracy, count = self.token_loss(model, batch)
                loss.update(mean_loss, count)
                accuracy.update(mean_accuracy, count)
            tokens = {f"{split}/loss": loss.compute()}
            if self.scoring is None and (optimum := self.data.optimum(split)) is not None:
                tokens[f"{split}/nats_above_optimal"] = loss.compute() - optimum.loss
            tokens[f"{split}/accuracy"] = accuracy.compute()
            if self.auxiliary is not None:
                tokens[f"{split}/auxiliary_loss"] = float(self.auxiliary(model))
        if self.mass_length is not None:
            short = masses(model, self.grammar, self.mass_length)
            tokens |= {f"{split}/mass/{name}": mass for name, mass in short.items()}
        return tokens | rule_results(self.grammar, self.prompts, split, decoded, self.num_draws)

    def watch(self, model: SequenceModel) -> Watched:
        decoded = self.complete(model)
        shown = self._records(
            decoded, sampled_rows([len(prompts) * self.num_draws for prompts in self.prompts.values()])
        )
        return Watched(
            self._measured(model, "val", decoded), {"completions": table(shown)}, predictions_line(few(shown))
        )

    def complete(self, model: SequenceModel) -> Decoded:
        """Completions of all prompts: ID, then OOD, then the empty prompt; `num_draws` rows each if they are sampled.

        As published, each set is a batch of its own; that matters where a model mixes the rows of a batch.
        """
        if self.scoring is None:
            return self._completed(model, [prompt for prompts in self.prompts.values() for prompt in prompts], "all")
        sets = [self._completed(model, prompts, name) for name, prompts in self.prompts.items()]
        return Decoded(*(torch.cat(parts) for parts in zip(*sets, strict=True)))

    def _completed(self, model: SequenceModel, prompts: list[Prompt], name: str) -> Decoded:
        if self.temperature is None:
            return self._greedy(model, prompts)
        seed, temperature = derived_seed(self.data.seed, "sampled completions", name), self.temperature
        room, draws = self.max_length, self.num_draws
        return sampled(model, prompts, max_length=room, temperature=temperature, num_draws=draws, seed=seed)

    def _greedy(self, model: SequenceModel, prompts: Sequence[Prompt]) -> Decoded:
        tokens, lengths = (part.to(device_of(model)) for part in framed(prompts))
        return greedy(model, tokens, lengths, max_length=self.max_length + 1)

    def baselines(self) -> Mapping[str, Results]:
        """Chance and five baselines, with the same decoding and metrics. Some have no loss or accuracy."""
        rows = compare(self.data, self.prompts, self.max_length, self.data.seed)
        if self.scoring is not None:
            self.scoring.apply_to(rows)
        return rows

    def concluded(self, results: Results, checks: Checks) -> Results:
        """The `scored` metrics, where a run has them."""
        return {} if self.scoring is None else self.scoring.scored(results, checks)

    def curves(self, checks: Checks) -> Mapping[str, "Figure"]:
        from rule_extrapolation.plots import mass_over_training  # here, because it loads matplotlib

        return {} if self.mass_length is None else {"mass": mass_over_training(checks, self.mass_length)}

    def examples(self, model: SequenceModel) -> list[dict[str, Any]]:
        """Every prompt with its completion, its scores and where it breaks a rule, `num_draws` times if sampled."""
        decoded = self.complete(model)
        records = self._records(decoded, range(len(decoded.tokens)))
        strings = map(before_end, decoded.tokens[:, 1:].tolist())
        return [
            record | {"broken": broken(self.grammar, string)} for record, string in zip(records, strings, strict=True)
        ]

    def meanings(self) -> Mapping[str, str]:
        """The two rules, what is asked of the completion alone, and the sets of prompts."""
        rules = {"rule_1": self.grammar.rule_1_description, "rule_2": self.grammar.rule_2_description}
        alone = "in the completion alone"
        rules |= {
            "rule_2_completion": f"the second rule, {alone}",
            "rule_1_and_rule_2_completion": f"both rules, the second {alone}",
        }
        return rules | {"id": "ID prompts", "ood": "OOD prompts", "sos": "empty prompt"}

    def _records(self, decoded: Decoded, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Some rows of the completions of all prompts: the set of the prompt, its text and its scores."""
        members = [
            (group, len(prompt))
            for group, prompts in self.prompts.items()
            for prompt in prompts
            for _ in range(self.num_draws)
        ]
        chosen = Decoded(*(part[list(rows)] for part in decoded))
        records = self._judged(chosen, [members[row][1] for row in rows])
        return [{"set": members[row][0]} | record for row, record in zip(rows, records, strict=True)]

    def _judged(self, decoded: Decoded, prompt_lengths: Sequence[int]) -> list[dict[str, Any]]:
        """The text and the scores of each row of some completions."""
        strings = decoded.tokens[:, 1:]
        lengths = torch.tensor(prompt_lengths, dtype=torch.long, device=strings.device)
        scores = score(self.grammar, strings, decoded.finished, lengths).tolist()
        records = []
        for symbols, length, holds in zip(strings.tolist(), prompt_lengths, scores, strict=True):
            symbols = before_end(symbols)
            texts = {"prompt": self.grammar.text(symbols[:length]), "completion": self.grammar.text(symbols[length:])}
            records.append(texts | dict(zip(NAMES, holds, strict=True)))
        return records

    def sample_prompt(self) -> str:
        """The first ID prompt of the evaluation."""
        return self.grammar.text(self.prompts["id"][0])

    def parse_prompt(self, text: str) -> tuple[int, ...]:
        """Parse a prompt of symbols of the language. Spaces are ignored.

        Raises:
            InputError: a symbol is not in the language, or the prompt exceeds max_length.
        """
        try:
            prompt = tuple(self.grammar.parse(text))
        except ValueError as error:
            raise InputError(str(error)) from error
        if len(prompt) > self.max_length:
            raise InputError(f"the prompt has {len(prompt)} symbols, at most {self.max_length} are allowed")
        return prompt

    def describe(self, model: SequenceModel, prompt: tuple[int, ...]) -> str:
        """The greedy completion of a prompt and the rules that the result satisfies, as text."""
        (record,) = self._judged(self._greedy(model, [prompt]), [len(prompt)])
        answer = {True: "yes", False: "no"}
        ending = "" if record["finished"] else f" (not finished within {self.max_length} symbols)"
        return "\n".join(
            [
                f"prompt      {record['prompt'] or '(empty)'}",
                f"completion  {record['completion'] or '(ends at once)'}{ending}",
                f"rule 1      {answer[record['rule_1']]}: {self.grammar.rule_1_description}",
                f"rule 2      {answer[record['rule_2']]}: {self.grammar.rule_2_description}",
                f"completion alone in the order or matching of rule 2: {answer[record['rule_2_completion']]}",
                f"in the language: {answer[record['grammatical']]}",
            ]
        )

    def inputs(self, prompt: Prompt) -> Tensor:
        return framed([prompt])[0]

    def steps(self, model: SequenceModel, prompt: Prompt) -> Steps:
        return inside.steps(model, self.grammar, prompt, self.max_length + 1)

    def answers(self, model: SequenceModel, prompt: Prompt, sampling: Sampling = GREEDY) -> list[Answer]:
        return inside.answers(model, self.grammar, prompt, self.max_length, sampling)

    def best(self, prompt: Prompt) -> str:
        return inside.best(self.grammar, prompt, self.max_length)

    def rules_left(self, prompt: Prompt) -> Mapping[str, Sequence[bool]]:
        return inside.rules_left(self.grammar, prompt)

    def sample_prompts(self) -> list[str]:
        """Some ID and OOD prompts of the evaluation."""
        sets = (self.prompts["id"], self.prompts["ood"])
        return [self.grammar.text(members[row]) for members in sets for row in sampled_rows([len(members)])]
