"""The commands of the project by name. This module imports nothing of it, and no command before it is called."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command.

    module: its function main(arguments) parses the arguments and returns the exit code.
    purpose: one line for the list of commands.
    """

    module: str
    purpose: str


COMMANDS = {
    "train": Command("seqlab.training", "train a model on a data set, or with -m a sweep; resume a run"),
    "predict": Command("seqlab.predict", "what a trained model predicts for a prompt"),
    "play": Command("seqlab.play.__main__", "a local page to give prompts to trained models and look inside"),
    "report": Command("seqlab.report.__main__", "runs in one table or one page"),
    "search": Command("seqlab.search.__main__", "search for better values of a configuration"),
    "export": Command("seqlab.export.__main__", "weights in a file for other programs"),
    "memory": Command("seqlab.memory", "memory that training will need"),
    "check": Command("seqlab.verify", "whether a model keeps the contract, with the likely cause of what fails"),
    "profile": Command("seqlab.profile.__main__", "what a model can learn, beside every architecture that ships"),
    "generate": Command("lm.generate", "text from a language model"),
    "evaluate": Command("lm.evaluate", "a language model on another text"),
    "index": Command("lm.index", "make a folder of text searchable with a language model"),
    "retrieve": Command("lm.retrieval", "search that text, or compare a language model with other rankers"),
    "finetune": Command("lm.finetune", "tune a language model for retrieval"),
    "explain": Command("factorization.explain", "what a sine net on semiprimes computes"),
    "folds": Command("factorization.folds", "runs on semiprimes, pooled over folds"),
    "paired": Command("sequences.paired", "a model on integer sequences against each solver, item by item"),
    "completion": Command("seqlab.completion", "the script that completes these words in bash, zsh or fish"),
}
