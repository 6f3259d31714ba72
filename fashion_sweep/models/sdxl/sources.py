"""The sources of Stable Diffusion XL's weights and configs."""

from pathlib import Path

from fashion_sweep.models.pipeline_sources import PipelineSources

CONFIGS = Path(__file__).parent / "configs"
SOURCES = PipelineSources(
    title="Stable Diffusion XL",
    parts={
        "scheduler": ("diffusers", r"\w+Scheduler"),
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
        "tokenizer": ("transformers", "CLIPTokenizer(Fast)?"),
        "tokenizer_2": ("transformers", "CLIPTokenizer(Fast)?"),
        "image_encoder": ("transformers", "CLIPVisionModelWithProjection"),
        "feature_extractor": ("transformers", "CLIP(ImageProcessor|FeatureExtractor)"),
    },
    configs=CONFIGS,
    single_files={
        "model.base": ("stable-diffusion-xl-base-1.0", "conditioner.embedders.1.model.ln_final.weight"),
        "model.refiner": ("stable-diffusion-xl-refiner-1.0", "conditioner.embedders.0.model.ln_final.weight"),
        "model.vae": ("stable-diffusion-xl-base-1.0", "decoder.conv_in.weight"),
    },
)
