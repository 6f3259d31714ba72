"""An A100-class GPU as forecasts assume it: operations a second that it sustains. Assumptions, not measurements."""

BFLOAT16_TFLOPS = 90.0
"""1e12 a second, of a peak of 312: text encoders and UNets."""
TF32_SHARE = 1 / 3
"""Of that, by the autoencoder, which is in float32, and whose convolutions GPUs compute as TF32."""
FLOAT32_SHARE = 1 / 11
"""Of that, by feature extractors, for which TF32 is off."""
