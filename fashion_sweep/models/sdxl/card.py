"""The names of Stable Diffusion XL in other tools, and example code that uses it."""

from fashion_sweep.models.architecture import Example, Names
from fashion_sweep.models.sdxl.config import SDXLConfig

NAMES = Names(
    hub="stable-diffusion-xl",
    modelspec="stable-diffusion-xl-v1-base",
    sd_scripts="sdxl_base_v1-0",
    reads_kohya=("ComfyUI", "Forge, AUTOMATIC1111", "diffusers"),
)


def example_code(example: Example, model: SDXLConfig) -> tuple[list[str], list[str]]:
    """Returns example code: diffusers' own pipeline with the sampler that pictures are judged with."""
    conditioned = f", original_size={example.original_size}" if example.original_size else ""
    imports = ["from diffusers import DDIMScheduler, StableDiffusionXLPipeline"]
    lines = [
        f"pipeline = StableDiffusionXLPipeline.from_pretrained({example.base}, torch_dtype=torch.{example.dtype})",
        "pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)",
        *example.load,
        f"image = pipeline({example.prompt}, height={example.height}, width={example.width}{conditioned},",
        f"                 num_inference_steps={example.steps}, guidance_scale={example.guidance_scale:g}).images[0]",
    ]
    return imports, lines
