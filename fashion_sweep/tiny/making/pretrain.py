"""Makes the weights of the embedded world: `python -m fashion_sweep.tiny.making.pretrain`.

Seeded, and resumable: run it again after an interruption and it goes on from the last checkpoint of each stage.
The stages: pictures (rendered once), text (both text encoders, beside an image tower), vae, unet (the base), decoder
(of the vae, further), judge (the CLIP that scores), refiner, transformer (of the Stable Diffusion 3) and reader (of
attributes). Everything that is not shipped lies in the work folder.
"""

import argparse
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection

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
from fashion_sweep.tiny.making.export import Networks, export
from fashion_sweep.tiny.making.fit import trained
from fashion_sweep.tiny.reader import Reader

Merges = list[tuple[str, str]]


class Workshop:
    """Manages the work folder, and what can be had from it at any time."""

    def __init__(self, work: Path, weights: Path, workers: int) -> None:
        self.work, self.weights, self.workers = work, weights, workers
        self.general = cache(lambda: corpus.load(work, "general"))
        self.both = cache(lambda: corpus.join(self.general(), corpus.load(work, "fashion")))

    def merges(self) -> Merges:
        path = self.work / "merges.json"
        if not path.exists():
            captions = (caption for lines in self.general().captions for caption in lines)
            path.write_text(json.dumps(tokenizer.learn_merges(captions)), encoding="utf-8")
        return [(left, right) for left, right in json.loads(path.read_text(encoding="utf-8"))]

    def towers(self) -> train_clip.TextTowers:
        towers = trained(train_clip.TEXT_RECIPE, train_clip.TextTowers(), self.work)
        assert isinstance(towers, train_clip.TextTowers)
        return towers

    def base(self) -> train_unet.Base:
        towers = self.towers()
        base = trained(train_unet.BASE_RECIPE, train_unet.Base(towers.first, towers.second), self.work)
        assert isinstance(base, train_unet.Base)
        return base

    def flow(self) -> train_transformer.Flow:
        flow = trained(train_transformer.RECIPE, train_transformer.Flow(self.towers()), self.work)
        assert isinstance(flow, train_transformer.Flow)
        return flow

    def encoders(self, first: CLIPTextModel, second: CLIPTextModelWithProjection) -> train_unet.Encoders:
        return train_unet.Encoders(tokenizer.pair(self.merges()), first, second)

    def batches(self) -> train_unet.Batches:
        latents = train_unet.encode_pictures(self.networks().vae, self.general(), self.work / "latents.npy")
        return train_unet.Batches(latents, self.general())

    def networks(self) -> Networks:
        """Returns the networks as trained so far; with random weights what is not."""
        torch.manual_seed(0)
        vae = train_vae.best(self.work)
        vae.register_to_config(scaling_factor=train_vae.scaling_factor(vae, self.general()))
        return Networks(
            merges=self.merges(),
            vae=vae,
            base=self.base(),
            refiner_unet=trained(train_unet.REFINER_RECIPE, architecture.refiner_unet(), self.work),
            flow=self.flow(),
            judge=trained(train_clip.JUDGE_RECIPE, judge.build(), self.work),
            reader=trained(train_reader.RECIPE, Reader(), self.work),
        )

    def export(self) -> None:
        networks = self.networks()
        export(networks, self.weights)
        notes.write(
            self.work, self.weights, notes.judged(networks, corpus.load(self.work, "fashion", shards=1), self.work)
        )

    def train_unet(self, train: Callable[..., None], beside: train_clip.TextTowers | train_unet.Base) -> None:
        train(self.batches(), self.encoders(beside.first, beside.second), self.work, self.export)

    def train_transformer(self) -> None:
        pair = tokenizer.pair(self.merges())
        train_transformer.train_transformer(self.batches(), pair, self.towers(), self.work, self.export)


def stages(shop: Workshop) -> dict[str, Callable[[], None]]:
    """Returns the stages in the order in which each needs the ones before."""
    build = tokenizer.build
    return {
        "pictures": lambda: corpus.render(shop.work, shop.workers),
        "text": lambda: train_clip.train_text_encoders(shop.general(), build(shop.merges()), shop.work),
        "vae": lambda: train_vae.train_vae(shop.both(), shop.work),
        "unet": lambda: shop.train_unet(train_unet.train_base, beside=shop.towers()),
        "decoder": lambda: train_vae.train_decoder(shop.both(), shop.work),
        "judge": lambda: train_clip.train_judge(shop.both(), build(shop.merges()), shop.towers(), shop.work),
        "refiner": lambda: shop.train_unet(train_unet.train_refiner, beside=shop.base()),
        "transformer": shop.train_transformer,
        "figures": lambda: train_reader.render(shop.work, shop.workers),
        "reader": lambda: train_reader.train_reader(shop.work),
        "export": shop.export,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(stages(Workshop(Path(), WEIGHTS, 1))), help="one stage alone")
    parser.add_argument("--work", type=Path, default=Path("cache/tiny-pretrain"), help="pictures and checkpoints")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the models go")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    shop = Workshop(arguments.work, arguments.weights, workers=arguments.threads)
    for name, stage in stages(shop).items():
        if arguments.only in (None, name):
            print(f"stage {name}", flush=True)
            stage()


if __name__ == "__main__":
    main()
