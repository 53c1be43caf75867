"""Text encoders that know no language, to see what a language model buys: captions as bare classes, words as noise."""

import re

import torch

from ..data import CLASS_NAMES
from ..errors import BadValue, PromptTooLong
from ..presets import THESIS
from ..randomness import generator


class OneHot:
    """Each caption of a dataset is a dimension of its own, as a class label is; another wording cannot be said."""

    name = "one-hot"
    captions = ["", *(THESIS[dataset]["caption"].format(name) for dataset, names in CLASS_NAMES.items()
                      for name in names)]
    dim = len(captions)

    def encode(self, prompts: list[str], max_length: int) -> torch.Tensor:
        """float32 [n, max_length, dim]: 1 at the caption's place in the first token, 0 in the others.

        Raises BadValue for a text that is no caption of the datasets.
        """
        table = torch.zeros(len(prompts), max_length, self.dim)
        for row, prompt in enumerate(prompts):
            if prompt not in self.captions:
                raise BadValue(f"{prompt!r} is no class of the one-hot encoder: give a caption of the dataset, such as "
                               f"{self.captions[1]!r}, or train with an encoder of language")
            table[row, 0, self.captions.index(prompt)] = 1
        return table


class RandomWords:
    """Each word is a vector of Gaussian noise, always the same one: words can be recombined, and mean nothing."""

    name = "random"
    dim = 64

    def encode(self, prompts: list[str], max_length: int) -> torch.Tensor:
        """float32 [n, max_length, dim]: a unit Gaussian vector a word, zeros after the last. PromptTooLong for more
        words than `max_length`."""
        table = torch.zeros(len(prompts), max_length, self.dim)
        for row, prompt in enumerate(prompts):
            words = re.findall(r"\w+", prompt.lower())
            if len(words) > max_length:
                raise PromptTooLong(f"{prompt!r} has {len(words)} words and {max_length} fit: shorten it, or train "
                                    "with a larger max_length")
            for place, word in enumerate(words):
                table[row, place] = torch.randn(self.dim, generator=generator("word", word))
        return table


PLAIN = {encoder.name: encoder for encoder in (OneHot, RandomWords)}
