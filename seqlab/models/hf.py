"""Any causal language model of the library transformers, small and with random weights, behind the contract."""

import copy
import functools
import inspect
import logging
from collections import namedtuple
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge, Interval, Le
from torch import Tensor, nn

from seqlab.contract.measure import by_steps, difference, random_inputs
from seqlab.model import Rereading, check_room, device_of, zeros
from seqlab.models.hf_cache import CacheForm
from seqlab.models.hf_config import Sizes, build, offline, refusals, width_of
from seqlab.nn.embedding import input_layer
from seqlab.spec import Spec, Tokens

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of a difference, as a multiple of the largest logit; layers of the library round to float32
BATCHES = 5, 3  # with which steps are held against whole sequences: one type goes wrong with 3 rows alone
MOST_STEPS = 20  # of these sequences: more than a chunk of hf_config.CHUNK steps
CACHE_NAMES = ("past_key_values", "cache_params", "state")


class HFState(NamedTuple):
    """The tensors of the library's cache, how many inputs are in it, and for how many the state is made."""

    length_B: Tensor  # int64, like the room the same in every row
    room_B: Tensor
    parts: Any  # a NamedTuple of tensors


@functools.cache
def parts_type(number: int) -> Any:
    """The NamedTuple type with a field for each tensor of a cache."""
    return namedtuple("Parts", [f"part_{index}" for index in range(number)])


class HF(Rereading):
    """A causal language model of transformers with the interface of a sequence model.

    The constructor holds the model to the contract. It refuses one that sees the future or mixes rows. Where steps with
    the library's cache differ from whole sequences, each step reads everything again; the log and the table say so. So
    no list of good types is needed. The cache is taken apart into tensors after each step: a state is a value.

    Args:
        spec: input and output format. Learned embeddings of tokens are the library's own.
        type: a `model_type` of the library that has a causal language model: gpt2, llama, mamba2 ...
        d_model: width of the residual stream.
        num_layers: number of layers; those of a hybrid are of each kind in turn.
        num_heads: attention heads, for keys and values too; heads of a state-space layer.
        ff_dim: width of the feed-forward layers and of each expert.
        dropout: every rate of dropout that the type has.
        config: further keys of the type's own configuration, which go before these sizes. Keys that could fetch
            something or run other code are refused.

    Raises:
        ValueError: there is no such type or key, the library refuses the sizes, the type does not read such inputs, it
            sees the future or mixes rows, or the extra hf_models is not installed.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        type: str = "gpt2",
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 4,
        num_heads: Annotated[int, Ge(1)] = 4,
        ff_dim: Annotated[int, Ge(1)] = 256,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        config: Mapping[str, Any] | None = None,
    ):
        super().__init__(spec)
        self.model_type = type
        self.net = build(type, spec, Sizes(d_model, num_layers, num_heads, ff_dim), dropout, config or {})
        self.embedding: nn.Module | None = None
        with refusals(type):
            self._fit_inputs_and_outputs()
        self.most_steps: int | None = getattr(self.net.config, "max_position_embeddings", None)
        self._refuse_more_than_it_reads(spec.max_length)
        names = inspect.signature(self.net.forward).parameters
        self.cache_name = next((name for name in CACHE_NAMES if name in names), None)
        self.cache_form: CacheForm | None = None
        if device_of(self).type != "meta":
            self._hold_to_the_contract()

    def _fit_inputs_and_outputs(self) -> None:
        """Our input layer, unless the library's reads such ids; a head of the width of the outputs."""
        if not (isinstance(self.spec.input, Tokens) and self.spec.input.embedding == "learned"):
            self.embedding = input_layer(self.spec, width_of(self.net))
            self.net.set_input_embeddings(nn.Identity())
        head = self.net.get_output_embeddings()
        if head.weight.shape[0] != self.spec.output.width:
            new = nn.Linear(head.weight.shape[1], self.spec.output.width, bias=head.bias is not None)
            self.net.set_output_embeddings(new)

    @torch.no_grad()
    def _hold_to_the_contract(self) -> None:
        """Refuse a model that is not causal, and find out whether its cache can be trusted.

        Raises:
            ValueError: an output depends on later inputs or on other rows, or the model does not read such inputs.
        """
        self.eval()
        with offline(), torch.random.fork_rng(devices=[]):
            inputs = random_inputs(self.spec, BATCHES[0], min(MOST_STEPS, self.spec.max_length))
            with refusals(self.model_type):
                whole, half = self(inputs), (inputs.shape[1] + 1) // 2
                leak = max(difference(self(inputs[:, :stop]), whole[:, :stop]) for stop in (1, half))
                mixed = difference(self(inputs[-1:])[0], whole[-1])
            for error, fault in ((leak, "outputs depend on later inputs"), (mixed, "the rows of a batch are mixed")):
                if error > TOLERANCE:
                    raise ValueError(f"model.type={self.model_type} is not causal here: {fault} (by {error:.1g})")
            try:
                self.cache_form = self._learned_form(inputs)
                self._check_steps(inputs, whole)
            except Exception as error:  # whatever the library does with a cache that it did not expect
                self.cache_form = None
                log.info("model.type=%s: each step reads all inputs again, because %s", self.model_type, error)
        self.rereads = self.cache_form is None
        self.train()

    def _learned_form(self, inputs: Tensor) -> CacheForm:
        if self.cache_name is None:
            raise ValueError("it has no cache")
        caches = [self._cache(self._run(inputs[:, :steps], use_cache=True)) for steps in (1, 2, 3)]
        return CacheForm(caches, len(inputs))

    def _check_steps(self, inputs: Tensor, whole: Tensor) -> None:
        """Raise ValueError if reading step by step, or steps after a chunk, give other logits than whole sequences."""
        half = inputs.shape[1] // 2
        for batch in BATCHES:
            rows, expected = inputs[:batch], whole[:batch]
            stepwise, _ = by_steps(self, rows, self.init_state(batch))
            _, state = self.prefill(rows[:, :half], self.init_state(batch))
            rest, _ = by_steps(self, rows[:, half:], state)
            error = max(difference(stepwise, expected), difference(rest, expected[:, half:]))
            if error > TOLERANCE:
                raise ValueError(f"steps of {batch} rows differ from whole sequences by {error:.1g}")

    def _run(self, inputs: Tensor, **arguments: Any) -> Any:
        inputs_of = {"input_ids": inputs} if self.embedding is None else {"inputs_embeds": self.embedding(inputs)}
        try:
            return self.net(**inputs_of, return_dict=True, **arguments)
        except (IndexError, RuntimeError) as error:  # beyond its table of positions
            if isinstance(error, torch.OutOfMemoryError) or inputs.shape[1] <= self.spec.max_length:
                raise
            raise ValueError(f"model.type={self.model_type} does not read {inputs.shape[1]} steps: {error}") from error

    def _cache(self, output: Any) -> Any:
        return getattr(output, str(self.cache_name))

    def forward(self, inputs: Tensor) -> Tensor:
        return self._run(inputs, use_cache=False).logits

    @torch.no_grad()
    def attentions(self, inputs: Tensor) -> list[Tensor]:
        """The attention weights of each layer that has them, (batch, heads, steps, steps) float32; rows sum to 1.

        The library has weights in its plain implementation alone (`eager`). They are left out where the type computes
        something else there (falcon), and where what it calls so are no weights (rwkv).
        """
        eager, steps = copy.deepcopy(self), inputs.shape[1]
        eager.net.set_attn_implementation("eager")
        output = eager._run(inputs, use_cache=False, output_attentions=True)
        if difference(output.logits, self._run(inputs, use_cache=False).logits) > TOLERANCE:
            return []
        found = [one.float() for one in getattr(output, "attentions", None) or () if isinstance(one, Tensor)]
        return [one for one in found if one.ndim == 4 and one.shape[2:] == (steps, steps)]

    def _refuse_more_than_it_reads(self, steps: int) -> None:
        if self.most_steps is not None and steps > self.most_steps:
            raise ValueError(
                f"model.type={self.model_type} reads up to {self.most_steps} steps, not {steps}; "
                f"model.config={{max_position_embeddings: {steps}}} makes it larger"
            )

    def init_state(self, batch: int, length: int | None = None) -> Any:
        room = self.spec.max_length if length is None else length
        self._refuse_more_than_it_reads(room)
        if self.cache_form is None:
            return super().init_state(batch, length)
        parts = [
            zeros(self, batch, *shape, dtype=None if dtype.is_floating_point else dtype)
            for shape, dtype in self.cache_form.shapes
        ]
        numbers = zeros(self, batch, dtype=torch.int64)
        return HFState(numbers, numbers + room, parts_type(len(parts))(*parts))

    def prefill(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        if self.cache_form is None:
            return super().prefill(inputs, state)
        length, time = int(state.length_B[0]), inputs.shape[1]
        check_room(length, time, int(state.room_B[0]))
        if length and time > 1:  # several types forget their state before a chunk
            logits, state = by_steps(self, inputs, state)
            return logits, state
        past = {str(self.cache_name): self.cache_form.whole(state.parts, length)} if length else {}
        output = self._run(inputs, use_cache=True, **past)
        parts = self.cache_form.parts(self._cache(output))
        return output.logits, HFState(state.length_B + time, state.room_B, parts_type(len(parts))(*parts))
