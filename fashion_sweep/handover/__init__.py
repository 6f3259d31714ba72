"""What is done with a trained adapter: images on demand, and exports for other tools."""
