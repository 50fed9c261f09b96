"""Training language models, their perplexity beside n-grams and compressors, and what they write."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Annotated, Any

import torch
from annotated_types import Ge
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from lm.baselines import text_baselines
from lm.datamodule import Part, TextDataModule
from lm.metrics import TextMetrics, token_scores
from lm.plots import bits_per_character
from lm.tokenizer import DOCUMENT_ID
from seqlab.decode import continuation, sampler
from seqlab.errors import InputError
from seqlab.lit.module import Module, Results
from seqlab.model import SequenceModel
from seqlab.schedule import Schedule
from seqlab.share import Share

logger = logging.getLogger(__name__)

NUM_TOKENS_SHOWN = 120  # of a sample in logs, in completions.jsonl and in what describe() says
NUM_NEXT = 5  # most probable next tokens that describe() gives
TEMPERATURE = 0.8  # of those samples


class LanguageModel(Module):
    """The next token after every prefix of a window.

    Args:
        model: a token model.
        datamodule: the text.
        optimizer, schedule, seed: as in seqlab.lit.module.Module.
        stride: of the windows in which models with a bounded context are measured; null: half their context.
        prompts: what the model continues in the logs during training.
    """

    columns = MappingProxyType(
        {
            "perplexity": "test/perplexity",
            "bits per character": "test/bits_per_character",
            "bits per byte": "test/bits_per_byte",
        }
    )
    better = MappingProxyType(dict.fromkeys(columns.values(), "low"))
    data: TextDataModule
    model: SequenceModel

    def __init__(
        self,
        *,
        model: nn.Module,
        datamodule: TextDataModule,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Schedule,
        seed: int,
        stride: Annotated[int, Ge(1)] | None = None,
        prompts: tuple[str, ...] = ("\n",),
    ):
        super().__init__(model=model, datamodule=datamodule, optimizer=optimizer, schedule=schedule, seed=seed)
        context = datamodule.context_length
        if stride is not None and stride > context:
            raise ValueError(f"task.stride={stride} is beyond data.context_length={context}: tokens would be left out")
        self.stride = stride or context // 2
        self.prompts = prompts
        self.metrics = TextMetrics()
        self.logged: tuple[int, float] | None = None

    def title(self) -> str:
        return f"{self.data.corpus.description}, {self.data.tokenizer.vocabulary_size:,} tokens; split by position"

    def loss(self, batch: Tensor) -> Tensor:
        """Cross-entropy in nats a token."""
        return cross_entropy(self.model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    def files(self) -> dict[str, str]:
        return {"tokenizer.json": self.data.tokenizer.json}  # what the ids mean

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        if self.logs_this_step():
            now = time.monotonic()
            if self.logged is not None:
                step, then = self.logged
                tokens = (self.global_step - step) * batch.shape[0] * self.data.context_length
                self.row["train/tokens_per_second"] = tokens / (now - then)
            self.logged = (self.global_step, now)
        return loss

    def _measure(self, ids: Tensor, part: Part) -> None:
        scores = token_scores(self.model, ids, stride=self.stride)
        self.metrics.update(scores, getattr(self.data.corpus, part))

    def _results(self, stage: str) -> dict[str, Share | float]:
        results = {f"{stage}/{name}": value for name, value in self.metrics.compute().items()}
        self.metrics.reset()
        return results

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self._measure(batch, "val")

    def on_validation_epoch_end(self) -> None:
        results = self._results("val")
        self.log_results(results)
        samples = list(self.samples().values())
        self.log_text("samples", "\n\n---\n\n".join(f"```\n{sample}\n```" for sample in samples))
        perplexity = results["val/perplexity"]
        logger.info("step %d: perplexity %.1f, for example:\n%s", self.global_step, perplexity, samples[-1])
        self.logged = None  # the time of a validation is not the training's

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self._measure(batch, "test")

    def on_test_epoch_end(self) -> None:
        interval = self.metrics.perplexity_interval() or ()
        bounds = zip(("test/perplexity_low", "test/perplexity_high"), interval, strict=False)  # 95%
        self.results = self._results("test") | dict(bounds)

    def baselines(self) -> Mapping[str, Results]:
        """Compressors and n-grams, on the same text."""
        tokenizer = self.data.tokenizer
        return text_baselines(self.data.corpus, tokenizer.encode_documents, tokenizer.vocabulary_size)

    def figures(self) -> dict[str, Figure]:
        return {"bits_per_character": bits_per_character({"model": self.results, **self.baseline_results})}

    def tokens(
        self,
        start_tokens: Tensor,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> Iterator[Tensor]:
        """The tokens (batch,) after start_tokens (batch, time), drawn one after the other, for ever.

        State or cache is carried. A model with a bounded context moves its window on by half when it is full.
        """
        generator = torch.Generator(self.device).manual_seed(seed)
        choose = sampler(generator=generator, temperature=temperature, top_k=top_k, top_p=top_p)
        hop = None if self.model.endless_state else max(1, self.data.context_length // 2)
        return continuation(self.model, start_tokens.to(self.device), choose=choose, hop=hop)

    def generate(
        self,
        start_tokens: Tensor,
        max_length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Continue start_tokens (batch, time) to max_length tokens a row: (batch, max_length) on the CPU.

        Args:
            start_tokens: at least one token a row.
            max_length: of prompt and continuation together.
            temperature, top_k, top_p: as in seqlab.decode.sampler.
            seed: the same seed, the same text.

        Raises:
            ValueError: when start_tokens is empty or longer than max_length, or a setting is out of range.
        """
        given = start_tokens.shape[1]
        if not 1 <= given <= max_length:
            raise ValueError(f"{given} start tokens: 1 to max_length={max_length} are needed")
        was_training = self.training
        self.eval()
        try:
            tokens = self.tokens(start_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
            new = [token.cpu() for token in islice(tokens, max_length - given)]
        finally:
            self.train(was_training)
        return torch.cat([start_tokens.cpu(), *(token.unsqueeze(1) for token in new)], dim=1)

    def samples(self) -> dict[str, str]:
        """The fixed prompts, each with what follows; the same random numbers at every validation."""
        texts = {}
        for prompt in self.prompts:
            start = self.parse_prompt(prompt)
            ids = self.generate(start, start.shape[1] + NUM_TOKENS_SHOWN, temperature=TEMPERATURE, seed=self.seed)
            texts[prompt] = self.data.tokenizer.decode(ids[0].tolist())
        return texts

    def examples(self) -> list[dict[str, Any]]:
        """The samples that the logs show, from the final model."""
        return [{"set": "samples", "prompt": prompt, "completion": text} for prompt, text in self.samples().items()]

    def parse_prompt(self, text: str) -> Tensor:
        """The ids of a text, (1, length); of no text, DOCUMENT.

        Raises:
            InputError: for a text without a UTF-8 form (a byte of the command line that is none), and when a model with
                a bounded context cannot read it whole.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            wrong = text[error.start]
            raise InputError(f"the prompt is no UTF-8: its character {error.start + 1} is {wrong!r}") from None
        ids = self.data.tokenizer.encode(text) or [DOCUMENT_ID]
        if len(ids) > self.data.context_length and not self.model.endless_state:
            raise InputError(
                f"the prompt has {len(ids)} tokens, and the model reads data.context_length="
                f"{self.data.context_length} at once: shorten it"
            )
        return torch.tensor([ids])

    def describe(self, prompt: Tensor) -> str:
        """The most probable next tokens, and one sample."""
        with torch.inference_mode():
            logits, _ = self.model.prefill(prompt.to(self.device), self.model.init_state(1))
        best = logits[0, -1].float().softmax(-1).cpu().topk(NUM_NEXT)
        tokenizer = self.data.tokenizer
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ids = self.generate(prompt, prompt.shape[1] + NUM_TOKENS_SHOWN, temperature=TEMPERATURE, seed=self.seed)
        return "\n".join(
            [
                "next    " + "   ".join(f"{tokenizer.decode([id])!r} ({share:.1%})" for id, share in pairs),
                f"sample  (temperature {TEMPERATURE}, seed {self.seed})",
                tokenizer.decode(ids[0].tolist()),
            ]
        )
