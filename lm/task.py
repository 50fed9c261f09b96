"""The task of language modelling: training, perplexity beside n-grams and compressors, and generated text."""

from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import cross_entropy

from lm.baselines import compare
from lm.datamodule import TextDataModule
from lm.metrics import TextMetrics, token_scores
from lm.tokenizer import DOCUMENT_ID
from seqlab.answers import GREEDY, Answer, Sampling, Steps
from seqlab.decode import Choose, continuation, sampler
from seqlab.errors import InputError
from seqlab.model import SequenceModel, device_of, evaluating, precise
from seqlab.proportion import Proportion
from seqlab.task import Results, Split, Task, Watched, predictions_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_TOKENS_SHOWN = 120  # tokens of a sample in logs, in predictions.jsonl and of --sample
NUM_TOKENS_DESCRIBED = 16  # tokens of the sample in describe(), which has to be quick
NUM_NEXT = 5  # most probable next tokens in describe()
TEMPERATURE = 0.8  # of these samples


class LanguageModel(Task[TextDataModule, SequenceModel]):
    """Predicts the next token after every prefix of a window.

    Args:
        datamodule: the text.
        stride: distance of the windows for evaluating models with a bounded context; None: half the context.
        prompts: prompts that the model continues in the logs during training.

    Raises:
        ValueError: stride is larger than the context.
    """

    columns = MappingProxyType(
        {
            "perplexity": "test/perplexity",
            "bits per character": "test/bits_per_character",
            "bits per byte": "test/bits_per_byte",
        }
    )
    better = MappingProxyType(dict.fromkeys(columns.values(), "low"))

    def __init__(
        self,
        datamodule: TextDataModule,
        *,
        stride: Annotated[int, Ge(1)] | None = None,
        prompts: tuple[str, ...] = ("\n",),
    ):
        super().__init__(datamodule)
        context = datamodule.context_length
        if stride is not None and stride > context:
            raise ValueError(f"task.stride={stride} exceeds data.context_length={context}: tokens would be skipped")
        self.stride = stride or context // 2
        self.prompts = prompts

    def title(self) -> str:
        return f"{self.data.corpus.description}, {self.data.tokenizer.vocabulary_size:,} tokens; split by position"

    def loss(self, model: SequenceModel, batch: Tensor) -> Tensor:
        """Cross-entropy in nats per token."""
        return cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    def files(self) -> dict[str, str]:
        return {"tokenizer.json": self.data.tokenizer.json}

    def rates(self, batch: Tensor) -> Mapping[str, int]:
        return {"train/tokens_per_second": batch.shape[0] * self.data.context_length}

    def evaluate(self, model: SequenceModel, split: Split) -> Results:
        """The metrics of lm.metrics.TextMetrics on a split; on test, also the 95% interval of the perplexity."""
        metrics = TextMetrics()
        with evaluating(model):
            for ids in self.batches(model, split):
                metrics.update(token_scores(model, ids, stride=self.stride), getattr(self.data.corpus, split))
        results: dict[str, Proportion | float] = {f"{split}/{name}": row for name, row in metrics.compute().items()}
        if split == "test" and (interval := metrics.perplexity_interval()):
            results |= {"test/perplexity_low": interval[0], "test/perplexity_high": interval[1]}
        return results

    def watch(self, model: SequenceModel) -> Watched:
        results = self.evaluate(model, "val")
        samples = self.samples(model)
        texts = {"samples": "\n\n---\n\n".join(f"```\n{sample}\n```" for sample in samples.values())}
        rows = [(prompt, sample.removeprefix(prompt), "") for prompt, sample in samples.items()]
        return Watched(results, texts, predictions_line(rows))

    def baselines(self) -> Mapping[str, Results]:
        """Compressors and n-grams, on the same text."""
        tokenizer = self.data.tokenizer
        return compare(self.data.corpus, tokenizer.encode_documents, tokenizer.vocabulary_size)

    def figures(
        self, model: SequenceModel, results: Results, baselines: Mapping[str, Results]
    ) -> "Mapping[str, Figure]":
        from lm.plots import bits_per_character

        return {"bits_per_character": bits_per_character({"model": results, **baselines})}

    def tokens(
        self,
        model: SequenceModel,
        start_tokens: Tensor,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> Iterator[Tensor]:
        """An endless iterator over sampled tokens (batch,) after start_tokens (batch, time).

        The state or cache is carried. When the window of a model with a bounded context is full, it advances by half.

        Args:
            model: the language model.
            start_tokens: at least one token per row.
            temperature, top_k, top_p: as in seqlab.decode.sampler.
            seed: seed of the samples.

        Raises:
            InputError: start_tokens exceed the context of a model with a bounded context.
        """
        generator = torch.Generator(device_of(model)).manual_seed(seed)
        choose = sampler(generator=generator, temperature=temperature, top_k=top_k, top_p=top_p)
        return self.chosen(model, start_tokens, choose)

    def chosen(self, model: SequenceModel, start_tokens: Tensor, choose: Choose) -> Iterator[Tensor]:
        """As `tokens`, each chosen from its logits by `choose`."""
        self._refuse_long(model, start_tokens)
        hop = None if model.endless_state else max(1, self.data.context_length // 2)
        return continuation(model, start_tokens.to(device_of(model)), choose=choose, hop=hop)

    def _refuse_long(self, model: SequenceModel, tokens: Tensor) -> None:
        context = self.data.context_length
        if tokens.shape[1] > context and not model.endless_state:
            raise InputError(
                f"the prompt has {tokens.shape[1]} tokens, and the model reads data.context_length={context} "
                "at once: shorten it"
            )

    def generate(
        self,
        model: SequenceModel,
        start_tokens: Tensor,
        max_length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Continue start_tokens (batch, time) to max_length tokens per row: (batch, max_length) int64 on the CPU.

        Args:
            model: the language model.
            start_tokens: at least one token per row.
            max_length: number of tokens of prompt and continuation together.
            temperature, top_k, top_p: as in seqlab.decode.sampler.
            seed: seed of the samples; equal seeds give equal texts.

        Raises:
            ValueError: start_tokens is empty or longer than max_length, or a setting is out of range.
        """
        given = start_tokens.shape[1]
        if not 1 <= given <= max_length:
            raise ValueError(f"{given} start tokens: 1 to max_length={max_length} are needed")
        with evaluating(model):
            tokens = self.tokens(model, start_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
            new = [token.cpu() for token in islice(tokens, max_length - given)]
        return torch.cat([start_tokens.cpu(), *(token.unsqueeze(1) for token in new)], dim=1)

    def samples(self, model: SequenceModel) -> dict[str, str]:
        """{prompt: prompt and sampled continuation} for the fixed prompts. The seed is the same at every validation."""
        texts = {}
        for prompt in self.prompts:
            start = self.parse_prompt(prompt)
            texts[prompt] = self._sample(model, start, NUM_TOKENS_SHOWN)
        return texts

    def _sample(self, model: SequenceModel, start: Tensor, number: int) -> str:
        ids = self.generate(model, start, start.shape[1] + number, temperature=TEMPERATURE, seed=self.data.seed)
        return self.data.tokenizer.decode(ids[0].tolist())

    def examples(self, model: SequenceModel) -> list[dict[str, Any]]:
        """The samples as in the logs, but from the final model."""
        samples = self.samples(model).items()
        return [
            {"set": "samples", "prompt": prompt, "completion": text.removeprefix(prompt)} for prompt, text in samples
        ]

    def sample_prompt(self) -> str:
        """The first line of the fixed prompts that has letters and can be typed; empty if there is none."""
        lines = (line for prompt in self.prompts for line in prompt.splitlines())
        return next((line for line in lines if line.strip() and line.isprintable()), "")

    def sample_prompts(self) -> list[str]:
        """The fixed prompts that have letters, and one of a play."""
        return [*(prompt for prompt in self.prompts if prompt.strip()), "ROMEO:"]

    def parse_prompt(self, text: str) -> Tensor:
        """The ids of a text, (1, length) int64; DOCUMENT for an empty text.

        Raises:
            InputError: the text cannot be encoded as UTF-8 (the command line had an invalid byte).
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            wrong = text[error.start]
            raise InputError(f"the prompt is not UTF-8: its character {error.start + 1} is {wrong!r}") from None
        return torch.tensor([self.data.tokenizer.encode(text) or [DOCUMENT_ID]])

    def _text(self, token: int) -> str:
        return self.data.tokenizer.decode([token])

    def steps(self, model: SequenceModel, prompt: Tensor) -> Steps:
        """The probability of each token after each token of the prompt."""
        self._refuse_long(model, prompt)
        with evaluating(model):
            logits, _ = model.prefill(prompt.to(device_of(model)), model.init_state(1, prompt.shape[1]))
        tokens = [self._text(token) for token in range(self.data.tokenizer.vocabulary_size)]
        return Steps([self._text(token) for token in prompt[0].tolist()], tokens, precise(logits[0]).softmax(-1).cpu())

    def answers(self, model: SequenceModel, prompt: Tensor, sampling: Sampling = GREEDY) -> list[Answer]:
        """The next 120 tokens."""
        with evaluating(model):
            new = self.chosen(model, prompt.expand(sampling.number, -1), sampling.chooser(prompt.tolist()))
            tokens = torch.stack(list(islice(new, NUM_TOKENS_SHOWN)), 1).tolist()
        read, decode = self.data.tokenizer.decode(prompt[0].tolist()), self.data.tokenizer.decode
        return [Answer([read], [decode(row)], blank="") for row in tokens]

    def describe(self, model: SequenceModel, prompt: Tensor) -> str:
        """The most probable next tokens and a sample of 16, as text."""
        sample = self._sample(model, prompt, NUM_TOKENS_DESCRIBED)
        with evaluating(model):
            logits, _ = model.prefill(prompt.to(device_of(model)), model.init_state(1))
        best = logits[0, -1].float().softmax(-1).cpu().topk(NUM_NEXT)
        tokenizer = self.data.tokenizer
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return "\n".join(
            [
                "next    " + "   ".join(f"{tokenizer.decode([id])!r} ({probability:.1%})" for id, probability in pairs),
                f"sample  (temperature {TEMPERATURE}, seed {self.data.seed})",
                sample,
            ]
        )
