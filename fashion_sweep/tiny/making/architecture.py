"""Defines the networks of the embedded world, in the structure of the ones that they stand for, with random weights."""

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from diffusers.models import Transformer2DModel
from diffusers.models.resnet import ResnetBlock2D
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from fashion_sweep.tiny.making.tokenizer import BEGIN_ID, CONTEXT, END_ID, VOCABULARY

LATENT_FACTOR = 4
"""The pixels along a side of a latent."""
LATENT_CHANNELS = 8
"""The channels of the base's latents: with SDXL's four, pictures this small come out blurred."""
FLOW_SHIFT = 2.0
"""How much more of its steps the Stable Diffusion 3 spends on high noise (`shift` of arXiv:2403.03206)."""
PORTRAIT, LANDSCAPE = (64, 48), (48, 64)
"""The heights and widths of images, in pixels."""
TEXT_WIDTH, TEXT_WIDTH_2 = 64, 96
SIZE_EMBEDDING = 32
"""The width of the embedding of each of the numbers of size and crop."""


def text_encoder() -> CLIPTextModel:
    """Returns a text encoder that stands for CLIP ViT-L's."""
    return CLIPTextModel(_text_config(width=TEXT_WIDTH, heads=4, activation="quick_gelu", pad=END_ID))


def text_encoder_2() -> CLIPTextModelWithProjection:
    """Returns a text encoder that stands for OpenCLIP bigG's; the one with a pooled embedding."""
    return CLIPTextModelWithProjection(_text_config(width=TEXT_WIDTH_2, heads=6, activation="gelu", pad=0))


def _text_config(width: int, heads: int, activation: str, pad: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=heads,
        max_position_embeddings=CONTEXT,
        hidden_act=activation,
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
        pad_token_id=pad,
    )


def autoencoder() -> AutoencoderKL:
    vae = AutoencoderKL(
        block_out_channels=(32, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=2,
        sample_size=64,
        force_upcast=False,
    )
    _begin_well(vae)
    return vae


def base_unet() -> UNet2DConditionModel:
    """Returns a UNet with SDXL's blocks: no attention at full size, transformers below."""
    return _unet(
        widths=(48, 80, 96),
        text_width=TEXT_WIDTH + TEXT_WIDTH_2,
        time_ids=6,
    )


def refiner_unet() -> UNet2DConditionModel:
    """Returns the refiner's UNet: the second text encoder alone, and an aesthetic score in place of the target size."""
    return _unet(
        widths=(32, 48, 64),
        text_width=TEXT_WIDTH_2,
        time_ids=5,
    )


def _unet(widths: tuple[int, int, int], text_width: int, time_ids: int) -> UNet2DConditionModel:
    blocks = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
    unet = UNet2DConditionModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        sample_size=16,
        block_out_channels=widths,
        down_block_types=blocks,
        up_block_types=tuple(block.replace("Down", "Up") for block in reversed(blocks)),
        layers_per_block=2,
        transformer_layers_per_block=[1, 1, 1],
        attention_head_dim=[width // 32 for width in widths],  # numbers of heads, whatever the name says
        norm_num_groups=8,
        cross_attention_dim=text_width,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=SIZE_EMBEDDING,
        projection_class_embeddings_input_dim=TEXT_WIDTH_2 + time_ids * SIZE_EMBEDDING,
    )
    _begin_well(unet)
    torch.nn.init.zeros_(unet.conv_out.weight)
    return unet


def projected(encoder: CLIPTextModel) -> CLIPTextModelWithProjection:
    """Returns a text encoder with the weights of `encoder`, and a projection that changes nothing at first."""
    own = CLIPTextModelWithProjection(encoder.config)
    missing, unexpected = own.load_state_dict(encoder.state_dict(), strict=False)
    if unexpected:
        states = {f"text_model.{name}": tensor for name, tensor in encoder.state_dict().items()}
        missing, unexpected = own.load_state_dict(states, strict=False)
    assert missing == ["text_projection.weight"], missing
    assert not unexpected, unexpected
    torch.nn.init.eye_(own.text_projection.weight)
    return own


def transformer() -> SD3Transformer2DModel:
    """Returns a transformer with Stable Diffusion 3.5's blocks, the first two with a second attention."""
    return SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=6,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=TEXT_WIDTH + TEXT_WIDTH_2,
        caption_projection_dim=128,
        pooled_projection_dim=TEXT_WIDTH + TEXT_WIDTH_2,
        pos_embed_max_size=16,
        dual_attention_layers=(0, 1),
        qk_norm="rms_norm",
    )


def flow_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=FLOW_SHIFT)


def _begin_well(model: torch.nn.Module) -> None:
    """Initialises convolutions to keep the variance, and residual branches to add nothing at first. So the
    autoencoder learns in a tenth of the steps that it needs from the default initialisation, the UNet in two thirds."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
    for layer in model.modules():
        if isinstance(layer, ResnetBlock2D):
            torch.nn.init.zeros_(layer.conv2.weight)
        elif isinstance(layer, Transformer2DModel):
            torch.nn.init.zeros_(layer.proj_out.weight)


def scheduler() -> EulerDiscreteScheduler:
    """Returns a scheduler with SDXL's settings; the last three are for a `DDIMScheduler` made from its config."""
    settings = {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "interpolation_type": "linear",
        "clip_sample": False,
        "sample_max_value": 1.0,
        "set_alpha_to_one": False,
    }
    return EulerDiscreteScheduler.from_config(settings)


def parameter_count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
