"""A runs folder in object storage, and the URLs of data."""
