"""The names of Stable Diffusion 3 in other tools, and example code that uses it."""

from fashion_sweep.models.architecture import Example, Names
from fashion_sweep.models.sd3.config import SD3Config

NAMES = Names(
    hub="stable-diffusion-3",
    modelspec="stable-diffusion-3",
    sd_scripts="sd3_medium",
    reads_kohya=("ComfyUI",),  # diffusers finds none of its names, and says so in a log alone
)


def example_code(example: Example, model: SD3Config) -> tuple[list[str], list[str]]:
    """Returns example code: diffusers' own pipeline, with the sampler and the texts that pictures are judged with."""
    without = "" if model.reads_t5 else ", text_encoder_3=None, tokenizer_3=None"
    dtype = f"torch_dtype=torch.{example.dtype}"
    imports = ["from diffusers import StableDiffusion3Pipeline"]
    lines = [f"pipeline = StableDiffusion3Pipeline.from_pretrained({example.base}, {dtype}{without})"]
    if model.shift is not None:
        imports = ["from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline"]
        lines += [
            "pipeline.scheduler = FlowMatchEulerDiscreteScheduler.from_config(",
            f"    pipeline.scheduler.config, shift={model.shift:g})",
        ]
    lines += [
        *example.load,
        f"image = pipeline({example.prompt}, height={example.height}, width={example.width},",
        f"                 num_inference_steps={example.steps}, guidance_scale={example.guidance_scale:g},",
        f"                 max_sequence_length={model.max_sequence_length}).images[0]",
    ]
    return imports, lines
