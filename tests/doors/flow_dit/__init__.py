"""A base model that is nothing like Stable Diffusion XL, in a package that is installed beside fashion_sweep.

A transformer on patches (Peebles and Xie, DiT, 2023, https://arxiv.org/abs/2212.09748) that is trained by flow matching
(Lipman et al., 2023, https://arxiv.org/abs/2210.02747): random weights, three latent channels at a quarter of the size,
one text encoder that reads bytes, no framing, no refiner, no scheduler.
"""
