"""exp2 by this project, beside the loop over usual scripts that a user would write, plain processes, and the bare UNet.

    python benchmarks/peer_loop.py                                       # twenty minutes on two cores
    python benchmarks/peer_loop.py --script train_text_to_image_lora_sdxl.py   # diffusers' own, version 0.42

The loop takes one rank after another: a process that trains a LoRA of the embedded model, one that draws pictures with
diffusers' pipelines of base and refiner, one that computes their features, FID and CLIP score. It trains with the
published script where its path is given, else with the same steps by diffusers' API: each step encodes its images and
captions. Base, photographs, steps, batch, pictures and denoising steps are those of the sweep; the world is rendered
before either begins. All cores are the loop's.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from floor import floor
from plain import plain, sweep
from rich.console import Console
from rich.table import Table

RANKS = (1, 2, 4, 8, 64)
SIDE = 56
"""Pixels of a side of the square images that the script takes: as many as 64x48."""


def settings() -> Any:
    from fashion_sweep.config.loading import load_run_config

    return load_run_config("exp2", "tiny").preset


def weights(name: str) -> str:
    from fashion_sweep.models.sources import locate

    return locate(getattr(settings().model, name), f"model.{name}")


def train(folder: Path, rank: int, steps: int) -> None:
    """Trains as diffusers' script for SDXL LoRA does, and writes the adapter to `folder`."""
    import torch
    from diffusers import DDPMScheduler, StableDiffusionXLPipeline
    from diffusers.optimization import get_scheduler
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from PIL import Image
    from torch.nn import functional
    from torchvision import transforms

    preset, records = settings(), list(csv.DictReader((folder.parent / "train/metadata.csv").open()))
    pipe = StableDiffusionXLPipeline.from_pretrained(weights("base"), add_watermarker=False, dtype=torch.float32)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        part.requires_grad_(False)
    targets = ["to_k", "to_q", "to_v", "to_out.0"]
    pipe.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets))
    trained = [weight for weight in pipe.unet.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=preset.training.learning_rate)
    schedule = get_scheduler("cosine", optimizer, num_warmup_steps=0, num_training_steps=steps)
    noise_schedule = DDPMScheduler.from_config(pipe.scheduler.config)
    view = transforms.Compose(
        [
            transforms.Resize(SIDE),
            transforms.CenterCrop(SIDE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )
    pipe.unet.train()
    for step in range(steps):
        first = step * preset.training.batch_size
        batch = [records[(first + slot) % len(records)] for slot in range(preset.training.batch_size)]
        images = [Image.open(folder.parent / "train" / one["file_name"]).convert("RGB") for one in batch]
        pixels = torch.stack([view(image) for image in images])
        with torch.no_grad():
            latents = pipe.vae.encode(pixels).latent_dist.sample() * pipe.vae.config.scaling_factor
            embeds, _, pooled, _ = pipe.encode_prompt([one["text"] for one in batch], do_classifier_free_guidance=False)
        noise, timesteps = torch.randn_like(latents), torch.randint(0, 1000, (len(batch),))
        sizes = torch.tensor([[image.height, image.width, 0, 0, SIDE, SIDE] for image in images], dtype=torch.float32)
        conditions = {"text_embeds": pooled, "time_ids": sizes}
        noisy = noise_schedule.add_noise(latents, noise, timesteps)
        predicted = pipe.unet(noisy, timesteps, embeds, added_cond_kwargs=conditions).sample
        functional.mse_loss(predicted, noise).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet))
    StableDiffusionXLPipeline.save_lora_weights(folder, unet_lora_layers=layers)


def train_by_script(script: str, folder: Path, rank: int, steps: int) -> list[str]:
    """Returns the command by which the published script does the same."""
    preset = settings()
    options = {
        "pretrained_model_name_or_path": weights("base"),
        "train_data_dir": str(folder.parent / "train"),
        "caption_column": "text",
        "resolution": SIDE,
        "train_batch_size": preset.training.batch_size,
        "max_train_steps": steps,
        "checkpointing_steps": 10**6,
        "learning_rate": preset.training.learning_rate,
        "lr_scheduler": "cosine",
        "lr_warmup_steps": 0,
        "rank": rank,
        "mixed_precision": "no",
        "seed": 0,
        "output_dir": str(folder),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, script, *words, "--random_flip", "--center_crop"]


def draw(folder: Path, images: int) -> None:
    """Draws the pictures with diffusers' pipelines, and saves them."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

    generation, captions = settings().generation, json.loads((folder.parent / "captions.json").read_text())[:images]
    base = StableDiffusionXLPipeline.from_pretrained(weights("base"), add_watermarker=False, dtype=torch.float32)
    base.scheduler = DDIMScheduler.from_config(base.scheduler.config)
    base.load_lora_weights(folder)
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        weights("refiner"), vae=base.vae, scheduler=base.scheduler, add_watermarker=False, dtype=torch.float32
    )
    for pipe in (base, refiner):
        pipe.set_progress_bar_config(disable=True)
    handover = 1 - generation.refine_fraction
    common = {"num_inference_steps": generation.num_inference_steps, "guidance_scale": generation.guidance_scale}
    size, generator = settings().picture_size("fashion"), torch.Generator().manual_seed(0)
    for start in range(0, images, generation.batch_size):
        prompts = captions[start : start + generation.batch_size]
        latents = base(
            prompts,
            height=size.height,
            width=size.width,
            denoising_end=handover,
            output_type="latent",
            generator=generator,
            **common,
        ).images
        # diffusers would encode latents of another number of channels than four, as if they were pictures
        refiner.image_processor.register_to_config(vae_latent_channels=latents.shape[1])
        refiner.prepare_latents = lambda image, *_: image
        drawn = refiner(prompts, image=latents, denoising_start=handover, generator=generator, **common).images
        for number, image in enumerate(drawn, start):
            image.save(folder / f"{number:05d}.png")


def score(folder: Path, images: int) -> None:
    """Computes features, FID and CLIP score of the pictures, and of the photographs."""
    import numpy as np
    import torch
    from PIL import Image
    from scipy.linalg import sqrtm

    from fashion_sweep.metrics.judge import Judge
    from fashion_sweep.metrics.metric import metrics_of

    judge = Judge(settings().evaluation, metrics_of(["fid", "clip_score"]), "cpu")
    captions = json.loads((folder.parent / "captions.json").read_text())[:images]

    def load(paths: list[Path]) -> torch.Tensor:
        size = settings().picture_size("fashion")
        pixels = [np.asarray(Image.open(path).convert("RGB").resize((size.width, size.height))) for path in paths]
        return torch.from_numpy(np.stack(pixels)).movedim(-1, 1)

    drawn, real = sorted(folder.glob("*.png")), sorted((folder.parent / "train").glob("*.jpg"))
    kept = [judge.per_image(load(drawn[at : at + 32]), captions[at : at + 32]) for at in range(0, len(drawn), 32)]
    ours = torch.cat([one["features"] for one in kept]).double().numpy()
    photos = [
        judge.features(load(real[at : at + 32]), settings().evaluation.features) for at in range(0, len(real), 32)
    ]
    theirs = torch.cat(photos).double().numpy()
    means, covariances = zip(*((one.mean(0), np.cov(one.T)) for one in (ours, theirs)), strict=True)
    root = sqrtm(covariances[0] @ covariances[1]).real
    fid = np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    clip = torch.cat([one["clip_scores"] for one in kept]).mean().item()
    (folder / "scores.json").write_text(json.dumps({"fid": float(fid), "clip_score": clip}))


def prepare(folder: Path, world: Path) -> None:
    """Lays the photographs that a sweep keeps, and their captions, out as the script takes them."""
    catalogue = json.loads((world / "sweep/data/fashion.json").read_text())["records"]
    (folder / "train").mkdir(parents=True)
    with (folder / "train/metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "text"])
        for record in catalogue:
            source = Path(record["path"])
            shutil.copy(source if source.is_absolute() else world / source, folder / "train" / source.name)
            rows.writerow([source.name, record["caption"]])
    (folder / "captions.json").write_text(json.dumps([record["caption"] for record in catalogue]))


def loop(folder: Path, ranks: list[int], steps: int, images: int, script: str | None) -> dict[str, float]:
    """Takes one rank after another; returns the seconds of each part, over all ranks."""
    spent = dict.fromkeys(("train", "draw", "score"), 0.0)
    for rank in ranks:
        adapter = folder / f"rank-{rank}"
        adapter.mkdir()
        own = [sys.executable, __file__, "--folder", str(adapter), "--steps", str(steps), "--images", str(images)]
        commands = {part: [*own, "--do", part, "--ranks", str(rank)] for part in spent}
        if script:
            commands["train"] = train_by_script(script, adapter, rank, steps)
        for part, command in commands.items():
            started = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            spent[part] += time.monotonic() - started
        print(f"rank {rank}: {json.loads((adapter / 'scores.json').read_text())}", flush=True)
    return spent


def run_sweep(world: Path, ranks: list[int], steps: int, images: int) -> tuple[float, float]:
    """Runs the sweep on a world that is rendered; returns its seconds without preparing and report, and in all."""
    environment = os.environ | {"FASHION_SWEEP_RUNS": str(world)}
    ours = [sys.executable, "-m", "fashion_sweep"]
    subprocess.run([*ours, "data", "check", "fashion"], env=environment, check=True, stdout=subprocess.DEVNULL)
    trials = ", ".join(f"{{unet: {rank}}}" for rank in ranks)
    chosen = [f"training.steps={steps}", f"evaluation.samples={images}", f"sweep.trials=[{trials}]"]
    return sweep(["exp2", *(word for setting in chosen for word in ("--set", setting))], world)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", help="diffusers' train_text_to_image_lora_sdxl.py")
    parser.add_argument("--ranks", type=int, nargs="+", default=list(RANKS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--do", choices=("train", "draw", "score"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    known = parser.parse_args()
    if known.do == "train":
        train(known.folder, known.ranks[0], known.steps)
    elif known.do:
        {"draw": draw, "score": score}[known.do](known.folder, known.images)
    if known.do:
        return
    with tempfile.TemporaryDirectory() as temporary:
        world, folder = Path(temporary) / "runs", Path(temporary) / "loop"
        after_preparing, ours = run_sweep(world, known.ranks, known.steps, known.images)
        by_plain_processes = plain(world)
        prepare(folder, world)
        spent = loop(folder, known.ranks, known.steps, known.images, known.script)
    least, theirs = sum(floor(len(known.ranks), known.steps, known.images).values()), sum(spent.values())
    title = f"ranks {known.ranks}, {known.steps} steps, {known.images} images, {len(os.sched_getaffinity(0))} cores"
    table = Table("", "seconds", "of the floor", "of the sweep", title=title)
    parts = ", ".join(f"{part} {seconds:.0f}" for part, seconds in spent.items())
    for name, seconds in (("bare UNet", least), ("sweep", ours), (f"loop over scripts ({parts})", theirs)):
        table.add_row(name, f"{seconds:.0f}", f"{seconds / least:.2f}", f"{seconds / ours:.2f}")
    of_plain = f"{after_preparing / by_plain_processes:.2f} of plain processes"
    table.add_section()
    table.add_row("plain processes", f"{by_plain_processes:.0f}", f"{by_plain_processes / least:.2f}", "")
    table.add_row("sweep, from the end of preparing to the report", f"{after_preparing:.0f}", "", of_plain)
    Console().print(table)


if __name__ == "__main__":
    main()
