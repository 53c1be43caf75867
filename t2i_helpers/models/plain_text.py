"""Text encoders without a language model, as baselines: captions as bare classes, words as random vectors."""

import re

import torch

from ..data import CLASS_NAMES
from ..errors import BadValue, PromptTooLong
from ..presets import THESIS
from ..randomness import generator


class OneHot:
    """One dimension a caption, like a class label; it has no vector for any other wording."""

    name = "one-hot"
    captions = ["", *(THESIS[dataset]["caption"].format(name) for dataset, names in CLASS_NAMES.items()
                      for name in names)]
    dim = len(captions)

    def encode(self, prompts: list[str], max_length: int) -> torch.Tensor:
        """float32 [n, max_length, dim]: the one-hot caption as the first token, then zeros. BadValue for a text that
        is not a caption of the datasets."""
        table = torch.zeros(len(prompts), max_length, self.dim)
        for row, prompt in enumerate(prompts):
            if prompt not in self.captions:
                raise BadValue(f"{prompt!r} is no class of the one-hot encoder: give a caption of the dataset, such as "
                               f"{self.captions[1]!r}, or train with an encoder of language")
            table[row, 0, self.captions.index(prompt)] = 1
        return table

    def tokens(self, prompt: str, max_length: int) -> list[str]:
        """The text of each of the tokens of `encode`."""
        return [prompt] + [""] * (max_length - 1)


class RandomWords:
    """A fixed Gaussian vector a word: words can be recombined, but their vectors carry no meaning."""

    name, dim = "random", 64

    def encode(self, prompts: list[str], max_length: int) -> torch.Tensor:
        """float32 [n, max_length, dim]: a unit Gaussian vector a word, then zeros. PromptTooLong for more words."""
        table = torch.zeros(len(prompts), max_length, self.dim)
        for row, prompt in enumerate(prompts):
            for place, word in enumerate(filter(None, self.tokens(prompt, max_length))):
                table[row, place] = torch.randn(self.dim, generator=generator("word", word))
        return table

    def tokens(self, prompt: str, max_length: int) -> list[str]:
        """The text of each of the tokens of `encode`."""
        words = re.findall(r"\w+", prompt.lower())
        if len(words) > max_length:
            raise PromptTooLong(f"{prompt!r} has {len(words)} words and {max_length} fit: shorten it, or train with a "
                                "larger max_length")
        return words + [""] * (max_length - len(words))


BASELINE_ENCODERS = {encoder.name: encoder for encoder in (OneHot, RandomWords)}
