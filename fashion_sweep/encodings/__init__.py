"""The encodings that all trials of a sweep share: latents, prompt embeddings and features, computed once."""
