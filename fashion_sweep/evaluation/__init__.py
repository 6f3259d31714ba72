"""Generate, extract features, and turn them into FID, KID and CLIP score."""
