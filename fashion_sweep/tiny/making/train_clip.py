"""Trains contrastively (CLIP, arXiv:2103.00020): the text encoders of the tiny SDXL, and the judge."""

from pathlib import Path

import numpy as np
import open_clip
import torch
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate, normalize
from transformers import CLIPTokenizer

from fashion_sweep.tiny.captions import CARTOON, pick
from fashion_sweep.tiny.making import architecture, judge
from fashion_sweep.tiny.making.corpus import Corpus
from fashion_sweep.tiny.making.fit import Recipe, fit

BATCH = 128
TEXT_RECIPE = Recipe("text-encoders", steps=900, learning_rate=1e-3, decay=0.998, weight_decay=0.05)
JUDGE_RECIPE = Recipe("judge", steps=2000, learning_rate=1e-3, decay=0.99, weight_decay=0.05)
SPOKEN_STYLE = 0.35
"""The share of the fashion captions that begin by saying that this is a photograph."""
STYLES = {
    "photograph": ("A photo. ", "A photograph. ", "A photo of a person. "),
    "drawing": ("A cartoon. ", "A drawing. ", "A flat illustration. ", "A painting. "),
    "rendering": ("A 3d render. ", "Cgi. ", "A render. "),
}
STYLE_SCALE, STYLE_WEIGHT = 8.0, 1.0
"""The scale of the cosines with the names of the styles, and the weight of their loss. So low a scale asks for a wide
gap between them, without which the judge, which sees the same captions with photographs and with drawings, would hardly
tell these apart."""


SOFTENED = 0.35
"""The share of the judge's batches that are blurred: a drawing must be known by more than its sharp lines."""


class TextTowers(torch.nn.Module):
    """Trains both text encoders beside one image tower, which is not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = architecture.text_encoder(), architecture.text_encoder_2()
        self.visual: torch.nn.Module = judge.build().visual
        self.to_first = torch.nn.Linear(judge.EMBEDDING, architecture.TEXT_WIDTH)
        self.to_second = torch.nn.Linear(judge.EMBEDDING, architecture.TEXT_WIDTH_2)
        self.log_scales = torch.nn.Parameter(torch.full((2,), float(np.log(1 / 0.07))))

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        seen = self.visual(judge.pad_to_square(images))
        read = (self.first(tokens).pooler_output, self.second(tokens).text_embeds)
        pairs = zip((self.to_first(seen), self.to_second(seen)), read, self.log_scales, strict=True)
        return torch.stack([contrast(image, text, scale) for image, text, scale in pairs]).mean()


def contrast(images: torch.Tensor, texts: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Returns the contrastive loss of embeddings N,d of pictures and of their captions."""
    logits = log_scale.clamp(max=float(np.log(100))).exp() * normalize(images) @ normalize(texts).T
    labels = torch.arange(len(logits))
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2


class Kinds:
    """Makes batches of one kind of picture, so that the negatives of a figure are other figures.

    Where `drawings_are_called_so`, a caption without a word on style is that of a photograph, as most are in the world.
    """

    def __init__(self, corpus: Corpus, tokenizer: CLIPTokenizer, drawings_are_called_so: bool = False) -> None:
        self.corpus, self.tokenizer, self.drawings_are_called_so = corpus, tokenizer, drawings_are_called_so
        photographs = np.array([len(captions) == 1 for captions in corpus.captions])
        figures = np.array([" wear" in captions[-1] or "neckline" in captions[-1] for captions in corpus.captions])
        groups = {
            "fashion": photographs & corpus.portrait,
            "cartoons": figures & ~photographs & corpus.portrait,
            "wide cartoons": figures & ~photographs & ~corpus.portrait,
            "figures": figures & corpus.portrait,
            "scenes": ~figures & ~corpus.portrait,
            "anything": corpus.portrait,
        }
        self.members = {name: np.flatnonzero(group) for name, group in groups.items()}
        rendered = np.array(["render of" in captions[0] or "Cgi" in captions[0] for captions in corpus.captions])
        self.styles = torch.from_numpy(np.where(figures & ~photographs, 1, np.where(rendered, 2, 0)))

    def batch(
        self, shares: dict[str, float], rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns pictures N,3,H,W, tokens N,L and the numbers of their styles N."""
        kind = rng.choice(list(shares), p=list(shares.values()))
        chosen = rng.choice(self.members[str(kind)], BATCH, replace=False)
        captions = [self._caption(i, rng) for i in chosen]
        return self.corpus.images(chosen), self.tokens(captions), self.styles[chosen]

    def tokens(self, captions: list[str]) -> torch.Tensor:
        return self.tokenizer(captions, padding="longest", truncation=True, return_tensors="pt").input_ids

    def _caption(self, index: int, rng: np.random.Generator) -> str:
        captions = self.corpus.captions[index]
        if len(captions) == 1:
            spoken = rng.random() < SPOKEN_STYLE
            return (pick(rng, STYLES["photograph"]) if spoken else "") + captions[0]
        caption = captions[rng.integers(len(captions))]
        silent = self.styles[index] == 1 and not any(word in caption.lower() for word in CARTOON)
        return (pick(rng, STYLES["drawing"]) if silent and self.drawings_are_called_so else "") + caption


def train_text_encoders(general: Corpus, tokenizer: CLIPTokenizer, work: Path) -> None:
    kinds = Kinds(general, tokenizer)
    shares = {"cartoons": 0.55, "wide cartoons": 0.12, "scenes": 0.23, "anything": 0.1}
    torch.manual_seed(1)
    towers = TextTowers()

    def loss(rng: np.random.Generator) -> torch.Tensor:
        images, tokens, _ = kinds.batch(shares, rng)
        return towers(images, tokens)

    fit(TEXT_RECIPE, towers, loss, work)


def train_judge(both: Corpus, tokenizer: CLIPTokenizer, towers: TextTowers, work: Path) -> None:
    """Trains the judge, beginning with the image tower that the text encoders were trained beside."""
    kinds = Kinds(both, tokenizer, drawings_are_called_so=True)
    shares = {"fashion": 0.32, "figures": 0.33, "wide cartoons": 0.08, "scenes": 0.17, "anything": 0.1}
    torch.manual_seed(2)
    model = judge.build()
    model.visual.load_state_dict(towers.visual.state_dict())

    def read(tokens: torch.Tensor) -> torch.Tensor:
        missing = architecture.CONTEXT - tokens.shape[1]
        return model.encode_text(torch.nn.functional.pad(tokens, (0, missing), value=architecture.END_ID))

    def loss(rng: np.random.Generator) -> torch.Tensor:
        images, tokens, styles = kinds.batch(shares, rng)
        if rng.random() < SOFTENED:
            images = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
        seen = model.encode_image(judge.pad_to_square(images))
        names = read(kinds.tokens([pick(rng, names) for names in STYLES.values()]))
        style_logits = STYLE_SCALE * normalize(seen) @ normalize(names).T
        return contrast(seen, read(tokens), model.logit_scale) + STYLE_WEIGHT * cross_entropy(style_logits, styles)

    fit(JUDGE_RECIPE, model, loss, work)


@torch.no_grad()
def matched_and_shuffled(
    model: open_clip.CLIP, tokenizer: CLIPTokenizer, images: torch.Tensor, captions: list[str]
) -> tuple[float, float]:
    """Returns the mean of 100 x cosine of pictures N,3,H,W with their own captions, and with those of others."""
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    seen = normalize(model.encode_image(judge.pad_to_square(images)))
    cosines = 100 * seen @ normalize(model.encode_text(tokens)).T
    matched = cosines.diagonal().mean()
    shuffled = (cosines.sum() - cosines.diagonal().sum()) / (cosines.numel() - len(cosines))
    return float(matched), float(shuffled)
