"""The files that other programs read: made, put where they look, and told of."""

from sdnb.export.checkpoint import export_checkpoint, export_folder, export_model
from sdnb.export.embeddings import export_embedding
from sdnb.export.kohya import export_kohya, tag_metadata
from sdnb.export.placing import put_there, where_to_put

__all__ = [
    "export_checkpoint",
    "export_embedding",
    "export_folder",
    "export_kohya",
    "export_model",
    "put_there",
    "tag_metadata",
    "where_to_put",
]
