from .checkpoint import to_checkpoint as to_checkpoint
from .kohya import to_embedding as to_embedding, to_kohya as to_kohya
from .programs import install as install, where_to_install as where_to_install
