"""The sources of Stable Diffusion 3's weights and configs."""

from pathlib import Path

from fashion_sweep.models.pipeline_sources import PipelineSources

CONFIGS = Path(__file__).parent / "configs"
SOURCES = PipelineSources(
    title="Stable Diffusion 3",
    parts={
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        "transformer": ("diffusers", "SD3Transformer2DModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModelWithProjection"),
        "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
        "text_encoder_3": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "CLIPTokenizer(Fast)?"),
        "tokenizer_2": ("transformers", "CLIPTokenizer(Fast)?"),
        "tokenizer_3": ("transformers", "T5Tokenizer(Fast)?"),
        "image_encoder": ("transformers", "SiglipVisionModel"),
        "feature_extractor": ("transformers", "SiglipImageProcessor"),
    },
    configs=CONFIGS,
)
