"""Makes the weights of the embedded world: `python -m fashion_sweep.tiny.making.pretrain`.

Seeded, and resumable: run it again after an interruption and it goes on from the last checkpoint of each stage.
The stages: pictures (rendered once), text (both text encoders, beside an image tower), vae, unet (the base, on general
pictures), further (the base, on snapshots of figures too), decoder (of the vae, further), judge (the CLIP that scores),
refiner, transformer (of the Stable Diffusion 3), onward (the same, further), figures and reader (of attributes).
Everything that is not shipped lies in the work folder.
"""

import argparse
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from fashion_sweep.storage.files import write_json
from fashion_sweep.tiny import WEIGHTS
from fashion_sweep.tiny.making import (
    architecture,
    corpus,
    judge,
    notes,
    tokenizer,
    train_clip,
    train_reader,
    train_transformer,
    train_unet,
    train_vae,
)
from fashion_sweep.tiny.making.batches import Batches, encode_pictures
from fashion_sweep.tiny.making.export import Networks, export
from fashion_sweep.tiny.making.fit import Recipe, trained
from fashion_sweep.tiny.reader import Reader

Merges = list[tuple[str, str]]


class Workshop:
    """Manages the work folder, and what can be had from it at any time."""

    def __init__(self, work: Path, weights: Path, workers: int) -> None:
        self.work, self.weights, self.workers = work, weights, workers
        self.general = cache(lambda: corpus.load(work, "general"))
        self.seen = cache(lambda: corpus.join(self.general(), corpus.load(work, "snapshots")))
        self.both = cache(lambda: corpus.join(self.general(), corpus.load(work, "fashion")))

    def merges(self) -> Merges:
        path = self.work / "merges.json"
        if not path.exists():
            captions = (caption for lines in self.general().captions for caption in lines)
            write_json(path, tokenizer.learn_merges(captions))
        return [(left, right) for left, right in json.loads(path.read_text(encoding="utf-8"))]

    def towers(self) -> train_clip.TextTowers:
        return trained(train_clip.TEXT_RECIPE, train_clip.TextTowers(), self.work)

    def cartoonist(self) -> train_unet.Base:
        return trained(train_unet.BASE_RECIPE, train_unet.Base(self.towers()), self.work)

    def base(self, unfinished: bool = False) -> train_unet.Base:
        return trained(train_unet.FURTHER_RECIPE, train_unet.Base(self.towers()), self.work, unfinished)

    def flow(self, recipe: Recipe, unfinished: bool = False) -> train_transformer.Flow:
        return trained(recipe, train_transformer.Flow(self.towers()), self.work, unfinished)

    def batches(self, pictures: corpus.Corpus, photographs_alone: bool = False) -> Batches:
        vae = self.scaled(train_vae.encoder(self.work))
        return Batches(encode_pictures(vae, pictures, self.work), pictures, photographs_alone)

    def scaled(self, vae: AutoencoderKL) -> AutoencoderKL:
        vae.register_to_config(scaling_factor=train_vae.scaling_factor(vae, self.general()))
        return vae

    def networks(self, unfinished: bool) -> Networks:
        """Returns all networks; `unfinished`: as trained so far, with random weights what is not."""
        torch.manual_seed(0)
        work = self.work
        return Networks(
            merges=self.merges(),
            vae=self.scaled(train_vae.whole(work, unfinished)),
            base=self.base(unfinished),
            refiner_unet=trained(train_unet.REFINER_RECIPE, architecture.refiner_unet(), work, unfinished),
            flow=self.flow(train_transformer.FURTHER_RECIPE, unfinished),
            judge=trained(train_clip.JUDGE_RECIPE, judge.build(), work, unfinished),
            reader=trained(train_reader.RECIPE, Reader(), work, unfinished),
        )

    def export(self, unfinished: bool) -> None:
        networks = self.networks(unfinished)
        export(networks, self.weights)
        fashion = corpus.load(self.work, "fashion", first=1)
        notes.write(self.work, self.weights, notes.judged(networks, fashion, self.work))


def stages(shop: Workshop, unfinished: bool = False) -> dict[str, Callable[[], None]]:
    """Returns the stages in the order in which each needs the ones before."""
    build, work = tokenizer.build, shop.work

    def pair() -> tokenizer.Tokenizers:
        return tokenizer.pair(shop.merges())

    return {
        "pictures": lambda: corpus.render(work, shop.workers),
        "text": lambda: train_clip.train_text_encoders(shop.general(), build(shop.merges()), work),
        "vae": lambda: train_vae.train_vae(shop.both(), work),
        "unet": lambda: train_unet.train_base(
            train_unet.BASE_RECIPE, train_unet.Base(shop.towers()), shop.batches(shop.general()), pair(), work
        ),
        "further": lambda: train_unet.train_base(
            train_unet.FURTHER_RECIPE, shop.cartoonist(), shop.batches(shop.seen()), pair(), work
        ),
        "decoder": lambda: train_vae.train_decoder(shop.both(), work),
        "judge": lambda: train_clip.train_judge(shop.both(), build(shop.merges()), shop.towers(), work),
        "refiner": lambda: train_unet.train_refiner(
            shop.batches(shop.seen(), photographs_alone=True), pair(), shop.base(), work
        ),
        "transformer": lambda: train_transformer.train_transformer(
            train_transformer.RECIPE, train_transformer.Flow(shop.towers()), shop.batches(shop.seen()), pair(), work
        ),
        "onward": lambda: train_transformer.train_transformer(
            train_transformer.FURTHER_RECIPE,
            shop.flow(train_transformer.RECIPE),
            shop.batches(shop.seen()),
            pair(),
            work,
            shift=architecture.FLOW_SHIFT,
        ),
        "figures": lambda: train_reader.render(work, shop.workers),
        "reader": lambda: train_reader.train_reader(work),
        "export": lambda: shop.export(unfinished),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(stages(Workshop(Path(), WEIGHTS, 1))), help="one stage alone")
    parser.add_argument("--work", type=Path, default=Path("cache/tiny-pretrain"), help="pictures and checkpoints")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the models go")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--unfinished", action="store_true", help="export what there is, for a look: not to be shipped")
    arguments = parser.parse_args()
    if arguments.unfinished and arguments.weights.resolve() == WEIGHTS.resolve():
        parser.error("--unfinished: give another folder with --weights")
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    shop = Workshop(arguments.work, arguments.weights, workers=arguments.threads)
    for name, stage in stages(shop, arguments.unfinished).items():
        if arguments.only in (None, name):
            print(f"stage {name}", flush=True)
            stage()


if __name__ == "__main__":
    main()
