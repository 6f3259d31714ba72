"""The names of Stable Diffusion 3 in other tools, and example code that uses it."""

from fashion_sweep.models.architecture import Example, Names

NAMES = Names(hub="stable-diffusion-3", modelspec="stable-diffusion-3", sd_scripts="sd3_medium")


def example_code(example: Example) -> tuple[list[str], list[str]]:
    """Returns example code: diffusers' own pipeline, whose sampler pictures are judged with."""
    imports = ["from diffusers import StableDiffusion3Pipeline"]
    lines = [
        f"pipeline = StableDiffusion3Pipeline.from_pretrained({example.base}, torch_dtype=torch.{example.dtype})",
        *example.load,
        f"image = pipeline({example.prompt}, height={example.height}, width={example.width},",
        f"                 num_inference_steps={example.steps}, guidance_scale={example.guidance_scale:g}).images[0]",
    ]
    return imports, lines
