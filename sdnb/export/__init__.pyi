from .checkpoint import to_checkpoint as to_checkpoint
from .embeddings import to_embedding as to_embedding
from .kohya import to_kohya as to_kohya
from .placing import install as install, where_to_install as where_to_install
