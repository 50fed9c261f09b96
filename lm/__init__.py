"""Text: small language models, their tokenizers, n-gram and compressor baselines, embeddings and retrieval."""
